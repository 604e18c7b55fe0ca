/**
 * Makes a checkout ready: `node scripts/setup.mjs` installs what the lock file names, `--build` compiles as well.
 * Does nothing, and says nothing, when nothing has changed. Needs only Node and npm.
 *
 * Plain JavaScript without dependencies, because it runs before there are any. Safe when started twice at once: the
 * second run waits for the first and then finds nothing left to do.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const NODE_MIN = [20, 19];
const LOCK_POLL_MS = 200;
const LOCK_WAIT_MS_MAX = 10 * 60_000;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const at = (...parts) => join(root, ...parts);
const installStamp = at("node_modules", ".wavekv-install");
const buildStamp = at("dist", ".wavekv-build");
const sourceRooms = ["src", "transports", "demo", "scripts"];
/** What a browser runs is bundled instead of compiled file by file. */
const pageSources = ["src", "ui", "page"];
const pageAssets = ["dist", "src", "ui", "assets"];

const [unknown] = process.argv.slice(2).filter((flag) => flag !== "--build");
if (unknown !== undefined) fail(`unknown option ${unknown}; the only one is --build`);
requireNode();
const withBuild = process.argv.includes("--build");
if (!isReady()) {
  const release = await lock();
  try {
    if (!isInstalled()) install();
    if (withBuild && !isBuilt()) build();
  } finally {
    release();
  }
}

function isReady() {
  return isInstalled() && (!withBuild || isBuilt());
}

function requireNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1])) return;
  fail(`Node ${NODE_MIN.join(".")} or newer is needed, this is ${process.versions.node}. See https://nodejs.org`);
}

/** The lock file, and the machine, since some packages bring binaries. */
function installKey() {
  return digest([readFileSync(at("package-lock.json")), process.platform, process.arch]);
}

function isInstalled() {
  return readOrEmpty(installStamp) === installKey();
}

function install() {
  if (!isInstalledByHand()) {
    say("installing dependencies (npm ci)");
    // None of the packages needs its install script: the native ones bring prebuilt binaries.
    const status = npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    if (status !== 0) fail("npm ci failed, see above. Is the registry reachable? Run it again when it is.");
  }
  writeFileSync(installStamp, installKey());
}

/** Whether `npm install` has already put every package there in the version that the lock file names. */
function isInstalledByHand() {
  const present = readOrEmpty(at("node_modules", ".package-lock.json"));
  if (present === "") return false;
  const packages = JSON.parse(present).packages;
  const wanted = Object.entries(JSON.parse(readFileSync(at("package-lock.json"), "utf8")).packages);
  return wanted.every(
    ([path, { version, optional }]) =>
      path === "" || (packages[path]?.version ?? (optional ? version : undefined)) === version,
  );
}

/** Every file that the build reads, by size and time of change, plus what is installed. */
function buildKey() {
  const parts = [installKey(), readFileSync(at("tsconfig.json"))];
  const scripts = [at("scripts", "bundle-page.mjs")];
  for (const path of [...scripts, ...sourceRooms.flatMap((room) => filesBelow(at(room), ".ts")), ...pageFiles()]) {
    const { size, mtimeMs } = statSync(path);
    parts.push(`${relative(root, path)} ${size} ${mtimeMs}\n`);
  }
  return digest(parts);
}

function pageFiles() {
  return [".tsx", ".css", ".html", ".svg"].flatMap((end) => filesBelow(at(...pageSources), end));
}

function isBuilt() {
  return readOrEmpty(buildStamp) === buildKey();
}

function build() {
  // Taken before the compiler reads: a file that changes meanwhile makes the next run build again.
  const key = buildKey();
  rmSync(buildStamp, { force: true });
  const outputs = () => filesBelow(at("dist"), ".js").filter((path) => !path.startsWith(at(...pageAssets)));
  const sources = new Set(
    sourceRooms
      .flatMap((room) => filesBelow(at(room), ".ts"))
      .filter((path) => !path.startsWith(at(...pageSources)))
      .map((path) => relative(root, path).slice(0, -3)),
  );
  // The compiler never removes anything, and what a deleted source left behind would be published.
  for (const output of outputs()) {
    const stem = relative(at("dist"), output).slice(0, -3);
    if (!sources.has(stem))
      for (const end of [".js", ".js.map", ".d.ts", ".d.ts.map"]) rmSync(at("dist", stem + end), { force: true });
    sources.delete(stem);
  }
  // Its incremental memory claims outputs that somebody may have deleted.
  if (sources.size > 0) rmSync(at("dist", ".tsbuildinfo"), { force: true });
  const tsc = at("node_modules", "typescript", "bin", "tsc");
  const { status } = spawnSync(process.execPath, [tsc, "-p", at("tsconfig.json")], { cwd: root, stdio: "inherit" });
  if (status !== 0) fail("the build failed, see above");
  const page = spawnSync(process.execPath, [at("scripts", "bundle-page.mjs")], { cwd: root, stdio: "inherit" });
  if (page.status !== 0) fail("the build of the page failed, see above");
  mkdirSync(at("dist"), { recursive: true });
  writeFileSync(buildStamp, key);
}

/**
 * Waits for the lock of this checkout and takes it. The lock is a file that holds our process id; it is linked into
 * place, so it is never seen half written, and one whose process has gone is taken over.
 */
async function lock() {
  const user = process.getuid?.() ?? "user";
  const path = join(tmpdir(), `wavekv-setup-${user}-${digest([root]).slice(0, 16)}.lock`);
  const mine = `${path}.${process.pid}`;
  writeFileSync(mine, String(process.pid));
  const deadline = Date.now() + LOCK_WAIT_MS_MAX;
  let told = false;
  try {
    for (;;) {
      try {
        linkSync(mine, path);
        break;
      } catch (error) {
        if (error.code !== "EEXIST") throw error;
      }
      const holder = readOrEmpty(path);
      if (holder !== "" && !isAlive(Number(holder))) {
        takeAway(path, holder);
        continue;
      }
      if (Date.now() > deadline) fail(`process ${holder} has held ${path} for too long; stop it or remove the file`);
      if (!told) say(`waiting for another setup of this checkout (process ${holder})`);
      told = true;
      await delay(LOCK_POLL_MS);
    }
  } finally {
    rmSync(mine, { force: true });
  }
  const release = () => {
    if (readOrEmpty(path) === String(process.pid)) rmSync(path, { force: true });
  };
  // `fail` leaves by process.exit, which runs no `finally`.
  process.once("exit", release);
  return release;
}

/** Removes the lock of a process that has gone, unless somebody else did so and has put a live one in its place. */
function takeAway(path, holder) {
  const aside = `${path}.${process.pid}.stale`;
  try {
    renameSync(path, aside);
    if (readOrEmpty(aside) !== holder) linkSync(aside, path);
  } catch (error) {
    if (error.code !== "ENOENT" && error.code !== "EEXIST") throw error;
  }
  rmSync(aside, { force: true });
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** Started by npm we use that very npm; by hand, the one on the path. */
function npm(args) {
  const script = process.env.npm_execpath;
  const viaNode = script?.endsWith(".js") || script?.endsWith(".cjs");
  const { status, error } = viaNode
    ? spawnSync(process.execPath, [script, ...args], { cwd: root, stdio: "inherit" })
    : spawnSync("npm", args, { cwd: root, stdio: "inherit", shell: process.platform === "win32" });
  if (error) fail(`npm could not be started (${error.message}); it comes with Node`);
  return status;
}

function filesBelow(directory, extension) {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true })
    .filter((path) => path.endsWith(extension))
    .map((path) => join(directory, path))
    .sort();
}

function digest(parts) {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

function readOrEmpty(path) {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error.code === "ENOENT") return "";
    throw error;
  }
}

function say(message) {
  process.stderr.write(`setup: ${message}\n`);
}

function fail(message) {
  say(message);
  process.exit(1);
}
