/** Watches a cluster from outside, as its users could: by its folders, and by the status that each node writes beside its data. */
import type { Cluster } from "./cluster.ts";
import { CommandError, pause } from "./command-line.ts";
import { type Comparison, compareFolders } from "./compare.ts";
import type { NodeStatus } from "./status.ts";
import { readStatus } from "./status-file.ts";

const LOOK_EVERY_MS = 200;
const QUIET_LOOKS = 2;
const DIFFERENCES_SHOWN = 20;

export class Observer {
  readonly #cluster: Cluster;
  readonly #signal: AbortSignal;
  readonly #statuses = new Map<string, NodeStatus>();
  /** Of processes that have gone. */
  #earlierBytes = 0;

  constructor(cluster: Cluster, signal: AbortSignal) {
    this.#cluster = cluster;
    this.#signal = signal;
  }

  /** Reads every status once. */
  async look(): Promise<void> {
    for (const { name, data } of this.#cluster.nodes) {
      const status = await readStatus(data);
      if (status === undefined) continue;
      const before = this.#statuses.get(name);
      if (before !== undefined && before.pid !== status.pid) this.#earlierBytes += before.traffic.bytesSent;
      this.#statuses.set(name, status);
    }
  }

  status(name: string): NodeStatus | undefined {
    return this.#statuses.get(name);
  }

  /** Bytes that all replicas have sent, as far as seen: each byte that moves counts once. */
  get movedBytes(): number {
    let bytes = this.#earlierBytes;
    for (const { traffic } of this.#statuses.values()) bytes += traffic.bytesSent;
    return bytes;
  }

  /** Until a condition holds for what is seen. @throws CommandError when it does not in time */
  async until(what: string, deadlineMs: number, condition: () => boolean): Promise<void> {
    const endMs = performance.now() + deadlineMs;
    for (;;) {
      await this.look();
      if (condition()) return;
      if (performance.now() > endMs) throw new CommandError(`no ${what} within ${deadlineMs / 1000} s`);
      await pause(LOOK_EVERY_MS, this.#signal);
    }
  }

  /**
   * Until nobody has anything to do and the folders are equal.
   * @throws CommandError with the differences, when they are not in time
   */
  async converge(deadlineMs: number): Promise<Comparison> {
    const endMs = performance.now() + deadlineMs;
    for (;;) {
      const isQuiet = await this.#isQuiet(endMs);
      const digest = this.#digest;
      const comparison = await compareFolders(this.#cluster.folders);
      // Something may not have been noticed before, and have been dealt with while we looked.
      const isEqual = isQuiet && comparison.differences.length === 0 && (await this.#isQuiet(endMs));
      if (isEqual && this.#digest === digest) return comparison;
      if (performance.now() < endMs) continue;
      const { differences } = comparison;
      const shown = differences.slice(0, DIFFERENCES_SHOWN).map((difference) => `  ${difference}`);
      const busy = [...this.#statuses.values()].filter(({ isIdle }) => !isIdle).map(({ name }) => name);
      throw new CommandError(
        `NOT EQUAL after ${deadlineMs / 1000} s: ${differences.length} differences, busy: ${busy.join(", ") || "nobody"}\n${shown.join("\n")}`,
      );
    }
  }

  /** Of what all agree on. */
  get #digest(): string {
    return Array.from(this.#statuses.values(), ({ digest }) => digest).join();
  }

  /** Whether all say so several times, each time anew. */
  async #isQuiet(endMs: number): Promise<boolean> {
    let quietLooks = 0;
    let seen = "";
    while (quietLooks < QUIET_LOOKS) {
      if (performance.now() > endMs) return false;
      await pause(LOOK_EVERY_MS, this.#signal);
      await this.look();
      const statuses = [...this.#statuses.values()];
      const times = statuses.map(({ atMs }) => atMs).join();
      const isQuiet =
        statuses.every(({ isIdle }) => isIdle) && new Set(statuses.map(({ digest }) => digest)).size === 1;
      if (!isQuiet) quietLooks = 0;
      else if (isFresh(times, seen)) {
        quietLooks += 1;
        seen = times;
      }
    }
    return true;
  }
}

/** Whether every one of some numbers differs from what it was. */
function isFresh(now: string, before: string): boolean {
  const old = before.split(",");
  return now.split(",").every((time, index) => time !== old[index]);
}
