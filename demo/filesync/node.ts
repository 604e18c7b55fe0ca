/** One replica of a folder, until a signal: opens everything, follows both sides, closes everything. */
import { join } from "node:path";
import { openReplica, type Replica, ReplicaError, type Transport } from "wavekv";
import { WebSocketTransport } from "wavekv/transports/websocket";
import { BaseFile } from "./base.ts";
import { ChunkExchange } from "./chunk-exchange.ts";
import { CommandError, pause } from "./command-line.ts";
import { ContentTransport } from "./content-transport.ts";
import { FileStore } from "./file-store.ts";
import { Folder } from "./folder.ts";
import { FolderSync } from "./folder-sync.ts";
import { IgnoreRules } from "./ignore-rules.ts";
import { createLiveView } from "./live-view.ts";
import { LocalChunks } from "./local-chunks.ts";
import type { NodeOptions } from "./node-options.ts";
import { createJson, createLines, type Output } from "./output.ts";
import { type PageNode, servePage } from "./page.ts";
import { pathOfKey } from "./paths.ts";
import { SyncView } from "./status.ts";
import { removeStatus, writeStatus } from "./status-file.ts";
import { StoreLife } from "./store-life.ts";
import { FolderWatcher } from "./watcher.ts";

/** What a node tells the process that started it. */
export interface ReadyMessage {
  readonly type: "ready";
  /** `ws://127.0.0.1:7001` */
  readonly address: string;
}

/** Who embeds a node is told what it is made of once it is open. */
export interface OpenNode extends PageNode {
  readonly address: string;
}

interface Parts {
  readonly sync: FolderSync;
  readonly exchange: ChunkExchange;
  readonly replica: Replica;
  readonly output: Output;
  readonly ignores: IgnoreRules;
  readonly view: SyncView;
  readonly alarm: Alarm;
}

/** Without any address nobody may be there to ask; with one we wait for an answer, however long it takes. */
const ALONE_AFTER_MS = 10_000;
/** A large folder is scanned less often: nothing else would be done. */
const SCAN_PAUSE_FACTOR = 20;
/** How long after a change to a directory everything is compared: more changes are about to follow. */
const DIRECTORY_SCAN_MS = 200;
const TICK_MS = 1000;
const STATUS_EVERY_MS = 250;

/**
 * Keeps a folder until the signal.
 * @param onOpen  default: tells the process that has started this one
 * @throws CommandError
 */
export async function runNode(
  options: NodeOptions,
  signal: AbortSignal,
  onOpen: (node: OpenNode) => void = tellParent,
): Promise<void> {
  const { directory, data, secret } = options;
  const sockets = new WebSocketTransport({
    listen: options.listen,
    seeds: options.peers,
    ...(secret !== undefined && { secret }),
  });
  const openedAtMs = performance.now();
  const nowMs = (): number => performance.now();
  let notice = (_: string): void => undefined; // Nothing is shown before all is open.
  const exchange = new ChunkExchange({ nowMs, notice: (text) => notice(text) });
  const transport = new ContentTransport(sockets, (link) => exchange.opened(link));
  // First: it locks the data, and with it the folder.
  await using replica = await openOrExplain(options, transport);
  const { folder, known } = await Folder.open(directory);
  const base = await BaseFile.open(join(data, "base.json"), new StoreLife(replica, replica.nodeId), known);
  const local = new LocalChunks(folder);
  const store = new FileStore(replica);
  const neighbours = (): string[] => replica.peers().flatMap(({ nodeId, state }) => (state === "live" ? [nodeId] : []));
  const ignores = await IgnoreRules.open(directory, options.ignoreFiles);
  const alarm = new Alarm();
  const output = openOutput(options, options.id ?? replica.nodeId);
  notice = (text) => output.warn(text);
  let isCaughtUp = false;
  const sync = new FolderSync({
    folder,
    base,
    store,
    local,
    exchange,
    ignores,
    nodeId: replica.nodeId,
    nowMs,
    isCaughtUp: () => {
      const isAlone = options.peers.length === 0 && performance.now() - openedAtMs > ALONE_AFTER_MS;
      isCaughtUp ||= isAlone || neighbours().length > 0;
      return isCaughtUp;
    },
    report: (event) => output.event(event),
    wake: () => alarm.ring(),
    notice,
    allowsMassDelete: options.allowsMassDelete,
    allowsTwins: options.allowsTwins,
  });
  const address = sockets.address ?? "";
  const name = options.id ?? replica.nodeId;
  const view = new SyncView({ name, address, directory, replica, sync, base, store, exchange, nowMs });
  output.info(`listens on ${address}, keeps ${directory}`);
  replica.on("peer", ({ type, nodeId }) => output.info(`${nodeId} is ${type}`));
  const node: OpenNode = { address, replica, view, transport };
  // Closed before the replica.
  await using page = options.pagePort === undefined ? undefined : await servePage(node, [node], options.pagePort);
  if (page !== undefined) output.info(`page: ${page.link}`);
  try {
    await writeStatus(data, view.status());
    onOpen(node);
    await keep({ sync, exchange, replica, output, ignores, view, alarm }, options, signal);
    await sync.save();
  } finally {
    await sync.downloads.close();
    await removeStatus(data);
    output.close();
  }
  output.info("stopped");
}

function tellParent({ address }: OpenNode): void {
  const message: ReadyMessage = { type: "ready", address };
  process.send?.(message);
}

/** Until the signal: hints from both sides, a full scan now and then, one worker that settles paths and one for chunks. */
async function keep(parts: Parts, options: NodeOptions, signal: AbortSignal): Promise<void> {
  const { sync, exchange, replica, output, ignores, view, alarm } = parts;
  const { directory, scanEveryMs } = options;
  const done = new AbortController();
  const ended = AbortSignal.any([signal, done.signal]);
  let scanAtMs = 0;
  let scanTookMs = 0;
  const followStore = async (): Promise<void> => {
    for await (const event of replica.watch({ signal: ended })) {
      if (event.type === "lagged") scanAtMs = 0;
      else if (event.type !== "ready") {
        const path = pathOfKey(event.key);
        // What we have written ourselves is settled.
        if (path !== undefined && !event.local) sync.hint(path);
      }
      alarm.ring();
    }
  };
  const exchangeChunks = async (): Promise<void> => {
    while (!ended.aborted) {
      exchange.tick();
      await pause(TICK_MS, ended);
    }
  };
  const showStatus = async (): Promise<void> => {
    while (!ended.aborted) {
      const status = view.status();
      output.status(status);
      await writeStatus(options.data, status);
      await pause(STATUS_EVERY_MS, ended);
    }
  };
  let failure: Error | undefined;
  const tasks = [followStore, exchangeChunks, showStatus].map(async (task) => {
    try {
      await task();
    } catch (error) {
      if (ended.aborted) return;
      failure ??= error instanceof Error ? error : new Error(String(error));
      alarm.ring();
    }
  });
  const watcher = new FolderWatcher(directory, {
    ignores: (path) => ignores.ignores(path, true),
    onPath: (path) => {
      sync.hint(path);
      alarm.ring();
    },
    onDirectory: () => {
      scanAtMs = Math.min(scanAtMs, performance.now() + Math.max(DIRECTORY_SCAN_MS, scanTookMs * 5));
      alarm.ring();
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
        watcher.follow(await sync.scan());
        scanTookMs = performance.now() - startMs;
      }
      await sync.settleDue(signal);
      await alarm.sleep(Math.min(sync.nextDueMs ?? Infinity, scanAtMs) - performance.now(), signal);
    }
  } finally {
    done.abort();
    watcher.close();
    await Promise.all(tasks);
  }
}

/** Lets one sleep until somebody rings. A ring while nobody sleeps lets the next sleep end at once. */
class Alarm {
  #isRung = false;
  #wake: (() => void) | undefined;

  ring(): void {
    this.#isRung = true;
    this.#wake?.();
  }

  /** Not while another one sleeps. */
  async sleep(delayMs: number, signal: AbortSignal): Promise<void> {
    if (!this.#isRung && delayMs > 0 && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          clearTimeout(timer);
          signal.removeEventListener("abort", wake);
          resolve();
        };
        const timer = setTimeout(wake, Math.min(delayMs, 2 ** 31 - 1));
        this.#wake = wake;
        signal.addEventListener("abort", wake);
      });
      this.#wake = undefined;
    }
    this.#isRung = false;
  }
}

function openOutput({ output }: NodeOptions, name: string): Output {
  return output === "json" ? createJson(name) : output === "live" ? createLiveView() : createLines(name);
}

async function openOrExplain(options: NodeOptions, transport: Transport): Promise<Replica> {
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
