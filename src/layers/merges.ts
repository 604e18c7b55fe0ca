/**
 * The keys of a store that have a merge kind: where their parts are, and how readers, writers and watchers get whole
 * values. Parts are kept among the reserved keys, as `ff 66`, then a pair of the key and the part's name: no user key
 * can collide with them, a replica that is configured differently carries them along and shows nothing of
 * them, and the parts of a range of keys are a range.
 */
import { isUtf8 } from "../codec/bytes.ts";
import { decodeKey, encodeKey } from "../codec/keys.ts";
import { decodeValue, encodeValue } from "../codec/values.ts";
import type { CoreState } from "../core/core-state.ts";
import { compareBytes } from "../core/low-keys.ts";
import { compareOrders } from "../core/lww.ts";
import { type ByteRange, tableRange } from "../data/key-ranges.ts";
import { ReplicaError } from "../errors.ts";
import { present } from "../invariant.ts";
import { BATCH_BYTES_MAX, RESERVED_PREFIX_BYTE } from "../limits.ts";
import type { LocalWrite } from "../sync/state-writer.ts";
import type { Entry } from "../types.ts";
import type { Kind, Part, PartWrite } from "./merge-kinds.ts";
import { escapedKey, pairKey, pairsOf, splitPairKey } from "./pair-keys.ts";

/** Behind the reserved byte; 6d are member records. */
const PART_KIND_BYTE = 0x66;
const HEAD = Uint8Array.of(RESERVED_PREFIX_BYTE, PART_KIND_BYTE);

export interface MergesSource {
  readonly state: CoreState;
  readonly maxKeyBytes: number;
  readonly maxValueBytes: number;
  readonly warn: (message: string) => void;
}

export class Merges {
  readonly #source: MergesSource;
  /** Longest prefix first: it decides. */
  readonly #prefixes: readonly { readonly prefix: Uint8Array; readonly kind: Kind | undefined }[];
  #failures = 0;

  constructor(kinds: ReadonlyMap<string, Kind | undefined>, source: MergesSource) {
    this.#source = source;
    this.#prefixes = [...kinds]
      .map(([prefix, kind]) => ({ prefix: encodeKey(prefix), kind }))
      .sort((a, b) => b.prefix.length - a.prefix.length);
  }

  // ---- reading -------------------------------------------------------------------------------

  /** The kind of a key; `undefined` if it is a key like any other. */
  kindOf(key: Uint8Array): Kind | undefined {
    for (const { prefix, kind } of this.#prefixes) {
      if (key.length >= prefix.length && compareBytes(key.subarray(0, prefix.length), prefix) === 0) return kind;
    }
    return undefined;
  }

  /** The key whose part is stored under `stored`; `undefined` if that is no part of anything readers see. */
  wholeOf(stored: Uint8Array): Uint8Array | undefined {
    if (stored[0] !== RESERVED_PREFIX_BYTE || stored[1] !== PART_KIND_BYTE) return undefined;
    const { first } = splitPairKey(stored.subarray(HEAD.length));
    return this.kindOf(first) === undefined ? undefined : first;
  }

  /** A key that has a kind, with the order of its newest part; its value is `null` if it is absent all the same. `undefined`: no parts. */
  entry(key: Uint8Array): Entry | undefined {
    return this.#whole(key, [...this.#partsOf(key)]);
  }

  /**
   * What readers would see of these entries if they were set: of parts the keys that they belong to, each once, by the
   * author of the part; others as they are.
   */
  seen(entries: readonly Entry[]): readonly Entry[] {
    const seen: Entry[] = [];
    const partsByKey = new Map<string, Entry[]>();
    for (const entry of entries) {
      const key = this.wholeOf(entry.key);
      if (key === undefined || !isPart(entry)) seen.push(entry);
      else {
        const name = decodeKey(key);
        const parts = partsByKey.get(name);
        if (parts === undefined) partsByKey.set(name, [entry]);
        else parts.push(entry);
      }
    }
    for (const [name, parts] of partsByKey) {
      const key = encodeKey(name);
      const others = [...this.#partsOf(key)].filter((held) =>
        parts.every((part) => compareBytes(part.key, held.key) !== 0),
      );
      const whole = this.#whole(key, [...others, ...parts.filter(({ value }) => value !== null)]);
      const last = present(parts.at(-1), "a key is named by a part");
      seen.push({ ...last, key, value: whole?.value ?? null, expiresAt: 0 });
    }
    return seen;
  }

  /** The entries of a range, merged in where keys have a kind: a stable view as of this call. */
  view(plain: IterableIterator<Entry>, range: ByteRange, reverse: boolean): IterableIterator<Entry> {
    const { table } = this.#source.state;
    const gte = headed(escapedKey(range.gte));
    const parts = table.range(tableRange({ gte, lt: headed(escapedKey(range.lt)) }, reverse));
    // What a replica without this configuration has written there is not shown.
    const ordinary = filtered(plain, ({ key }) => this.kindOf(key) === undefined);
    return inOrder(ordinary, this.#wholes(filtered(parts, isPart)), reverse, [plain, parts]);
  }

  // ---- writing -------------------------------------------------------------------------------

  /**
   * Writes of parts in place of writes of keys that have a kind.
   * @throws ReplicaError ERR_VALUE, ERR_KEY, ERR_LIMIT, ERR_OPTION
   */
  expand(writes: readonly LocalWrite[]): readonly LocalWrite[] {
    if (writes.every(({ key }) => this.kindOf(key) === undefined)) return writes;
    let bytes = 0;
    const expanded = writes.flatMap((write) => {
      const kind = this.kindOf(write.key);
      if (kind === undefined) return [write];
      if (write.expiresAt > 0) throw new ReplicaError("ERR_OPTION", `a key of the kind "${kind.name}" takes no ttlMs`);
      const parts = this.#readParts(write.key);
      const { value } = write;
      const changed = value === null ? kind.delete(parts, this.#own) : kind.put(parts, this.#own, decodeValue(value));
      return changed.map((part) => this.#partWrite(write.key, part));
    });
    for (const { key, value } of expanded) bytes += key.length + (value?.length ?? 0);
    if (bytes > BATCH_BYTES_MAX) throw new ReplicaError("ERR_LIMIT", `a batch of ${bytes} bytes: write it in parts`);
    return expanded;
  }

  /** @throws ReplicaError ERR_OPTION if the key is no counter's; ERR_LIMIT, ERR_KEY */
  increment(key: Uint8Array, by: number): LocalWrite[] {
    const kind = this.kindOf(key);
    if (kind?.increment === undefined) {
      throw new ReplicaError(
        "ERR_OPTION",
        `"${decodeKey(key)}" is no counter: give its prefix that kind in merge, everywhere`,
      );
    }
    return kind.increment(this.#readParts(key), this.#own, by).map((part) => this.#partWrite(key, part));
  }

  /** The name of the part that we alone write. */
  get #own(): string {
    return this.#source.state.origin;
  }

  #partWrite(key: Uint8Array, { name, value }: PartWrite): LocalWrite {
    const { maxKeyBytes, maxValueBytes } = this.#source;
    const stored = headed(pairKey(key, encodeKey(name)));
    if (stored.length > maxKeyBytes) {
      const most = key.length - (stored.length - maxKeyBytes);
      throw new ReplicaError(
        "ERR_KEY",
        `"${decodeKey(key)}" is merged from parts, whose names take room: ${most} bytes at most`,
      );
    }
    return { key: stored, value: value === undefined ? null : encodeValue(value, maxValueBytes), expiresAt: 0 };
  }

  // ---- inside --------------------------------------------------------------------------------

  #partsOf(key: Uint8Array): IterableIterator<Entry> {
    const { gte, lt } = pairsOf(key);
    const parts = this.#source.state.table.range(tableRange({ gte: headed(gte), lt: headed(lt) }, false));
    return filtered(parts, isPart);
  }

  #readParts(key: Uint8Array): Part[] {
    return [...this.#partsOf(key)].map(partOf);
  }

  #whole(key: Uint8Array, stored: readonly Entry[]): Entry | undefined {
    const kind = this.kindOf(key);
    const [first] = stored;
    if (kind === undefined || first === undefined) return undefined;
    const newest = stored.reduce((a, b) => (compareOrders(a, b) < 0 ? b : a), first);
    return { ...newest, key, value: this.#folded(key, kind, stored), expiresAt: 0 };
  }

  #folded(key: Uint8Array, kind: Kind, stored: readonly Entry[]): Uint8Array | null {
    const parts = stored.map(partOf).sort((a, b) => (a.name < b.name ? -1 : 1));
    try {
      const value = kind.fold(parts);
      return value === undefined ? null : encodeValue(value);
    } catch (error) {
      // A merge function of the user's. Reading has to go on, and to show the same everywhere.
      this.#failures += 1;
      if (this.#failures === 1) {
        this.#source.warn(
          `the merge kind "${kind.name}" fails on "${decodeKey(key)}", which is left out: ${String(error)}`,
        );
      }
      return null;
    }
  }

  /** Parts of one key follow each other. */
  *#wholes(parts: IterableIterator<Entry>): Generator<Entry, undefined> {
    let key: Uint8Array | undefined;
    let stored: Entry[] = [];
    for (const part of parts) {
      const { first } = splitPairKey(part.key.subarray(HEAD.length));
      if (key !== undefined && compareBytes(first, key) !== 0) {
        const whole = this.#whole(key, stored);
        stored = [];
        if (isShown(whole)) yield whole;
      }
      key = first;
      stored.push(part);
    }
    const last = key === undefined ? undefined : this.#whole(key, stored);
    if (isShown(last)) yield last;
    return undefined;
  }
}

function isShown(whole: Entry | undefined): whole is Entry {
  return whole !== undefined && whole.value !== null;
}

function headed(pair: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEAD.length + pair.length);
  bytes.set(HEAD);
  bytes.set(pair, HEAD.length);
  return bytes;
}

/** What cannot be read as one was written by nobody who knows what he does. */
function isPart({ key }: Entry): boolean {
  const { first, second } = splitPairKey(key.subarray(HEAD.length));
  return isUtf8(first, 0, first.length) && isUtf8(second, 0, second.length);
}

function partOf({ key, value }: Entry): Part {
  const { second } = splitPairKey(key.subarray(HEAD.length));
  return { name: decodeKey(second), value: value === null ? undefined : decodeValue(value) };
}

/** Written out, as all of these: a generator that was never started does not pass `return` on. */
function filtered(entries: IterableIterator<Entry>, keeps: (entry: Entry) => boolean): IterableIterator<Entry> {
  return {
    next() {
      let next = entries.next();
      while (next.done !== true && !keeps(next.value)) next = entries.next();
      return next;
    },
    return: () => entries.return?.() ?? { done: true, value: undefined },
    [Symbol.iterator]() {
      return this;
    },
  };
}

/** Two iterations in one order. Their keys differ. @param held  what to let go of at the end */
function inOrder(
  a: Iterator<Entry>,
  b: Iterator<Entry>,
  reverse: boolean,
  held: readonly Iterator<Entry>[],
): IterableIterator<Entry> {
  const done: IteratorResult<Entry> = { done: true, value: undefined };
  let nextOfA: IteratorResult<Entry> | undefined;
  let nextOfB: IteratorResult<Entry> | undefined;
  return {
    next() {
      nextOfA ??= a.next();
      nextOfB ??= b.next();
      if (nextOfA.done === true && nextOfB.done === true) return done;
      const isA =
        nextOfB.done === true ||
        (nextOfA.done !== true && compareBytes(nextOfA.value.key, nextOfB.value.key) < 0 !== reverse);
      const next = isA ? nextOfA : nextOfB;
      if (isA) nextOfA = undefined;
      else nextOfB = undefined;
      return next;
    },
    return() {
      for (const iterator of held) iterator.return?.();
      nextOfA = done;
      nextOfB = done;
      return done;
    },
    [Symbol.iterator]() {
      return this;
    },
  };
}
