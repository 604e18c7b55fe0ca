/**
 * The peers: what users would pick instead. They have a package and a lock file of their own in `scripts/bench/peers`, and
 * are installed into `node_modules/.cache` by the benchmark when it first needs them: they take 50 MB, and nobody who works
 * on this package needs them for anything else.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { CommandError } from "../../demo/filesync/tools.ts";
import { checkout } from "./places.ts";

const FILES = ["package.json", "package-lock.json", ".npmrc"];

const specification = join(checkout, "scripts", "bench", "peers");
const installed = join(checkout, "node_modules", ".cache", "bench-peers");
const loader = join(installed, "load.mjs");
const stamp = join(installed, "node_modules", ".installed");

/** Those that are left out, and why. */
export const LEFT_OUT: Readonly<Record<string, string>> = {
  "better-sqlite3, node:sqlite":
    "the package of the first brings no binary and fetches one from elsewhere, and its newest version needs Node 22, as does the second",
  automerge: "10^5 entries, and then a thousand changes of one entry each, were not done after five minutes",
  "PouchDB, RxDB, automerge-repo":
    "minutes for what the others do in seconds, and they stand on storage that is measured here",
};

/** Installs what the lock file names, unless it is there. Tells `say` before it does. @throws CommandError */
export function installPeers(say: (line: string) => void): void {
  const wanted = readFileSync(join(specification, "package-lock.json"), "utf8");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  say(`installing the peers into ${installed.slice(checkout.length + 1)}`);
  mkdirSync(installed, { recursive: true });
  for (const name of FILES) copyFileSync(join(specification, name), join(installed, name));
  // Imported from there, a name means what is installed there.
  writeFileSync(loader, "export const load = (name) => import(name);\n");
  // None of them needs its install script: the native ones bring prebuilt binaries.
  const { status, stderr } = spawnSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
    cwd: installed,
    encoding: "utf8",
    shell: process.platform === "win32",
  });
  if (status !== 0) {
    throw new CommandError(
      `the peers could not be installed; --no-peers goes without them\n${stderr.trim().slice(-1000)}`,
    );
  }
  writeFileSync(stamp, wanted);
}

/** A module of a peer. Its shape is what its documentation says: `T` is written down where it is used. */
export async function loadPeer<T>(name: string): Promise<T> {
  const { load } = (await import(pathToFileURL(loader).href)) as { load: (name: string) => Promise<T> };
  return await load(name);
}

/** Names and versions of what is installed, `ws` of the peers excepted. */
export function peerVersions(): Record<string, string> {
  const { dependencies } = JSON.parse(readFileSync(join(specification, "package.json"), "utf8")) as {
    dependencies: Record<string, string>;
  };
  const versions: Record<string, string> = {};
  for (const name of Object.keys(dependencies)) {
    const path = join(dirname(stamp), name, "package.json");
    if (name === "ws" || !existsSync(path)) continue;
    versions[name] = (JSON.parse(readFileSync(path, "utf8")) as { version: string }).version;
  }
  return versions;
}
