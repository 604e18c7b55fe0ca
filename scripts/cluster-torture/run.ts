/** The torture: nodes, links and writes; faults; then peace, and the comparison of what is there with the ledger. */
import { setMaxListeners } from "node:events";
import { join } from "node:path";
import { pause } from "../../demo/filesync/tools.ts";
import { choicesOf } from "../crash/random.ts";
import { type Cluster, type Fault, runFaults, SKEW_MS_MAX } from "./faults.ts";
import { Ledger } from "./ledger.ts";
import { Link } from "./link.ts";
import type { HeldEntry, Report } from "./messages.ts";
import { GoneError, NodeProcess } from "./node-process.ts";
import { SHORT_TTL_MS_MAX } from "./workload.ts";

export interface TortureOptions {
  /** Empty. What is in it is the caller's to remove. */
  readonly directory: string;
  /** Three at least: a write that two hold outlives the loss of one. */
  readonly nodes: number;
  /** Of the faults. */
  readonly durationMs: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly onLine: (line: string) => void;
}

export interface TortureResult {
  readonly totals: Ledger["totals"];
  readonly faults: ReadonlyMap<Fault, number>;
  /** From the end of the faults; undefined: not in time. */
  readonly convergedMs: number | undefined;
  readonly bytesPerWrite: number;
  /** Without faults: how often an entry came to a node, for each write; undefined: that was not reached. */
  readonly deliveriesPerWrite: number | undefined;
  /** And when nothing is written any more: bytes a second over a link, both ways, as the proxies between count them. */
  readonly idleBytesPerSecond: number | undefined;
  readonly problems: readonly string[];
}

const CONVERGE_MS_MAX = 60_000;
const QUIET_MS_MAX = 30_000;
const POLL_MS = 200;
/** Of each node, when there are no more faults. */
const STEADY_WRITES = 100;
/** A probe goes over each link every 5 s, each way. */
const IDLE_MS = 10_000;
const PROBLEMS_MAX = 50;
const WARNINGS_KEPT = 10;

export async function runTorture(options: TortureOptions): Promise<TortureResult> {
  const torture = new Torture(options);
  try {
    return await torture.run();
  } finally {
    await torture.close();
  }
}

class Torture implements Cluster {
  readonly nodes: readonly NodeProcess[];
  readonly links: readonly Link[];
  readonly #options: TortureOptions;
  readonly #ledger = new Ledger();
  readonly #problems: string[] = [];
  readonly #warnings: string[] = [];
  readonly #seeds = new Map<NodeProcess, string[]>();
  /** Aborted when the run is over, one way or the other. */
  readonly #over = new AbortController();
  #starts = 0;
  #spreading: Promise<void> | undefined;

  constructor(options: TortureOptions) {
    this.#options = options;
    this.nodes = Array.from({ length: options.nodes }, (_, index) => {
      const nodeId = `n${index + 1}`;
      const onReport = (report: Report): void => this.#onReport(nodeId, report);
      return new NodeProcess(nodeId, join(options.directory, nodeId), onReport, (problem) => this.#wrong(problem));
    });
    this.links = this.nodes.flatMap((a, index) => this.nodes.slice(index + 1).map((b) => new Link([a, b])));
  }

  async run(): Promise<TortureResult> {
    const { durationMs, seed, signal, onLine } = this.#options;
    for (const node of this.nodes) {
      const entrances = this.links.filter(({ ends }) => ends.includes(node)).map((link) => link.open(node));
      this.#seeds.set(node, await Promise.all(entrances));
    }
    await Promise.all(this.nodes.map((node) => this.start(node)));
    const startMs = performance.now();
    const onFault = (line: string): void => onLine(`${((performance.now() - startMs) / 1000).toFixed(1)} s ${line}`);
    const faults = await this.#faults(durationMs, seed, onFault);
    for (const link of this.links) link.set({ type: "up" });
    onLine("no more faults");
    const healedMs = performance.now();
    await this.#within(QUIET_MS_MAX, "the writers do not come to an end", () =>
      Promise.all(this.nodes.map((node) => node.ask({ type: "quiet" }))),
    );
    const convergedMs = await this.#converged(healedMs);
    const bytesPerWrite = this.#bytes / Math.max(1, this.#ledger.totals.writes);
    // What is still to expire does, everywhere: also by a hybrid clock that was led ahead.
    await pause(SHORT_TTL_MS_MAX + SKEW_MS_MAX, signal);
    if (convergedMs !== undefined) await this.#converged(performance.now());
    const steady = convergedMs === undefined ? undefined : await this.#steady();
    await this.#judge();
    for (const line of this.#problems.length > 0 ? this.#warnings : []) onLine(`warning: ${line}`);
    await Promise.all(this.nodes.map((node) => node.close()));
    const { totals } = this.#ledger;
    return {
      totals,
      faults,
      convergedMs,
      bytesPerWrite,
      deliveriesPerWrite: steady?.deliveriesPerWrite,
      idleBytesPerSecond: steady?.idleBytesPerSecond,
      problems: this.#problems,
    };
  }

  /** Ends everything that was started. */
  async close(): Promise<void> {
    this.#over.abort();
    await Promise.all(this.nodes.map((node) => node.kill()));
    for (const link of this.links) link.close();
  }

  async start(node: NodeProcess): Promise<void> {
    if (this.#over.signal.aborted) return;
    this.#starts += 1;
    const seed = this.#options.seed + this.#starts * 1000;
    await node.start({ seeds: this.#seeds.get(node) ?? [], seed, firstNumber: this.#ledger.nextNumber(node.nodeId) });
  }

  get mayLose(): boolean {
    return this.#spreading === undefined;
  }

  lose(node: NodeProcess): void {
    this.#ledger.lost(node.nodeId);
    const others = this.nodes.filter((other) => other !== node);
    this.#spreading = Promise.all(others.map((holder) => this.#spread(holder, others))).then(() => {
      this.#spreading = undefined;
    });
  }

  /** Resolves when what the holder has now is held by another of `others` as well, however often it ends meanwhile. */
  async #spread(holder: NodeProcess, others: readonly NodeProcess[]): Promise<void> {
    const among = others.filter((other) => other !== holder).map(({ nodeId }) => nodeId);
    while (!this.#over.signal.aborted) {
      try {
        await holder.ask({ type: "spread", among });
        return;
      } catch (error) {
        if (!(error instanceof GoneError)) throw error;
        await pause(POLL_MS);
      }
    }
  }

  async #faults(
    durationMs: number,
    seed: number,
    onFault: (line: string) => void,
  ): Promise<ReadonlyMap<Fault, number>> {
    const { signal } = this.#options;
    // Not AbortSignal.timeout: within AbortSignal.any nothing keeps that from being collected before its time is over.
    const stop = new AbortController();
    // Every fault under way listens.
    setMaxListeners(0, stop.signal);
    const abort = (): void => stop.abort();
    signal.addEventListener("abort", abort, { once: true });
    const timer = setTimeout(abort, durationMs);
    try {
      const counts = await runFaults(this, choicesOf(seed), stop.signal, onFault);
      signal.throwIfAborted();
      return counts;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    }
  }

  /** @returns how long it took all to show the same, or undefined */
  async #converged(startMs: number): Promise<number | undefined> {
    const { signal } = this.#options;
    let digests: (string | undefined)[] = [];
    while (performance.now() - startMs < CONVERGE_MS_MAX) {
      signal.throwIfAborted();
      const answers = await this.#within(QUIET_MS_MAX, "a node does not answer", () =>
        Promise.all(this.nodes.map((node) => node.ask({ type: "status" }))),
      );
      if (answers === undefined) return undefined;
      digests = answers.map(({ digest }) => digest);
      if (new Set(digests).size === 1) return performance.now() - startMs;
      await pause(POLL_MS, signal);
    }
    this.#wrong(`after ${CONVERGE_MS_MAX / 1000} s the digests differ: ${digests.join(" ")}`);
    return undefined;
  }

  /** Everything works: what a write costs then, and what it costs to be there. */
  async #steady(): Promise<{ deliveriesPerWrite: number; idleBytesPerSecond: number } | undefined> {
    const { signal } = this.#options;
    const before = await this.#delivered();
    await this.#within(QUIET_MS_MAX, "a node does not write in peace", () =>
      Promise.all(this.nodes.map((node) => node.ask({ type: "steady", writes: STEADY_WRITES }))),
    );
    if ((await this.#converged(performance.now())) === undefined) return undefined;
    // What was held back for its author would come now.
    await pause(1000, signal);
    const deliveries = (await this.#delivered()) - before;
    const bytesBefore = this.#bytes;
    const startMs = performance.now();
    await pause(IDLE_MS, signal);
    const idleS = (performance.now() - startMs) / 1000;
    return {
      deliveriesPerWrite: deliveries / (STEADY_WRITES * this.nodes.length),
      idleBytesPerSecond: (this.#bytes - bytesBefore) / idleS / this.links.length,
    };
  }

  async #delivered(): Promise<number> {
    const answers = await Promise.all(this.nodes.map((node) => node.ask({ type: "status" })));
    return answers.reduce((sum, { entriesIn = 0 }) => sum + entriesIn, 0);
  }

  /** Carried by all links so far. */
  get #bytes(): number {
    return this.links.reduce((sum, link) => sum + link.bytes, 0);
  }

  async #judge(): Promise<void> {
    const answers = await this.#within(QUIET_MS_MAX, "a node does not tell what it holds", () =>
      Promise.all(
        this.nodes.map(async (node) => {
          const { entries = [] } = await node.ask({ type: "dump" });
          const { failures = [], reasons = [] } = await node.ask({ type: "status" });
          for (const failure of failures) this.#wrong(`${node.nodeId}: ${failure}`);
          for (const reason of reasons) this.#warn(`${node.nodeId}: ${reason}`);
          return { nodeId: node.nodeId, entries };
        }),
      ),
    );
    const now = Date.now();
    const [first, ...rest] = answers ?? [];
    if (first === undefined) return;
    for (const other of rest) for (const line of differences(first, other)) this.#wrong(line);
    for (const problem of this.#ledger.check(first.entries, now)) this.#wrong(problem);
  }

  #onReport(nodeId: string, report: Report): void {
    if (report.type === "wrong") this.#wrong(`${nodeId}: ${report.what}`);
    else if (report.type === "warning") this.#warn(`${nodeId}: ${report.message}`);
    else this.#ledger.record(nodeId, report);
  }

  async #within<T>(timeoutMs: number, problem: string, run: () => Promise<T>): Promise<T | undefined> {
    const stop = new AbortController();
    const abort = (): void => stop.abort(this.#options.signal.reason);
    this.#options.signal.addEventListener("abort", abort, { once: true });
    const late = pause(timeoutMs, stop.signal).then(() => undefined);
    try {
      const result = await Promise.race([run(), late]);
      if (result === undefined) this.#wrong(problem);
      return result;
    } catch (error) {
      // Its end was reported.
      if (!(error instanceof GoneError)) throw error;
      return undefined;
    } finally {
      this.#options.signal.removeEventListener("abort", abort);
      late.catch(() => undefined);
      stop.abort();
    }
  }

  #wrong(problem: string): void {
    if (this.#problems.length < PROBLEMS_MAX) this.#problems.push(problem);
  }

  #warn(message: string): void {
    this.#warnings.push(message);
    if (this.#warnings.length > WARNINGS_KEPT * this.nodes.length) this.#warnings.shift();
  }
}

interface Dump {
  readonly nodeId: string;
  readonly entries: readonly HeldEntry[];
}

function differences(left: Dump, right: Dump): string[] {
  const show = (entry: HeldEntry | undefined): string => {
    return entry === undefined ? "nothing" : `${String(entry[1]).slice(0, 12)} at ${entry[2]}`;
  };
  const lefts = new Map(left.entries.map((entry) => [entry[0], entry]));
  const rights = new Map(right.entries.map((entry) => [entry[0], entry]));
  return [...new Set([...lefts.keys(), ...rights.keys()])].flatMap((key) => {
    const [a, b] = [lefts.get(key), rights.get(key)];
    if (JSON.stringify(a) === JSON.stringify(b)) return [];
    return [`${key} is ${show(a)} on ${left.nodeId}, ${show(b)} on ${right.nodeId}`];
  });
}
