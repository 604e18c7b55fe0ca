/** What `filesync run` is told, checked: every mistake is one line that says what to do, and nothing has been made by then. */
import { createHash } from "node:crypto";
import { access, constants, mkdir, readFile, realpath, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, join, relative, resolve, sep } from "node:path";
import { CommandError, describeError, parseFlags, parseNumber, UsageError } from "./command-line.ts";
import { codeOf } from "./file-errors.ts";

export interface NodeOptions {
  readonly directory: string;
  readonly data: string;
  readonly id: string | undefined;
  readonly listen: { readonly host: string; readonly port: number };
  readonly peers: readonly string[];
  readonly clusterId: string;
  readonly secret: string | undefined;
  readonly scanEveryMs: number;
  readonly output: "lines" | "json" | "live";
  /** Of the page; undefined for none. */
  readonly pagePort: number | undefined;
  readonly ignoreFiles: readonly string[];
  readonly allowsMassDelete: boolean;
  readonly allowsTwins: boolean;
}

const LOOPBACK = ["127.0.0.1", "localhost", "::1"];
const SECRET_BYTES_MIN = 16;

/** Of the arguments behind `run`. @throws CommandError, UsageError */
export async function readNodeOptions(args: readonly string[]): Promise<NodeOptions> {
  const { values, positionals } = parseFlags(
    {
      data: { type: "string" },
      id: { type: "string" },
      listen: { type: "string", default: "127.0.0.1:0" },
      peer: { type: "string", multiple: true, default: [] },
      cluster: { type: "string", default: "filesync" },
      "secret-file": { type: "string" },
      "scan-seconds": { type: "string", default: "2" },
      gitignore: { type: "boolean", default: false },
      "allow-mass-delete": { type: "boolean", default: false },
      "allow-case-twins": { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      plain: { type: "boolean", default: false },
      ui: { type: "boolean", default: false },
      "ui-port": { type: "string", default: "0" },
    },
    args,
  );
  const [directory, ...rest] = positionals;
  if (directory === undefined || rest.length > 0) throw new UsageError("run takes one folder");
  for (const peer of values.peer) {
    if (!URL.canParse(peer) || !/^wss?:$/.test(new URL(peer).protocol))
      throw new UsageError(`--peer takes an address like ws://127.0.0.1:7001, not "${peer}"`);
  }
  const listen = parseListen(values.listen, values["secret-file"] !== undefined);
  const scanEveryMs = parseNumber("scan-seconds", values["scan-seconds"], 1, 3600) * 1000;
  const secret = values["secret-file"] === undefined ? undefined : await readSecret(values["secret-file"]);
  return {
    ...(await checkDirectories(directory, values.data)),
    id: values.id,
    listen,
    peers: values.peer,
    clusterId: values.cluster,
    secret,
    scanEveryMs,
    output: values.json ? "json" : process.stdout.isTTY && !values.plain ? "live" : "lines",
    pagePort: values.ui ? parseNumber("ui-port", values["ui-port"], 0, 65_535) : undefined,
    ignoreFiles: [...(values.gitignore ? [".gitignore"] : []), ".syncignore"],
    allowsMassDelete: values["allow-mass-delete"],
    allowsTwins: values["allow-case-twins"],
  };
}

/** Where a folder's replica is kept unless the user says otherwise: outside of it, and found again by its path. */
export async function standardData(directory: string): Promise<string> {
  const path = await realpath(directory);
  const state = process.env.XDG_STATE_HOME ?? join(homedir(), ".local", "state");
  return join(state, "filesync", `${basename(path)}-${createHash("sha256").update(path).digest("hex").slice(0, 12)}`);
}

function parseListen(text: string, isGuarded: boolean): { host: string; port: number } {
  const colon = text.lastIndexOf(":");
  const host = text.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  if (colon < 1) throw new UsageError(`--listen takes HOST:PORT, for example 127.0.0.1:7001, not "${text}"`);
  const port = parseNumber("listen", text.slice(colon + 1), 0, 65_535);
  if (!LOOPBACK.includes(host) && !isGuarded)
    throw new UsageError(
      `--listen ${text}: without a secret this listens on 127.0.0.1 only; give all of them the same --secret-file`,
    );
  return { host, port };
}

async function readSecret(path: string): Promise<string> {
  let secret: string;
  try {
    secret = (await readFile(path, "utf8")).trim();
  } catch (error) {
    throw new CommandError(`--secret-file ${path} cannot be read (${describeError(error)})`);
  }
  if (Buffer.byteLength(secret) < SECRET_BYTES_MIN)
    throw new CommandError(`--secret-file ${path}: a secret has at least ${SECRET_BYTES_MIN} bytes; make a random one`);
  return secret;
}

/** @throws CommandError, UsageError; nothing has been made inside the folder then */
async function checkDirectories(
  directory: string,
  givenData: string | undefined,
): Promise<{ directory: string; data: string }> {
  try {
    if (!(await stat(directory)).isDirectory()) throw new CommandError(`${directory} is not a folder`);
    await access(directory, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    if (error instanceof CommandError) throw error;
    if (codeOf(error) === "ENOENT")
      throw new CommandError(`the folder ${directory} does not exist; create it, or check the path`);
    throw new CommandError(`the folder ${directory} cannot be used (${describeError(error)}); check its permissions`);
  }
  const data = resolve(givenData ?? (await standardData(directory)));
  refuseNesting(await realpath(directory), data);
  try {
    await mkdir(data, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new CommandError(
      `the data directory ${data} cannot be made (${describeError(error)}); choose another --data`,
    );
  }
  const paths = { directory: await realpath(directory), data: await realpath(data) };
  refuseNesting(paths.directory, paths.data);
  return paths;
}

function refuseNesting(directory: string, data: string): void {
  if (isWithin(data, directory))
    throw new UsageError(`--data ${data} is inside the folder it would be synchronised with; put it elsewhere`);
  if (isWithin(directory, data))
    throw new UsageError(`the folder ${directory} is inside the data directory ${data}; put one of them elsewhere`);
}

function isWithin(path: string, directory: string): boolean {
  const way = relative(directory, path);
  return way === "" || (way !== ".." && !way.startsWith(`..${sep}`) && way !== path);
}
