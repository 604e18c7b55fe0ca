/**
 * What a replica is to its user: a sorted array of entries, a list of events, and a clock that ticks. Deliberately the
 * dumbest code that could be right; test/property/store.test.ts holds every answer of a replica against it.
 */
import type { KeyRange, ScanOptions } from "../../src/index.ts";

/** `ttlMs`: see Replica.put. */
export type Write =
  | { readonly type: "put"; readonly key: string; readonly value: unknown; readonly ttlMs?: number }
  | { readonly type: "del"; readonly key: string };

export interface ModelEntry {
  readonly key: string;
  readonly value: unknown;
  readonly expiresAt: number;
}

/** What watchers are told, as far as the model knows it. */
export interface ModelEvent {
  readonly type: "put" | "delete" | "expire";
  readonly key: string;
  readonly value?: unknown;
  readonly previous?: unknown;
}

const TICK_MS = 50;

export class StoreModel {
  /** In the order of keys. */
  entries: readonly ModelEntry[] = [];
  /** Everything that watchers have been told, in order. */
  readonly events: ModelEvent[] = [];
  /** The entries as they were behind each event. */
  readonly histories: (readonly ModelEntry[])[] = [];
  #tickedAt: number;

  /** @param now  when the replica was opened: it ticks every 50 ms from then on */
  constructor(now: number) {
    this.#tickedAt = now;
  }

  /** A copy that can be written to without a trace in this one. */
  clone(): StoreModel {
    const copy = new StoreModel(this.#tickedAt);
    copy.entries = this.entries;
    return copy;
  }

  reopened(now: number): void {
    this.#tickedAt = now;
  }

  write(write: Write, now: number): void {
    const held = this.entries.find(({ key }) => key === write.key);
    // A delete of what is absent is not written, and so does not find that it has expired.
    if (held !== undefined && held.expiresAt <= now && write.type === "put") this.#expire(held);
    const previous = held !== undefined && held.expiresAt > now ? { previous: held.value } : undefined;
    const others = this.entries.filter(({ key }) => key !== write.key);
    if (write.type === "del") {
      if (previous === undefined) return;
      this.entries = others;
      this.#tell({ type: "delete", key: write.key, ...previous });
      return;
    }
    const { key, value, ttlMs } = write;
    const expiresAt = ttlMs === undefined ? Number.POSITIVE_INFINITY : Math.ceil(now + ttlMs);
    this.entries = [...others, { key, value, expiresAt }].sort(byKey);
    this.#tell({ type: "put", key, value, ...previous });
  }

  /** Writes at one moment, of distinct keys: what they find expired is told before them. */
  batch(writes: readonly Write[], now: number): void {
    for (const { type, key } of writes) {
      const held = this.entries.find((entry) => entry.key === key);
      if (held !== undefined && held.expiresAt <= now && type === "put") this.#expire(held);
    }
    for (const write of writes) this.write(write, now);
  }

  clear(range: KeyRange, now: number): void {
    for (const [key] of this.scan(range, now)) this.write({ type: "del", key }, now);
  }

  scan({ reverse = false, limit = Number.POSITIVE_INFINITY, ...range }: ScanOptions, now: number): [string, unknown][] {
    const found = this.entries.filter(({ key, expiresAt }) => expiresAt > now && isIn(key, range));
    if (reverse) found.reverse();
    return found.slice(0, limit).map(({ key, value }): [string, unknown] => [key, value]);
  }

  get(key: string, now: number): unknown {
    return this.scan({ gte: key, lte: key }, now)[0]?.[1];
  }

  /** Time has passed: what was over at the last tick has expired, the soonest first. */
  passed(now: number): void {
    const ticks = Math.floor((now - this.#tickedAt) / TICK_MS);
    if (ticks === 0) return;
    this.#tickedAt += ticks * TICK_MS;
    const due = this.entries.filter(({ expiresAt }) => expiresAt <= this.#tickedAt);
    for (const entry of due.sort((a, b) => a.expiresAt - b.expiresAt)) this.#expire(entry);
  }

  #expire(entry: ModelEntry): void {
    this.entries = this.entries.filter((other) => other !== entry);
    this.#tell({ type: "expire", key: entry.key, previous: entry.value });
  }

  #tell(event: ModelEvent): void {
    this.events.push(event);
    this.histories.push(this.entries);
  }
}

export function isIn(key: string, { prefix = "", gt, gte, lt, lte }: KeyRange): boolean {
  return (
    key.startsWith(prefix) &&
    (gt === undefined || order(key, gt) > 0) &&
    (gte === undefined || order(key, gte) >= 0) &&
    (lt === undefined || order(key, lt) < 0) &&
    (lte === undefined || order(key, lte) <= 0)
  );
}

function byKey(a: ModelEntry, b: ModelEntry): number {
  return order(a.key, b.key);
}

function order(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
