/**
 * Bytes in and bytes out: the two cursors under everything in this room. Little-endian, and lengths
 * and counts are varints (7 bits a byte, the lowest first, the top bit says that more follow).
 */
import { assert } from "../invariant.ts";
import { allocate } from "./allocate.ts";
import { decodeUtf8 } from "./utf8.ts";

export { isUtf8 } from "./utf8.ts";

/** The bytes are not what they should be. Never leaves the rooms codec and storage. */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
}

const INITIAL_CAPACITY = 256;
/** A writer that once held something huge does not keep the memory for it. A full record of the log is no such thing. */
const KEPT_CAPACITY_MAX = 2 * 1024 * 1024;
/** Strings up to this length are cheaper to walk here than to hand to the platform (measured). */
export const SHORT_STRING_MAX = 16;
/** And so is copying up to this many bytes, since the platform wants a view of them. */
const COPIED_HERE_MAX = 128;
const HIGHEST_BIT = 0x80;

/** A growing buffer. Reusable: `reset()` forgets what was written and keeps the memory. */
export class ByteWriter {
  #bytes = new Uint8Array(INITIAL_CAPACITY);
  #text = textOver(this.#bytes);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** Bytes written since the last reset. */
  get length(): number {
    return this.#length;
  }

  reset(): void {
    this.#length = 0;
    if (this.#bytes.length > KEPT_CAPACITY_MAX) this.#adopt(new Uint8Array(INITIAL_CAPACITY));
  }

  /** Leaves room for a header that is filled in later; what is in it is undefined until then. */
  skip(byteLength: number): void {
    this.#reserve(byteLength);
    this.#length += byteLength;
  }

  u8(value: number): void {
    if (this.#length === this.#bytes.length) this.#grow(1);
    this.#bytes[this.#length++] = value;
  }

  u16(value: number, littleEndian = true): void {
    this.#reserve(2);
    this.#view.setUint16(this.#length, value, littleEndian);
    this.#length += 2;
  }

  u32(value: number, littleEndian = true): void {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value, littleEndian);
    this.#length += 4;
  }

  f64(value: number, littleEndian = true): void {
    this.#reserve(8);
    this.#view.setFloat64(this.#length, value, littleEndian);
    this.#length += 8;
  }

  /** @param value  a safe integer, 0 at least */
  varint(value: number): void {
    if ((value | 0) === value && value >= 0 && value < HIGHEST_BIT) {
      this.u8(value);
      return;
    }
    assert(Number.isSafeInteger(value) && value >= 0, "a varint is a safe integer, 0 at least");
    this.#reserve(8);
    let rest = value;
    // Bit operations would cut the number to 32 bits.
    while (rest >= 2 ** 31) {
      this.#bytes[this.#length++] = (rest % HIGHEST_BIT) | HIGHEST_BIT;
      rest = Math.floor(rest / HIGHEST_BIT);
    }
    while (rest >= HIGHEST_BIT) {
      this.#bytes[this.#length++] = (rest & 0x7f) | HIGHEST_BIT;
      rest >>>= 7;
    }
    this.#bytes[this.#length++] = rest;
  }

  /**
   * A varint whose first byte carries the sign (bit 6) and 6 bits: doubling the value, as zig-zag
   * does, would leave the safe integers.
   *
   * @param value  a safe integer
   */
  signedVarint(value: number): void {
    const magnitude = Math.abs(value);
    const sign = value < 0 ? 0x40 : 0;
    if (magnitude < 0x40) {
      this.u8(magnitude | sign);
      return;
    }
    this.u8((magnitude % 0x40) | sign | HIGHEST_BIT);
    this.varint(Math.floor(magnitude / 0x40));
  }

  /** The bytes alone, without a length. */
  raw(value: Uint8Array): void {
    const length = value.length;
    this.#reserve(length);
    if (length <= SHORT_STRING_MAX) {
      for (let i = 0; i < length; i++) this.#bytes[this.#length + i] = value[i]!;
    } else {
      this.#bytes.set(value, this.#length);
    }
    this.#length += length;
  }

  /** UTF-8 alone, without a length. @param value  well-formed */
  utf8(value: string, byteLength: number): void {
    this.#reserve(byteLength);
    if (value.length === byteLength && byteLength <= SHORT_STRING_MAX) {
      for (let i = 0; i < byteLength; i++) this.#bytes[this.#length + i] = value.charCodeAt(i);
    } else {
      this.#text.write(value, this.#length, "utf8");
    }
    this.#length += byteLength;
  }

  /** The length in bytes as a varint, then UTF-8. @param value  well-formed */
  string(value: string): void {
    const byteLength = Buffer.byteLength(value);
    this.varint(byteLength);
    this.utf8(value, byteLength);
  }

  /** The bytes of a hexadecimal string, without a length. */
  hex(value: string): void {
    this.#reserve(value.length / 2);
    this.#length += this.#text.write(value, this.#length, "hex");
  }

  /**
   * Writes a string of ASCII without a length, and returns whether it was one: if not, nothing is written.
   * For short strings, where walking is cheaper than asking the platform.
   */
  ascii(value: string): boolean {
    const { length } = value;
    this.#reserve(length);
    const bytes = this.#bytes;
    const start = this.#length;
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i);
      if (code >= HIGHEST_BIT) return false;
      bytes[start + i] = code;
    }
    this.#length = start + length;
    return true;
  }

  /** Overwrites `byteLength` bytes that were written before, big-endian. For what is known only afterwards. */
  patch(position: number, value: number, byteLength: number): void {
    for (let i = position + byteLength - 1, rest = value; i >= position; i--, rest >>>= 8) this.#bytes[i] = rest & 0xff;
  }

  /** Takes `byteLength` bytes at `position` out again. */
  cut(position: number, byteLength: number): void {
    this.#bytes.copyWithin(position, position + byteLength, this.#length);
    this.#length -= byteLength;
  }

  /** What was written, as a view: valid until the next write or reset. */
  bytes(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#bytes.buffer, 0, this.#length);
  }

  /** What was written, as a copy (which may share its ArrayBuffer with other copies). */
  copy(): Uint8Array {
    const length = this.#length;
    const copied = allocate(length);
    const bytes = this.#bytes;
    if (length <= COPIED_HERE_MAX) for (let i = 0; i < length; i++) copied[i] = bytes[i]!;
    else copied.set(this.bytes());
    return copied;
  }

  #reserve(byteLength: number): void {
    if (this.#length + byteLength > this.#bytes.length) this.#grow(byteLength);
  }

  #grow(byteLength: number): void {
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + byteLength));
    grown.set(this.bytes());
    this.#adopt(grown);
  }

  #adopt(bytes: Uint8Array<ArrayBuffer>): void {
    this.#bytes = bytes;
    this.#text = textOver(bytes);
    this.#view = new DataView(bytes.buffer);
  }
}

/** Reads from start to end. Every method throws DecodeError rather than read behind the end. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #position: number;
  /** What `#bytes` is a view of, once a view is wanted: asking for it takes longer than making the view. */
  #buffer: ArrayBufferLike | undefined;

  /** Reads `bytes` from `start` (default 0) to its end. */
  constructor(bytes: Uint8Array, start = 0) {
    this.#bytes = bytes;
    this.#position = start;
    this.#end = bytes.length;
  }

  get position(): number {
    return this.#position;
  }

  get remaining(): number {
    return this.#end - this.#position;
  }

  u8(): number {
    const byte = this.#bytes[this.#position];
    if (byte === undefined) throw truncated();
    this.#position++;
    return byte;
  }

  u16(): number {
    return this.u8() + this.u8() * 0x100;
  }

  u32(): number {
    return this.u16() + this.u16() * 0x1_0000;
  }

  f64(): number {
    if (this.remaining < 8) throw truncated();
    for (let i = 0; i < 8; i++) scratch[i] = this.#bytes[this.#position + i]!;
    this.#position += 8;
    return scratchView.getFloat64(0, true);
  }

  /** A safe integer, 0 at least. */
  varint(): number {
    let value = this.u8();
    if (value < HIGHEST_BIT) return value;
    value -= HIGHEST_BIT;
    for (let scale = HIGHEST_BIT; scale <= 2 ** 49; scale *= HIGHEST_BIT) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < HIGHEST_BIT) {
        if (value > Number.MAX_SAFE_INTEGER) throw new DecodeError("a number above 2^53 - 1");
        return value;
      }
    }
    throw new DecodeError("a number of more than eight bytes");
  }

  /** A safe integer. */
  signedVarint(): number {
    const first = this.u8();
    let magnitude = first & 0x3f;
    if (first >= HIGHEST_BIT) magnitude += this.varint() * 0x40;
    if (magnitude > Number.MAX_SAFE_INTEGER) throw new DecodeError("a number beyond 2^53 - 1");
    return (first & 0x40) !== 0 && magnitude !== 0 ? -magnitude : magnitude;
  }

  /** A number of things of `bytesEach` bytes at least: never more than the bytes that are left can hold. */
  count(max: number, bytesEach: number): number {
    const count = this.varint();
    if (count > max || count * bytesEach > this.remaining) throw new DecodeError(`a count of ${count}`);
    return count;
  }

  /** The next `byteLength` bytes, as a view. */
  bytes(byteLength: number): Uint8Array {
    if (byteLength > this.remaining) throw truncated();
    const start = this.#position;
    this.#position += byteLength;
    this.#buffer ??= this.#bytes.buffer;
    return new Uint8Array(this.#buffer, this.#bytes.byteOffset + start, byteLength);
  }

  /** A length as a varint and as many bytes of UTF-8; well-formed, `bytesMax` bytes at most. */
  string(bytesMax: number): string {
    const byteLength = this.varint();
    if (byteLength > bytesMax) throw new DecodeError(`a string of ${byteLength} bytes`);
    if (byteLength > this.remaining) throw truncated();
    const start = this.#position;
    this.#position += byteLength;
    return readUtf8(this.#bytes, start, this.#position);
  }

  /** `byteLength` bytes as lower-case hexadecimal digits. */
  hex(byteLength: number): string {
    let digits = "";
    for (let i = 0; i < byteLength; i++) digits += HEX[this.u8()]!;
    return digits;
  }
}

/** The string in these bytes. Throws DecodeError if they are not UTF-8. */
export function readUtf8(bytes: Uint8Array, start: number, end: number): string {
  const text = decodeUtf8(bytes, start, end);
  if (text === undefined) throw new DecodeError("a string that is not UTF-8");
  return text;
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
const scratch = new Uint8Array(8);
const scratchView = new DataView(scratch.buffer);

function textOver(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function truncated(): DecodeError {
  return new DecodeError("the bytes end too soon");
}
