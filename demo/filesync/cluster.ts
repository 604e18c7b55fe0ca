/**
 * Three replicas of a folder as three processes: the first knows nobody, the second the first, the third only the second.
 * Everything lives below one directory: `a/folder`, `a/data`, and so on.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CommandError, pause } from "./command-line.ts";
import type { ReadyMessage } from "./node.ts";

export interface ClusterNode {
  readonly name: string;
  readonly folder: string;
  readonly data: string;
  /** `ws://127.0.0.1:7001`; stays the same over restarts. */
  readonly address: string;
}

interface Running {
  readonly node: ClusterNode;
  readonly child: ChildProcess;
}

export const CLUSTER_NAMES: readonly string[] = ["a", "b", "c"];
const START_MS_MAX = 20_000;
const STOP_MS_MAX = 10_000;

export class Cluster implements AsyncDisposable {
  readonly #directory: string;
  readonly #onDeath: (message: string) => void;
  readonly #running = new Map<string, Running>();
  readonly #nodes = new Map<string, ClusterNode>();
  readonly #expectedToEnd = new WeakSet<ChildProcess>();
  readonly #showOutput: boolean;

  /**
   * @param directory holds the folders and the data; must exist
   * @param onDeath   told when a process ends that nobody has stopped
   */
  constructor(directory: string, onDeath: (message: string) => void, { showOutput }: { showOutput: boolean }) {
    this.#directory = directory;
    this.#onDeath = onDeath;
    this.#showOutput = showOutput;
  }

  get nodes(): readonly ClusterNode[] {
    return [...this.#nodes.values()];
  }

  /** The folders by the names of their replicas. */
  get folders(): ReadonlyMap<string, string> {
    return new Map(this.nodes.map(({ name, folder }) => [name, folder]));
  }

  /** Starts all three, one after the other. Rejects when one does not come up, or with the signal's reason. */
  async start(signal: AbortSignal): Promise<void> {
    let previous: string | undefined;
    for (const name of CLUSTER_NAMES) {
      await mkdir(join(this.#directory, name, "folder"), { recursive: true });
      const { address } = await this.#spawn(name, "127.0.0.1:0", previous === undefined ? [] : [previous], signal);
      previous = address;
    }
  }

  /** Ends a process at once, as a crash would. */
  async kill(name: string): Promise<void> {
    await this.#end(name, "SIGKILL");
  }

  /** Starts a process that was killed, at its old address, knowing all others. `wipe`: without its data; its folder stays. */
  async restart(name: string, options: { wipe: boolean }, signal: AbortSignal): Promise<void> {
    const node = this.#nodes.get(name);
    if (node === undefined) throw new Error(`there is no replica ${name}`);
    if (options.wipe) await rm(node.data, { recursive: true, force: true });
    const others = this.nodes.filter((other) => other !== node).map(({ address }) => address);
    await this.#spawn(name, node.address.replace("ws://", ""), others, signal);
  }

  /** Stops everything; a process that does not stop in time is killed. Idempotent. */
  async stop(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((name) => this.#end(name, "SIGTERM")));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #spawn(name: string, listen: string, peers: readonly string[], signal: AbortSignal): Promise<ClusterNode> {
    signal.throwIfAborted();
    const folder = join(this.#directory, name, "folder");
    const data = join(this.#directory, name, "data");
    const program = fileURLToPath(import.meta.resolve("./filesync.js"));
    const options = ["--data", data, "--id", name, "--listen", listen, ...peers.flatMap((peer) => ["--peer", peer])];
    const child = spawn(process.execPath, [program, "run", folder, ...options], {
      // A group of its own: Ctrl-C reaches us alone, and we stop the others in order.
      detached: process.platform !== "win32",
      stdio: ["ignore", this.#showOutput ? "inherit" : "ignore", "inherit", "ipc"],
    });
    const address = await readyAddress(name, child, signal);
    const node: ClusterNode = { name, folder, data, address };
    this.#nodes.set(name, node);
    this.#running.set(name, { node, child });
    const onExit = (code: number | null, exitSignal: string | null): void => {
      if (this.#expectedToEnd.has(child)) return;
      this.#running.delete(name);
      this.#onDeath(`replica ${name} has died (${exitSignal ?? `exit code ${code}`})`);
    };
    if (hasEnded(child)) onExit(child.exitCode, child.signalCode);
    else child.once("exit", onExit);
    return node;
  }

  async #end(name: string, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const child = this.#running.get(name)?.child;
    if (child === undefined) return;
    this.#running.delete(name);
    this.#expectedToEnd.add(child);
    await endProcess(child, signal);
  }
}

/** Resolves with the address once the process listens; ends the process otherwise. */
async function readyAddress(name: string, child: ChildProcess, signal: AbortSignal): Promise<string> {
  const settled = new AbortController();
  try {
    return await new Promise<string>((resolve, reject) => {
      const refuse = (reason: string): void => reject(new CommandError(`replica ${name} did not start: ${reason}`));
      child.once("message", (message) => resolve((message as ReadyMessage).address));
      child.once("error", (error) => refuse(error.message));
      child.once("exit", (code, exitSignal) => refuse(`it ended with ${exitSignal ?? `exit code ${code}`}, see above`));
      pause(START_MS_MAX, AbortSignal.any([signal, settled.signal])).then(
        () => refuse(`it was not ready within ${START_MS_MAX / 1000} s`),
        reject,
      );
    });
  } catch (error) {
    await endProcess(child, "SIGKILL");
    throw error;
  } finally {
    settled.abort();
  }
}

async function endProcess(child: ChildProcess, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
  if (child.pid === undefined || hasEnded(child)) return;
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS_MAX);
  child.kill(signal);
  await ended;
  clearTimeout(timer);
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
