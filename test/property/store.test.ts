/**
 * A replica against a sorted array (test/models/store-model.ts), under random calls of the whole data API, in virtual
 * time, closed and opened again now and then. `npm run model -- --runs 5000` does more of it.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  type BatchOperation,
  type KeyRange,
  openReplica,
  type Replica,
  type ScanOptions,
  type Transaction,
  type WatchEvent,
} from "../../src/index.ts";
import { MemoryDisk } from "../../src/storage/memory-disk.ts";
import { countingRandom } from "../models/store-harness.ts";
import { isIn, type ModelEntry, StoreModel, type Write } from "../models/store-model.ts";
import { VirtualTime } from "../models/virtual-time.ts";

/** Prefixes of each other, and pairs that UTF-8 and UTF-16 order differently: U+FFFD is below U+10000 only as bytes. */
const KEYS = ["a", "a/", "a/1", "a/2", "a0", "b", "é", "\u{fffd}", "\u{10000}", "__proto__", "constructor", "z"];
/** The clock is leased by the second, so that after a restart it may be that much ahead. */
const LEASE_MS = 1001;

type TransactionStep =
  | Write
  | { type: "read" }
  | { type: "scan"; options: ScanOptions }
  | { type: "clear"; range: KeyRange };
type Condition = "present" | "absent" | "stale";
type Command =
  | Write
  | { type: "conditional"; write: Write; condition: Condition }
  | { type: "batch"; writes: Write[]; condition?: Condition }
  | { type: "transaction"; steps: TransactionStep[]; throws: boolean }
  | { type: "clear"; range: KeyRange }
  | { type: "scan"; options: ScanOptions }
  | { type: "iterate"; options: ScanOptions }
  | { type: "advance"; iterator: number; rows: number; returns: boolean }
  | { type: "watch"; range: KeyRange; initial: boolean }
  | { type: "resume"; event: number; range: KeyRange; initial: boolean }
  | { type: "pass"; ms: number }
  | { type: "checkpoint" }
  | { type: "reopen" };

const key = fc.constantFrom(...KEYS);
const value = fc.oneof(
  fc.constant(null),
  fc.integer(),
  fc.string({ unit: "grapheme" }),
  fc.uint8Array({ maxLength: 4 }),
  fc.dictionary(fc.constantFrom("x", "__proto__", "constructor"), fc.integer()),
  fc.array(fc.integer(), { maxLength: 3 }),
);
const put = fc.record(
  { type: fc.constant("put" as const), key, value, ttlMs: fc.constantFrom(0.5, 1, 49, 50, 51, 5000) },
  { requiredKeys: ["type", "key", "value"] },
);
const del = fc.record({ type: fc.constant("del" as const), key });
const write: fc.Arbitrary<Write> = fc.oneof({ weight: 3, arbitrary: put }, { weight: 1, arbitrary: del });
const writes = fc.array(write, { maxLength: 8, size: "max" });
const range: fc.Arbitrary<KeyRange> = fc.record(
  { prefix: fc.constantFrom("", "a", "a/", "é"), gt: key, gte: key, lt: key, lte: key },
  { requiredKeys: [] },
);
const options = fc
  .tuple(range, fc.record({ reverse: fc.boolean(), limit: fc.nat(4) }, { requiredKeys: [] }))
  .map(([keys, more]): ScanOptions => ({ ...keys, ...more }));
const condition = fc.constantFrom<Condition>("present", "absent", "stale");
const scan = fc.record({ type: fc.constant("scan" as const), options });
const clear = fc.record({ type: fc.constant("clear" as const), range });
const transactionStep: fc.Arbitrary<TransactionStep> = fc.oneof(
  { weight: 4, arbitrary: write },
  { weight: 1, arbitrary: fc.constant({ type: "read" as const }) },
  { weight: 3, arbitrary: scan },
  { weight: 1, arbitrary: clear },
);
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 6, arbitrary: write },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("conditional" as const), write, condition }) },
  {
    weight: 2,
    arbitrary: fc.record(
      { type: fc.constant("batch" as const), writes, condition },
      { requiredKeys: ["type", "writes"] },
    ),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant("transaction" as const),
      steps: fc.array(transactionStep, { maxLength: 10, size: "max" }),
      throws: fc.nat(4).map((n) => n === 0),
    }),
  },
  { weight: 1, arbitrary: clear },
  { weight: 2, arbitrary: scan },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("iterate" as const), options }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant("advance" as const),
      iterator: fc.nat(20),
      rows: fc.nat(4),
      returns: fc.nat(5).map((n) => n === 0),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("watch" as const), range, initial: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant("resume" as const), event: fc.nat(200), range, initial: fc.boolean() }),
  },
  { weight: 3, arbitrary: fc.record({ type: fc.constant("pass" as const), ms: fc.constantFrom(1, 49, 50, 4949) }) },
  { weight: 1, arbitrary: fc.constant({ type: "checkpoint" as const }) },
  { weight: 1, arbitrary: fc.constant({ type: "reopen" as const }) },
);

/** A watch, what it has told so far, and what it has to tell: judged when it is over. */
interface Watch {
  readonly told: WatchEvent[];
  readonly judge: (told: readonly WatchEvent[], model: StoreModel) => void;
  readonly over: Promise<void>;
}

class Subject {
  readonly time = new VirtualTime();
  readonly model = new StoreModel(this.time.now());
  readonly #open: () => Promise<Replica>;
  /** Versions that keys have had, the oldest first. */
  readonly #versions: string[] = [];
  #iterators: { readonly iterator: Iterator<[string, unknown]>; readonly expected: [string, unknown][] }[] = [];
  #watches: Watch[] = [];
  /** The versions of all events, in order: what a watch of everything has told, over all restarts. */
  readonly #told: string[] = [];
  #replica: Replica;

  static async open(onDisk: boolean): Promise<Subject> {
    const time = new VirtualTime();
    const ports = { clock: time, timers: time, random: countingRandom(), disk: new MemoryDisk() };
    const open = () => openReplica({ nodeId: "n", ...ports, ...(onDisk ? { directory: "d" } : {}) });
    return new Subject(time, open, await open());
  }

  private constructor(time: VirtualTime, open: () => Promise<Replica>, replica: Replica) {
    this.time = time;
    this.model = new StoreModel(time.now());
    this.#open = open;
    this.#replica = replica;
    this.#record();
  }

  async execute(command: Command): Promise<void> {
    const { model } = this;
    const now = this.time.now();
    switch (command.type) {
      case "put":
      case "del": {
        const written = this.#write(command);
        model.write(command, now);
        // Read your own write, before it is durable.
        this.check({});
        await written;
        return this.#keepVersion(command.key);
      }
      case "conditional": {
        const { ifVersion, holds } = this.#condition(command.write.key, command.condition);
        const failure = await failureOf(this.#write(command.write, ifVersion));
        expect(failure).toBe(holds ? undefined : "ERR_VERSION_MISMATCH");
        if (holds) model.write(command.write, now);
        return this.#keepVersion(command.write.key);
      }
      case "batch":
        return await this.#batch(command.writes, command.condition);
      case "transaction":
        return await this.#transaction(command.steps, command.throws);
      case "clear":
        model.clear(command.range, now);
        await this.#replica.clear(command.range);
        return;
      case "scan":
        return this.check(command.options);
      case "iterate": {
        const iterator = this.#replica.entries(command.options)[Symbol.iterator]();
        this.#iterators.push({ iterator, expected: model.scan(command.options, now) });
        return;
      }
      case "advance":
        return this.#advance(command.iterator, command.rows, command.returns);
      case "watch":
        return this.#watch(command.range, command.initial);
      case "resume":
        return this.#resume(command.event, command.range, command.initial);
      case "pass":
        this.time.advance(command.ms);
        model.passed(this.time.now());
        // What a tick has expired becomes durable, and is told, in promises.
        return await new Promise((resolve) => setImmediate(resolve));
      case "checkpoint":
        return await this.#replica.checkpoint();
      case "reopen":
        return await this.#reopen();
    }
  }

  /** Every way of reading says what the model says. */
  check(options: ScanOptions): void {
    const now = this.time.now();
    const replica = this.#replica;
    const expected = this.model.scan(options, now);
    expect([...replica.entries(options)]).toEqual(expected);
    expect([...replica.keys(options)]).toEqual(expected.map(([name]) => name));
    expect([...replica.values(options)]).toEqual(expected.map(([, held]) => held));
    const held = new Map(this.model.scan({}, now));
    expect(replica.getMany(KEYS)).toEqual(KEYS.map((name) => held.get(name)));
    expect(KEYS.filter((name) => replica.has(name))).toEqual(KEYS.filter((name) => held.has(name)));
    expect(KEYS.map((name) => replica.entry(name)?.value)).toEqual(KEYS.map((name) => held.get(name)));
  }

  async close(): Promise<void> {
    for (const { iterator, expected } of this.#iterators.splice(0)) expect(rest(iterator)).toEqual(expected);
    await this.#replica.close();
    for (const watch of this.#watches.splice(0)) {
      await watch.over;
      watch.judge(watch.told, this.model);
    }
  }

  // ---- the calls -----------------------------------------------------------------------------

  #write(write: Write, ifVersion?: string | null): Promise<unknown> {
    const condition = ifVersion === undefined ? {} : { ifVersion };
    if (write.type === "del") return this.#replica.delete(write.key, condition);
    const ttl = write.ttlMs === undefined ? {} : { ttlMs: write.ttlMs };
    return this.#replica.put(write.key, write.value, { ...ttl, ...condition });
  }

  async #batch(writes: readonly Write[], condition: Condition | undefined): Promise<void> {
    const operations: BatchOperation[] = [...writes];
    const [first] = writes;
    let holds = true;
    if (first !== undefined && condition !== undefined) {
      const asked = this.#condition(first.key, condition);
      holds = asked.holds;
      operations[0] = { ...first, ifVersion: asked.ifVersion };
    }
    const failure = await failureOf(this.#replica.batch(operations));
    expect(failure).toBe(holds ? undefined : "ERR_VERSION_MISMATCH");
    if (!holds) return;
    // In the order in which keys are first named; of each the last write counts, and is judged by what was there before.
    const last = new Map<string, Write>();
    for (const write of writes) last.set(write.key, write);
    this.model.batch([...last.values()], this.time.now());
    for (const { key } of writes) this.#keepVersion(key);
  }

  async #transaction(steps: readonly TransactionStep[], throws: boolean): Promise<void> {
    const now = this.time.now();
    const inside = this.model.clone();
    const touched: string[] = [];
    const run = (tx: Transaction): number => {
      for (const step of steps) {
        if (step.type === "put") tx.put(step.key, step.value, step.ttlMs === undefined ? {} : { ttlMs: step.ttlMs });
        if (step.type === "del") tx.delete(step.key);
        if (step.type === "clear") {
          for (const [name] of inside.scan(step.range, now)) if (!touched.includes(name)) touched.push(name);
          tx.clear(step.range);
          inside.clear(step.range, now);
        }
        if (step.type === "put" || step.type === "del") {
          if (!touched.includes(step.key)) touched.push(step.key);
          inside.write(step, now);
        }
        if (step.type === "read") {
          expect(tx.getMany(KEYS)).toEqual(KEYS.map((name) => inside.get(name, now)));
          expect(KEYS.map((name) => tx.entry(name)?.value)).toEqual(KEYS.map((name) => inside.get(name, now)));
        }
        if (step.type === "scan") expect([...tx.entries(step.options)]).toEqual(inside.scan(step.options, now));
      }
      if (throws) throw new Error("rolled back");
      return steps.length;
    };
    const call = this.#replica.transaction(run);
    if (throws) return await expect(call).rejects.toThrow("rolled back");
    const ends = touched.map(
      (name) => inside.entries.find((entry) => entry.key === name && entry.expiresAt > now) ?? name,
    );
    const written = ends.map((end) => writeOf(end, now));
    this.model.batch(written, now);
    this.check({});
    expect((await call).result).toBe(steps.length);
    for (const name of touched) this.#keepVersion(name);
  }

  #condition(name: string, condition: Condition): { ifVersion: string | null; holds: boolean } {
    const present = this.#replica.entry(name)?.version ?? null;
    expect(present === null).toBe(this.model.scan({ gte: name, lte: name }, this.time.now()).length === 0);
    const ifVersion = condition === "present" ? present : condition === "absent" ? null : (this.#versions[0] ?? null);
    return { ifVersion, holds: ifVersion === present };
  }

  #keepVersion(name: string): void {
    const version = this.#replica.entry(name)?.version;
    if (version !== undefined) this.#versions.push(version);
  }

  #advance(index: number, rows: number, returns: boolean): void {
    const at = index % Math.max(1, this.#iterators.length);
    const one = this.#iterators[at];
    if (one === undefined) return;
    for (let row = 0; row < rows; row += 1) {
      const expected = one.expected.shift();
      const next = one.iterator.next();
      expect(next).toEqual(
        expected === undefined ? { done: true, value: undefined } : { done: false, value: expected },
      );
    }
    if (!returns) return;
    one.iterator.return?.();
    expect(one.iterator.next().done).toBe(true);
    this.#iterators.splice(at, 1);
  }

  // ---- watching ------------------------------------------------------------------------------

  #start(events: AsyncIterable<WatchEvent>, judge: Watch["judge"]): void {
    const told: WatchEvent[] = [];
    const over = (async () => {
      for await (const event of events) told.push(event);
    })();
    this.#watches.push({ told, judge, over });
  }

  /** Watches everything, as long as the process lives. */
  #record(): void {
    const from = this.model.events.length;
    const overdue = this.#overdue();
    this.#start(this.#replica.watch(), (told, model) => {
      const expected = withoutFirst(model.events.slice(from), overdue);
      expect(inOrder(told.map(plain))).toEqual(inOrder(expected));
      const versions = told.map((event) => ("version" in event ? event.version : ""));
      expect(new Set(versions).size).toBe(versions.length);
      // Where each event of the model was told, if it was.
      for (const event of model.events.slice(from))
        this.#told.push(expected.includes(event) ? (versions.shift() ?? "") : "");
    });
  }

  #watch(keys: KeyRange, initial: boolean): void {
    const from = this.model.events.length;
    const present = initial ? this.model.scan(keys, this.time.now()) : undefined;
    const overdue = this.#overdue();
    this.#start(this.#replica.watch({ ...keys, initial }), (told, model) => {
      const first = present?.map(([name, held]) => ({ type: "put", key: name, value: held })) ?? [];
      // Whose time was over when the watch began was not there any more.
      const later = withoutFirst(model.events.slice(from), overdue).filter((event) => isIn(event.key, keys));
      const expected = [...first, ...(initial ? [{ type: "ready" }] : []), ...later];
      expect(inOrder(told.map(plain))).toEqual(inOrder(expected));
    });
  }

  #resume(event: number, keys: KeyRange, initial: boolean): void {
    // Events of this process come to be known when it is over: only those of earlier ones have versions here.
    const at = event % Math.max(1, this.#told.length);
    const since = this.#told[at];
    const before = this.model.histories[at];
    if (since === undefined || since === "" || before === undefined) return;
    this.#start(this.#replica.watch({ ...keys, since, initial }), (told, model) => {
      const isLagged = told[0]?.type === "lagged";
      if (isLagged && !initial) return;
      expect(told.filter(({ type }) => type === "ready")).toHaveLength(initial ? 1 : 0);
      // Whatever came in between, what was there behind that event and what was told make what is there now.
      const state = new Map(isLagged ? [] : before.filter((entry) => isIn(entry.key, keys)).map(pair));
      for (const one of told) {
        if (one.type === "put") state.set(one.key, one.value);
        else if ("key" in one) state.delete(one.key);
      }
      // What is over may have been told of, or be left to the next tick, or never have been shown.
      for (const over of this.#overdue()) state.delete(over);
      const present = model.entries.filter((entry) => isIn(entry.key, keys) && !this.#overdue().includes(entry.key));
      const now = present.map(pair);
      expect([...state].sort(byName)).toEqual([...now].sort(byName));
    });
  }

  /** Keys whose time is over and of which no tick has told yet. */
  #overdue(): string[] {
    const now = this.time.now();
    return this.model.entries.filter(({ expiresAt }) => expiresAt <= now).map((entry) => entry.key);
  }

  async #reopen(): Promise<void> {
    await this.close();
    this.time.advance(LEASE_MS);
    this.#replica = await this.#open();
    this.model.reopened(this.time.now());
    this.#record();
    this.check({});
  }
}

/** What expires at one moment does so in any order: here, by key. */
function inOrder(events: readonly Told[]): Told[] {
  const ordered = [...events];
  for (let from = 0; from < ordered.length; from += 1) {
    let to = from;
    while (ordered[to]?.type === "expire") to += 1;
    const run = ordered.slice(from, to).sort((a, b) => (String(a.key) < String(b.key) ? -1 : 1));
    ordered.splice(from, run.length, ...run);
    from = to;
  }
  return ordered;
}

interface Told {
  readonly type: string;
  readonly key?: string;
}

function plain(event: WatchEvent): Told {
  if (!("key" in event)) return event;
  const { type, key: name } = event;
  return {
    type,
    key: name,
    ...(event.type === "put" ? { value: event.value } : {}),
    ...(event.previous === undefined ? {} : { previous: event.previous }),
  };
}

function pair({ key: name, value: held }: ModelEntry): [string, unknown] {
  return [name, held];
}

function byName(a: [string, unknown], b: [string, unknown]): number {
  return a[0] < b[0] ? -1 : 1;
}

function rest(iterator: Iterator<[string, unknown]>): [string, unknown][] {
  const rows: [string, unknown][] = [];
  for (let next = iterator.next(); next.done !== true; next = iterator.next()) rows.push(next.value);
  return rows;
}

/** The write that leaves a key as the transaction left it. */
function writeOf(end: ModelEntry | string, now: number): Write {
  if (typeof end === "string") return { type: "del", key: end };
  const { key: name, value: held, expiresAt } = end;
  return Number.isFinite(expiresAt)
    ? { type: "put", key: name, value: held, ttlMs: expiresAt - now }
    : { type: "put", key: name, value: held };
}

/** Without the first expiry of each of the keys. */
function withoutFirst<Event extends { type: string; key: string }>(events: readonly Event[], keys: string[]): Event[] {
  const left = new Set(keys);
  return events.filter((event) => !(event.type === "expire" && left.delete(event.key)));
}

async function failureOf(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
    return undefined;
  } catch (error) {
    return (error as { code?: unknown }).code ?? error;
  }
}

const seed = process.env.WAVEKV_SEED === undefined ? {} : { seed: Number(process.env.WAVEKV_SEED) };

test.each([["on a disk"], ["in memory"]])(
  "a replica %s is a sorted array",
  async (where) => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 60, size: "max" }), async (commands) => {
        const subject = await Subject.open(where === "on a disk");
        for (const next of commands) if (next.type !== "reopen" || where === "on a disk") await subject.execute(next);
        subject.check({});
        await subject.execute({ type: "pass", ms: 60_000 });
        subject.check({});
        await subject.close();
        expect(subject.time.pending).toBe(0);
      }),
      { numRuns: Number(process.env.WAVEKV_RUNS ?? 100), ...seed },
    );
  },
  Number(process.env.WAVEKV_RUNS ?? 100) * 600,
);
