/** What a transaction has written so far, by key and in the order of keys, to be shown over the store. */
import { decodeKey } from "../codec/keys.ts";
import { compareBytes } from "../core/low-keys.ts";
import { ReplicaError } from "../errors.ts";
import type { LocalWrite } from "../sync/state-writer.ts";
import type { ByteRange } from "./key-ranges.ts";
import { batchBytesOf, checkBatchBytes, checkClearBytes, DELETE_OVERHEAD_BYTES } from "./local-writes.ts";
import type { Row } from "./scans.ts";

interface Rows extends IterableIterator<Row> {
  return(): IteratorResult<Row>;
}

interface Written {
  readonly write: LocalWrite;
  /** By `clear`, whose deletes do not count as operations. */
  readonly cleared: boolean;
}

export class Overlay {
  readonly #operationsMax: number;
  readonly #written = new Map<string, Written>();
  /** The writes by key. Made when it is asked for. */
  #ordered: LocalWrite[] | undefined;
  /** Whether a view reads `#ordered`, which then must stay what it is. */
  #isShared = false;
  #operations = 0;
  #bytes = 0;
  #clearedBytes = 0;

  /** @param operationsMax  writes to distinct keys, those of `clear` not counted */
  constructor(operationsMax: number) {
    this.#operationsMax = operationsMax;
  }

  get(key: string): LocalWrite | undefined {
    return this.#written.get(key)?.write;
  }

  /** One write for each key, in the order in which the keys were first written. */
  writes(): LocalWrite[] {
    return Array.from(this.#written.values(), ({ write }) => write);
  }

  /** @throws ReplicaError ERR_LIMIT; then nothing has changed */
  write(key: string, write: LocalWrite): void {
    const held = this.#written.get(key);
    const operations = this.#operations + (held === undefined || held.cleared ? 1 : 0);
    if (operations > this.#operationsMax) {
      const message = `a transaction of more than ${this.#operationsMax} operations: do it in parts`;
      throw new ReplicaError("ERR_LIMIT", message);
    }
    const bytes = this.#bytes + batchBytesOf(write) - batchBytesOf(held?.write);
    checkBatchBytes(bytes);
    this.#operations = operations;
    this.#bytes = bytes;
    this.#written.set(key, { write, cleared: false });
    this.#order(write, held === undefined);
  }

  /** Deletes all of `rows`. @throws ReplicaError ERR_LIMIT; then nothing has changed */
  clear(rows: Iterable<Row>): void {
    const keys: Uint8Array[] = [];
    let clearedBytes = this.#clearedBytes;
    for (const { key } of rows) {
      clearedBytes += key.length + DELETE_OVERHEAD_BYTES;
      checkClearBytes(clearedBytes);
      keys.push(key);
    }
    this.#clearedBytes = clearedBytes;
    for (const key of keys) {
      const name = decodeKey(key);
      const held = this.#written.get(name);
      this.#bytes -= batchBytesOf(held?.write);
      if (held?.cleared === false) this.#operations -= 1;
      this.#written.set(name, { write: { key, value: null, expiresAt: 0 }, cleared: true });
    }
    // Sorting finds the runs of keys that are in order already.
    this.#ordered = undefined;
  }

  /**
   * The rows of the store with those that were written in their place. Later writes do not disturb it.
   *
   * @param store  the range as it is in the store, in the direction asked for
   */
  over(store: IterableIterator<Row>, range: ByteRange, reverse: boolean): Rows {
    this.#ordered ??= this.writes().sort((a, b) => compareBytes(a.key, b.key));
    this.#isShared = true;
    const from = indexOf(this.#ordered, range.gte);
    const to = Math.max(from, indexOf(this.#ordered, range.lt));
    return merged(store, this.#ordered, { from, to, reverse });
  }

  #order(write: LocalWrite, isNew: boolean): void {
    if (this.#ordered === undefined) return;
    if (this.#isShared) this.#ordered = this.#ordered.slice();
    this.#isShared = false;
    this.#ordered.splice(indexOf(this.#ordered, write.key), isNew ? 0 : 1, write);
  }
}

/** Where the first key is that is not below `key`. */
function indexOf(ordered: readonly LocalWrite[], key: Uint8Array): number {
  let low = 0;
  let high = ordered.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const write = ordered[middle];
    if (write !== undefined && compareBytes(write.key, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Merges the store with `ordered[from..to[`, which hides rows of the same key. Deletes are left out. */
function merged(
  store: IterableIterator<Row>,
  ordered: readonly LocalWrite[],
  { from, to, reverse }: { from: number; to: number; reverse: boolean },
): Rows {
  const step = reverse ? -1 : 1;
  let at = reverse ? to - 1 : from;
  let left = to - from;
  let ahead: Row | undefined;
  let isDone = false;
  const take = (): Row | undefined => {
    if (ahead === undefined && !isDone) {
      const next = store.next();
      if (next.done === true) isDone = true;
      else ahead = next.value;
    }
    const row = ahead;
    const own = left > 0 ? ordered[at] : undefined;
    const order = own === undefined ? -1 : row === undefined ? 1 : compareBytes(row.key, own.key) * step;
    if (order <= 0) ahead = undefined;
    if (order < 0) return row;
    at += step;
    left -= 1;
    return own;
  };
  const end = (): IteratorReturnResult<undefined> => {
    left = 0;
    ahead = undefined;
    isDone = true;
    store.return?.();
    return { done: true, value: undefined };
  };
  return {
    next() {
      for (let row = take(); row !== undefined; row = take())
        if (row.value !== null) return { done: false, value: row };
      return end();
    },
    return: end,
    [Symbol.iterator]() {
      return this;
    },
  };
}
