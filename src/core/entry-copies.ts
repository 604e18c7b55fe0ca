import type { Entry } from "../types.ts";
import type { Records } from "./records.ts";
import type { Slot } from "./rows.ts";

const BLOCK_BYTES_MIN = 1024;
const BLOCK_BYTES_MAX = 16 * 1024;

/**
 * Makes copies of entries that outlive changes of the table. Many share one block of memory, since an
 * allocation costs more than a copy; so an entry that is kept holds on to up to 16 KiB.
 */
export class EntryCopies {
  /** Asking a view for its buffer takes longer than making another one. */
  #buffer = new ArrayBuffer(0);
  #block = new DataView(this.#buffer);
  #used = 0;

  take(records: Records, slot: Slot): Entry {
    const { rows } = records;
    const keyLength = rows.keyLengthAt(slot);
    const valueLength = rows.valueLengthAt(slot);
    const length = records.lengthAt(slot);
    const at = this.#reserve((length + 3) & ~3);
    const block = this.#block;
    const buffer = this.#buffer;
    const source = records.viewAt(slot);
    const start = records.startAt(slot);
    for (let offset = 0; offset < length; offset += 4) {
      block.setUint32(at + offset, source.getUint32(start + offset));
    }
    return {
      key: new Uint8Array(buffer, at, keyLength),
      value: valueLength < 0 ? null : new Uint8Array(buffer, at + keyLength, valueLength),
      stamp: rows.stampAt(slot),
      origin: records.originAt(slot),
      seq: rows.seqAt(slot),
      expiresAt: records.expiresAt(slot),
    };
  }

  #reserve(size: number): number {
    if (this.#used + size > this.#block.byteLength) {
      const bytes = Math.min(Math.max(this.#block.byteLength * 2, BLOCK_BYTES_MIN), BLOCK_BYTES_MAX);
      this.#buffer = new ArrayBuffer(Math.max(bytes, size));
      this.#block = new DataView(this.#buffer);
      this.#used = 0;
    }
    const at = this.#used;
    this.#used += size;
    return at;
  }
}
