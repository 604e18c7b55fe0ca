/** The entries of one store. (Simple form, behind the final interface.) */
import { assert, present } from "../invariant.ts";
import { DIGEST_BUCKETS, RESERVED_PREFIX_BYTE } from "../limits.ts";
import type { Entry, Lsn, Millis, Origin, Seq, Stamp } from "../types.ts";
import type { VersionVector } from "./version-vector.ts";

/** Names an entry of a table as long as its key is there. */
export type Slot = number;
export const NO_SLOT = -1;

/** A part of the key space, by bytes. */
export interface Range {
  readonly gt?: Uint8Array;
  readonly gte?: Uint8Array;
  readonly lt?: Uint8Array;
  readonly lte?: Uint8Array;
  readonly reverse?: boolean;
}

interface Row {
  readonly entry: Entry;
  readonly lsn: Lsn;
}

export class EntryTable {
  readonly #rows: (Row | undefined)[] = [];
  readonly #slotByKey = new Map<string, Slot>();
  #log: { lsn: Lsn; slot: Slot }[] = [];
  #lastLsn: Lsn = 0;

  get size(): number {
    return this.#slotByKey.size;
  }

  get live(): number {
    return this.#count((entry) => entry.value !== null && entry.key[0] !== RESERVED_PREFIX_BYTE);
  }

  get tombstones(): number {
    return this.#count((entry) => entry.value === null && entry.key[0] !== RESERVED_PREFIX_BYTE);
  }

  get bytes(): number {
    let bytes = 0;
    for (const row of this.#rows) bytes += row ? row.entry.key.length + (row.entry.value?.length ?? 0) : 0;
    return bytes;
  }

  get lastLsn(): Lsn {
    return this.#lastLsn;
  }

  find(key: Uint8Array): Slot {
    return this.#slotByKey.get(nameOf(key)) ?? NO_SLOT;
  }

  set(entry: Entry, lsn: Lsn): Slot {
    assert(lsn > this.#lastLsn, "lsns ascend");
    this.#lastLsn = lsn;
    let slot = this.find(entry.key);
    if (slot === NO_SLOT) slot = this.#rows.length;
    this.#rows[slot] = { entry: { ...entry, key: entry.key.slice(), value: entry.value?.slice() ?? null }, lsn };
    this.#slotByKey.set(nameOf(entry.key), slot);
    this.#log.push({ lsn, slot });
    if (this.#log.length > 64 + 2 * this.size)
      this.#log = this.#log.filter((at) => this.#rows[at.slot]?.lsn === at.lsn);
    return slot;
  }

  /** The value goes, all else stays: the key's place in the change log, its order and its expiry. */
  expire(slot: Slot): void {
    const row = this.#row(slot);
    this.#rows[slot] = { entry: { ...row.entry, value: null }, lsn: row.lsn };
  }

  remove(slot: Slot): void {
    this.#slotByKey.delete(nameOf(this.keyAt(slot)));
    this.#rows[slot] = undefined;
  }

  entryAt(slot: Slot): Entry {
    return this.#row(slot).entry;
  }

  valueAt(slot: Slot): Uint8Array | null {
    return this.entryAt(slot).value;
  }

  keyAt(slot: Slot): Uint8Array {
    return this.entryAt(slot).key;
  }

  stampAt(slot: Slot): Stamp {
    return this.entryAt(slot).stamp;
  }

  originAt(slot: Slot): Origin {
    return this.entryAt(slot).origin;
  }

  seqAt(slot: Slot): Seq {
    return this.entryAt(slot).seq;
  }

  expiresAt(slot: Slot): Millis {
    return this.entryAt(slot).expiresAt;
  }

  lsnAt(slot: Slot): Lsn {
    return this.#row(slot).lsn;
  }

  isTombstone(slot: Slot): boolean {
    return this.entryAt(slot).value === null;
  }

  nextChange(after: Lsn, vector?: VersionVector): Slot {
    let low = 0;
    let high = this.#log.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#log[middle]?.lsn ?? 0) > after) high = middle;
      else low = middle + 1;
    }
    for (; low < this.#log.length; low += 1) {
      const at = present(this.#log[low], "the log is dense");
      const row = this.#rows[at.slot];
      if (row?.lsn === at.lsn && !vector?.covers(row.entry.origin, row.entry.seq)) return at.slot;
    }
    return NO_SLOT;
  }

  range(range: Range = {}): IterableIterator<Entry> {
    const { gt, gte, lte } = range;
    const low = gt ?? gte;
    const unbounded = range.lt === undefined && lte === undefined;
    const lt = unbounded && (low === undefined || low[0] !== RESERVED_PREFIX_BYTE) ? RESERVED : range.lt;
    const entries: Entry[] = [];
    for (const row of this.#rows) {
      if (row === undefined || row.entry.value === null) continue;
      const key = row.entry.key;
      if (gt !== undefined && Buffer.compare(key, gt) <= 0) continue;
      if (gte !== undefined && Buffer.compare(key, gte) < 0) continue;
      if (lt !== undefined && Buffer.compare(key, lt) >= 0) continue;
      if (lte !== undefined && Buffer.compare(key, lte) > 0) continue;
      entries.push(row.entry);
    }
    entries.sort((a, b) => Buffer.compare(a.key, b.key));
    return (range.reverse === true ? entries.reverse() : entries).values();
  }

  digestRoot(): string {
    let sum = 0n;
    for (const row of this.#rows) if (row !== undefined) sum += digestOf(row.entry);
    return hex(sum);
  }

  digestBucket(index: number): string {
    let sum = 0n;
    for (const slot of this.slotsOfBucket(index)) sum += digestOf(this.entryAt(slot));
    return hex(sum);
  }

  *slotsOfBucket(index: number): IterableIterator<Slot> {
    for (const [slot, row] of this.#rows.entries()) {
      if (row !== undefined && Number(hash(row.entry.key) % BigInt(DIGEST_BUCKETS)) === index) yield slot;
    }
  }

  expired(now: Millis, max: number): Slot[] {
    const slots: Slot[] = [];
    for (const [slot, row] of this.#rows.entries()) {
      if (row && row.entry.expiresAt > 0 && row.entry.expiresAt <= now && row.entry.value !== null) slots.push(slot);
    }
    return slots.sort((a, b) => this.expiresAt(a) - this.expiresAt(b)).slice(0, max);
  }

  #row(slot: Slot): Row {
    return present(this.#rows[slot], "the slot holds an entry");
  }

  #count(holds: (entry: Entry) => boolean): number {
    let count = 0;
    for (const row of this.#rows) if (row !== undefined && holds(row.entry)) count += 1;
    return count;
  }
}

const RESERVED = Uint8Array.of(RESERVED_PREFIX_BYTE);

function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1");
}

function digestOf(entry: Entry): bigint {
  if (entry.value === null) return 0n;
  const order = `${entry.stamp} ${entry.origin} ${entry.seq} ${entry.expiresAt} ${entry.key.length}`;
  return hash(Buffer.concat([Buffer.from(order), entry.key, entry.value]));
}

function hash(bytes: Uint8Array): bigint {
  let sum = 0xcbf29ce484222325n;
  for (const byte of bytes) sum = ((sum ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
  return sum;
}

function hex(sum: bigint): string {
  return (sum & 0xffffffffffffffffn).toString(16).padStart(16, "0");
}
