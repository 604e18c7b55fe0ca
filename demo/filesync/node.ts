/**
 * One replica of a folder, as a process: `node node.js run DIR --data DATA`. Started by hand, or by cluster.ts, which is told
 * over the IPC channel where this one listens.
 */
import { access, constants, mkdir, realpath, stat } from "node:fs/promises";
import { join, relative, resolve, sep } from "node:path";
import { openReplica, type Replica, ReplicaError } from "wavekv";
import { WebSocketTransport } from "wavekv/transports/websocket";
import { BaseFile } from "./base.ts";
import { CommandError, describeError, parseFlags, parseNumber, pause, runCommand, UsageError } from "./command-line.ts";
import { FileStore, isChunkKey } from "./file-store.ts";
import { Folder } from "./folder.ts";
import { FolderSync } from "./folder-sync.ts";
import { createOutput, type Output } from "./output.ts";
import { pathOfKey } from "./paths.ts";
import { watchFolder } from "./watcher.ts";

const HELP = `
Keeps a folder alike on several machines (or in several places of one).

  node.js run DIR --data DATA [options]

  DIR                   the folder; it must exist
  --data DATA           where this replica keeps its own data; outside DIR, made if absent
  --id NAME             the replica's name, a different one on each; default: made once and kept
  --listen HOST:PORT    where others reach it; loopback only; port 0 picks a free one; default 127.0.0.1:0
  --peer ws://HOST:PORT somebody to connect to, repeatable; one is enough to find everybody
  --cluster NAME        replicas of different clusters never mix; default "filesync"
  --scan-seconds N      how often the whole folder is compared; default 2; a large folder less often
  --help

Not synchronised: links, special files, empty directories, modes, files above 64 MiB, names that some platform refuses.
Exit codes: 0 stopped by a signal, 1 failed, 2 wrong use.
`;

/** What a node tells the process that started it. */
export interface ReadyMessage {
  readonly type: "ready";
  /** `ws://127.0.0.1:7001` */
  readonly address: string;
}

interface NodeOptions {
  readonly directory: string;
  readonly data: string;
  readonly id: string | undefined;
  readonly listen: { readonly host: string; readonly port: number };
  readonly peers: readonly string[];
  readonly clusterId: string;
  readonly scanEveryMs: number;
}

/** Without any address nobody may be there to ask; with one we wait for an answer, however long it takes. */
const ALONE_AFTER_MS = 10_000;
/** A large folder is scanned less often: nothing else would be done. */
const SCAN_PAUSE_FACTOR = 20;
/** How long after a change to a directory everything is compared: more changes are about to follow. */
const DIRECTORY_SCAN_MS = 200;
const LOOPBACK = ["127.0.0.1", "localhost", "::1"];

await runCommand(HELP, async (signal) => {
  // Whoever started us has gone, perhaps without a word.
  process.once("disconnect", () => process.kill(process.pid, "SIGTERM"));
  process.channel?.unref();
  await runNode(await readOptions(), signal);
  return 0;
});

async function runNode(options: NodeOptions, signal: AbortSignal): Promise<void> {
  const transport = new WebSocketTransport({ listen: options.listen, seeds: options.peers });
  const openedAtMs = performance.now();
  await using replica = await openOrExplain(options, transport);
  const output = createOutput(options.id ?? replica.nodeId);
  const { folder, known } = await Folder.open(options.directory);
  const base = await BaseFile.open(join(options.data, "base.json"), () => replica.status().epoch, known);
  let isCaughtUp = false;
  const sync = new FolderSync({
    folder,
    base,
    store: new FileStore(replica, replica.nodeId),
    nodeId: replica.nodeId,
    nowMs: () => performance.now(),
    isCaughtUp: () => {
      const isAlone = options.peers.length === 0 && performance.now() - openedAtMs > ALONE_AFTER_MS;
      isCaughtUp ||= isAlone || Object.values(replica.status().peers).some(({ state }) => state === "live");
      return isCaughtUp;
    },
    report: (event) => output.event(event),
    notice: (text) => output.warn(text),
  });
  const address = transport.address ?? "";
  output.info(`listens on ${address}, keeps ${options.directory}`);
  replica.on("peer", ({ type, nodeId }) => output.info(`${nodeId} is ${type}`));
  const message: ReadyMessage = { type: "ready", address };
  process.send?.(message);
  await keep(sync, replica, options, output, signal);
  await base.save();
  output.info("stopped");
}

/** Until the signal: hints from both sides, a full scan now and then, one worker that settles paths. */
async function keep(
  sync: FolderSync,
  replica: Replica,
  { directory, scanEveryMs }: NodeOptions,
  output: Output,
  signal: AbortSignal,
): Promise<void> {
  const done = new AbortController();
  const ended = AbortSignal.any([signal, done.signal]);
  let scanAtMs = 0;
  let scanTookMs = 0;
  let wake: () => void = () => undefined;
  let failure: Error | undefined;
  const followStore = async (): Promise<void> => {
    for await (const event of replica.watch({ signal: ended })) {
      if (event.type === "lagged") scanAtMs = 0;
      else if (event.type !== "ready") {
        const path = pathOfKey(event.key);
        if (path !== undefined) sync.hint(path);
        else if (isChunkKey(event.key)) sync.hintChunk();
      }
      wake();
    }
  };
  const following = followStore().catch((error: unknown) => {
    if (ended.aborted) return;
    failure = error instanceof Error ? error : new Error(String(error));
    wake();
  });
  const unwatch = watchFolder(directory, {
    onPath: (path) => {
      sync.hint(path);
      wake();
    },
    onDirectory: () => {
      scanAtMs = Math.min(scanAtMs, performance.now() + Math.max(DIRECTORY_SCAN_MS, scanTookMs * 2));
      wake();
    },
    onTrouble: (reason) =>
      output.warn(`cannot watch everything (${reason}): relies on the scan every ${scanEveryMs} ms`),
  });
  try {
    while (!signal.aborted) {
      if (failure !== undefined) throw failure;
      if (performance.now() >= scanAtMs) {
        // Before the scan: a directory that changes during it asks for another.
        const startMs = performance.now();
        scanAtMs = startMs + Math.max(scanEveryMs, scanTookMs * SCAN_PAUSE_FACTOR);
        await sync.scan();
        scanTookMs = performance.now() - startMs;
      }
      const woken = new Promise<void>((resolve) => (wake = resolve));
      await sync.settleDue(signal);
      const waitMs = Math.min(sync.nextDueMs ?? Infinity, scanAtMs) - performance.now();
      const rest = new AbortController();
      if (waitMs > 0)
        await Promise.race([woken, pause(waitMs, AbortSignal.any([signal, rest.signal])).catch(() => undefined)]);
      rest.abort();
    }
  } finally {
    done.abort();
    await unwatch();
    await following;
  }
}

async function openOrExplain(options: NodeOptions, transport: WebSocketTransport): Promise<Replica> {
  try {
    return await openReplica({
      directory: join(options.data, "replica"),
      ...(options.id !== undefined && { nodeId: options.id }),
      clusterId: options.clusterId,
      transport,
    });
  } catch (error) {
    if (!(error instanceof ReplicaError)) throw error;
    const remedy: Partial<Record<ReplicaError["code"], string>> = {
      ERR_LOCKED: "stop the other process, or give this one another --data",
      ERR_LISTEN: "choose another port with --listen; 127.0.0.1:0 picks a free one",
      ERR_FOREIGN_DIRECTORY: "use the --id and --cluster that the data was made with, or another --data",
      ERR_STORAGE_FULL: "free some space, then start again",
      ERR_FORMAT_VERSION: "use the newer version, or another --data",
    };
    throw new CommandError(`${error.message}; ${remedy[error.code] ?? `see ${error.code}`}`, { cause: error });
  }
}

async function readOptions(): Promise<NodeOptions> {
  const { values, positionals } = parseFlags({
    data: { type: "string" },
    id: { type: "string" },
    listen: { type: "string", default: "127.0.0.1:0" },
    peer: { type: "string", multiple: true, default: [] },
    cluster: { type: "string", default: "filesync" },
    "scan-seconds": { type: "string", default: "2" },
  });
  const [command, directory, ...rest] = positionals;
  if (command !== "run")
    throw new UsageError(`unknown command ${JSON.stringify(command ?? "")}; the only one is "run"`);
  if (directory === undefined || rest.length > 0) throw new UsageError("run takes one folder");
  if (values.data === undefined) throw new UsageError("--data is missing: say where this replica keeps its own data");
  for (const peer of values.peer) {
    if (!URL.canParse(peer) || !/^wss?:$/.test(new URL(peer).protocol))
      throw new UsageError(`--peer takes an address like ws://127.0.0.1:7001, not "${peer}"`);
  }
  const listen = parseListen(values.listen);
  return {
    ...(await checkDirectories(directory, values.data)),
    id: values.id,
    listen,
    peers: values.peer,
    clusterId: values.cluster,
    scanEveryMs: parseNumber("scan-seconds", values["scan-seconds"], 1, 3600) * 1000,
  };
}

function parseListen(text: string): { host: string; port: number } {
  const colon = text.lastIndexOf(":");
  const host = text.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  if (colon < 1) throw new UsageError(`--listen takes HOST:PORT, for example 127.0.0.1:7001, not "${text}"`);
  const port = parseNumber("listen", text.slice(colon + 1), 0, 65_535);
  if (!LOOPBACK.includes(host))
    throw new UsageError(
      `--listen ${text}: this demo does not authenticate its peers, so it listens on 127.0.0.1 only`,
    );
  return { host, port };
}

/** @throws CommandError, UsageError; nothing has been made inside the folder then */
async function checkDirectories(directory: string, data: string): Promise<{ directory: string; data: string }> {
  try {
    if (!(await stat(directory)).isDirectory()) throw new CommandError(`${directory} is not a folder`);
    await access(directory, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    if (error instanceof CommandError) throw error;
    const isAbsent = error instanceof Error && "code" in error && error.code === "ENOENT";
    if (isAbsent) throw new CommandError(`the folder ${directory} does not exist; create it, or check the path`);
    throw new CommandError(`the folder ${directory} cannot be used (${describeError(error)}); check its permissions`);
  }
  refuseNesting(await realpath(directory), resolve(data));
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
