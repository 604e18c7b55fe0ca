import { DecodeError, readUtf8 } from "./bytes.ts";
import { isUtf8, utf8At } from "./utf8.ts";
import { EXT_MAP, EXT_TIMESTAMP, VALUE_DEPTH_MAX } from "./value-encoder.ts";

const NOTHING = new Uint8Array(0);
const DATE_MILLIS_MAX = 8.64e15;

/**
 * Reads values; values.ts says how they are written. Time and memory are bounded by the bytes there are, whatever
 * their lengths claim. Reading calls no code of anybody else, so one decoder serves all.
 */
export class ValueDecoder {
  #bytes: Uint8Array = NOTHING;
  #position = 0;
  #end = 0;
  #isKnown = false;

  /**
   * The value that is exactly the bytes from `start` to `end`, which are there. Throws DecodeError if there is none.
   * @param isKnown  whether they are known to be one: strings are not looked at again
   */
  decode(bytes: Uint8Array, start: number, end: number, isKnown: boolean): unknown {
    this.#bytes = bytes;
    this.#isKnown = isKnown;
    this.#position = start;
    this.#end = end;
    try {
      const value = this.#any(0);
      if (this.#position !== end) throw new DecodeError("bytes behind the value");
      return value;
    } finally {
      this.#bytes = NOTHING;
    }
  }

  /** Throws DecodeError where `decode` would; builds nothing. */
  check(bytes: Uint8Array): void {
    this.#bytes = bytes;
    this.#position = 0;
    this.#end = bytes.length;
    try {
      this.#skip(0);
      if (this.#position !== bytes.length) throw new DecodeError("bytes behind the value");
    } finally {
      this.#bytes = NOTHING;
    }
  }

  #any(depth: number): unknown {
    const type = this.#uint(1);
    if (type < 0x80) return type;
    if (type < 0x90) return this.#fields(type & 0x0f, depth);
    if (type < 0xa0) return this.#array(type & 0x0f, depth);
    if (type < 0xc0) return this.#string(type & 0x1f);
    if (type >= 0xe0) return type - 0x100;
    switch (type) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
        return this.#copy(this.#uint(1));
      case 0xc5:
        return this.#copy(this.#uint(2));
      case 0xc6:
        return this.#copy(this.#uint(4));
      case 0xc7:
      case 0xd4:
      case 0xd7:
        return this.#date(type);
      case 0xc9:
        return this.#map(depth);
      case 0xcb:
        return this.#float();
      case 0xcc:
        return this.#uint(1);
      case 0xcd:
        return this.#uint(2);
      case 0xce:
        return this.#uint(4);
      case 0xcf:
        return this.#bits64();
      case 0xd0:
        return (this.#uint(1) << 24) >> 24;
      case 0xd1:
        return (this.#uint(2) << 16) >> 16;
      case 0xd2:
        return this.#uint(4) | 0;
      case 0xd3:
        return BigInt.asIntN(64, this.#bits64());
      case 0xd9:
        return this.#string(this.#uint(1));
      case 0xda:
        return this.#string(this.#uint(2));
      case 0xdb:
        return this.#string(this.#uint(4));
      case 0xdc:
        return this.#array(this.#uint(2), depth);
      case 0xdd:
        return this.#array(this.#uint(4), depth);
      case 0xde:
        return this.#fields(this.#uint(2), depth);
      case 0xdf:
        return this.#fields(this.#uint(4), depth);
      default:
        throw unknownKind(type);
    }
  }

  #skip(depth: number): void {
    const type = this.#uint(1);
    if (type < 0x80 || type >= 0xe0) return;
    if (type < 0x90) {
      this.#skipFields(type & 0x0f, depth);
      return;
    }
    if (type < 0xa0) {
      this.#skipArray(type & 0x0f, depth);
      return;
    }
    if (type < 0xc0) {
      this.#skipString(type & 0x1f);
      return;
    }
    switch (type) {
      case 0xc0:
      case 0xc2:
      case 0xc3:
        return;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        this.#take(this.#uint(1 << (type - 0xc4)));
        return;
      case 0xc7:
      case 0xd4:
      case 0xd7:
        this.#date(type);
        return;
      case 0xc9: {
        const end = this.#mapEnd(depth);
        const count = this.#mapCount();
        for (let i = 0; i < 2 * count; i++) this.#skip(depth + 1);
        this.#expectEnd(end);
        return;
      }
      case 0xcc:
      case 0xcd:
      case 0xce:
        this.#take(1 << (type - 0xcc));
        return;
      case 0xd0:
      case 0xd1:
      case 0xd2:
        this.#take(1 << (type - 0xd0));
        return;
      case 0xcb:
      case 0xcf:
      case 0xd3:
        this.#take(8);
        return;
      case 0xd9:
      case 0xda:
      case 0xdb:
        this.#skipString(this.#uint(1 << (type - 0xd9)));
        return;
      case 0xdc:
      case 0xdd:
        this.#skipArray(this.#uint(type === 0xdc ? 2 : 4), depth);
        return;
      case 0xde:
      case 0xdf:
        this.#skipFields(this.#uint(type === 0xde ? 2 : 4), depth);
        return;
      default:
        throw unknownKind(type);
    }
  }

  #array(count: number, depth: number): unknown[] {
    this.#checkCount(count, 1, depth);
    const array: unknown[] = [];
    // Grown, not allocated by the count: nested counts would each claim all the bytes that follow.
    for (let i = 0; i < count; i++) array.push(this.#any(depth + 1));
    return array;
  }

  #skipArray(count: number, depth: number): void {
    this.#checkCount(count, 1, depth);
    for (let i = 0; i < count; i++) this.#skip(depth + 1);
  }

  #fields(count: number, depth: number): Record<string, unknown> {
    this.#checkCount(count, 2, depth);
    const object: Record<string, unknown> = {};
    for (let i = 0; i < count; i++) {
      const name = this.#name();
      const value = this.#any(depth + 1);
      // Assigning would run the setter of `__proto__`, and fail for the others where Object.prototype is frozen.
      if (INHERITED_NAMES.has(name)) {
        Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true });
      } else object[name] = value;
    }
    return object;
  }

  #skipFields(count: number, depth: number): void {
    this.#checkCount(count, 2, depth);
    for (let i = 0; i < count; i++) {
      this.#skipString(this.#nameLength());
      this.#skip(depth + 1);
    }
  }

  #map(depth: number): Map<unknown, unknown> {
    const end = this.#mapEnd(depth);
    const count = this.#mapCount();
    const map = new Map<unknown, unknown>();
    for (let i = 0; i < count; i++) {
      const key = this.#any(depth + 1);
      map.set(key, this.#any(depth + 1));
    }
    this.#expectEnd(end);
    return map;
  }

  /** The head of a Map; returns where it ends. */
  #mapEnd(depth: number): number {
    const length = this.#uint(4);
    if (this.#uint(1) !== EXT_MAP) throw new DecodeError("an unknown extension");
    this.#checkCount(length, 1, depth);
    return this.#position + length;
  }

  #mapCount(): number {
    const type = this.#uint(1);
    const count =
      type >> 4 === 0x8 ? type & 0x0f : type === 0xde ? this.#uint(2) : type === 0xdf ? this.#uint(4) : undefined;
    if (count === undefined) throw new DecodeError("a Map without pairs");
    this.#checkCount(count, 2, 0);
    return count;
  }

  #expectEnd(end: number): void {
    if (this.#position !== end) throw new DecodeError("a Map of another length than it says");
  }

  #string(byteLength: number): string {
    const start = this.#take(byteLength);
    return this.#isKnown ? utf8At(this.#bytes, start, this.#position) : readUtf8(this.#bytes, start, this.#position);
  }

  #skipString(byteLength: number): void {
    const start = this.#take(byteLength);
    if (!isUtf8(this.#bytes, start, this.#position)) throw new DecodeError("a string that is not UTF-8");
  }

  /** The name of a field. Values share their names, so the recent ones are kept and found by their bytes. */
  #name(): string {
    const byteLength = this.#nameLength();
    const start = this.#take(byteLength);
    const bytes = this.#bytes;
    if (byteLength > RECENT_NAME_BYTES_MAX) return readUtf8(bytes, start, this.#position);
    let hash = byteLength;
    for (let i = 0; i < byteLength; i++) hash = (hash * 31 + bytes[start + i]!) | 0;
    const index = (hash ^ (hash >>> 9)) & (RECENT_NAMES - 1);
    const recent = recentNames[index];
    if (recent !== undefined && recent.length === byteLength) {
      let i = 0;
      // A kept name is ASCII: equal code units mean equal bytes.
      while (i < byteLength && recent.charCodeAt(i) === bytes[start + i]) i++;
      if (i === byteLength) return recent;
    }
    const name = readUtf8(bytes, start, this.#position);
    if (name.length === byteLength) recentNames[index] = name;
    return name;
  }

  #nameLength(): number {
    const type = this.#uint(1);
    if (type >> 5 === 0b101) return type & 0x1f;
    if (type >= 0xd9 && type <= 0xdb) return this.#uint(1 << (type - 0xd9));
    throw new DecodeError("a field whose name is no string");
  }

  /** Bytes of their own: for the embedder, who may change them or hand over their ArrayBuffer. */
  #copy(byteLength: number): Uint8Array {
    const start = this.#take(byteLength);
    const copied = new Uint8Array(byteLength);
    // Setting from a view costs more than a few dozen bytes do.
    if (byteLength <= 32) for (let i = 0; i < byteLength; i++) copied[i] = this.#bytes[start + i]!;
    else copied.set(new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + start, byteLength));
    return copied;
  }

  #date(type: number): Date {
    const length = type === 0xc7 ? this.#uint(1) : type === 0xd4 ? 1 : 8;
    if (this.#uint(1) !== EXT_TIMESTAMP) throw new DecodeError("an unknown extension");
    if (type === 0xd4) {
      if (this.#uint(1) !== 0xff) throw new DecodeError("an impossible date");
      return new Date(Number.NaN);
    }
    if (type === 0xc7 && length !== 12) throw new DecodeError("an impossible date");
    const first = this.#uint(4);
    const nanos = type === 0xd7 ? first >>> 2 : first;
    const high = type === 0xd7 ? first & 3 : this.#uint(4) | 0;
    const millis = (high * 2 ** 32 + this.#uint(4)) * 1000 + nanos / 1e6;
    if (nanos >= 1e9 || nanos % 1e6 !== 0 || Math.abs(millis) > DATE_MILLIS_MAX) {
      throw new DecodeError("an impossible date");
    }
    return new Date(millis);
  }

  #float(): number {
    const start = this.#take(8);
    for (let i = 0; i < 8; i++) scratch[i] = this.#bytes[start + i]!;
    return scratchView.getFloat64(0);
  }

  #bits64(): bigint {
    const high = this.#uint(4);
    return (BigInt(high) << 32n) | BigInt(this.#uint(4));
  }

  /** An unsigned number, big-endian as everything in MessagePack. */
  #uint(byteLength: number): number {
    const start = this.#take(byteLength);
    let value = this.#bytes[start]!;
    for (let i = 1; i < byteLength; i++) value = value * 0x100 + this.#bytes[start + i]!;
    return value;
  }

  /** Steps over bytes that have to be there, and returns where they begin. */
  #take(byteLength: number): number {
    const start = this.#position;
    if (byteLength > this.#end - start) throw new DecodeError("the bytes end too soon");
    this.#position = start + byteLength;
    return start;
  }

  #checkCount(count: number, bytesEach: number, depth: number): void {
    if (count * bytesEach > this.#end - this.#position) throw new DecodeError(`a count of ${count}`);
    if (depth >= VALUE_DEPTH_MAX) throw new DecodeError(`more than ${VALUE_DEPTH_MAX} levels of nesting`);
  }
}

const INHERITED_NAMES: ReadonlySet<string> = new Set(Object.getOwnPropertyNames(Object.prototype));

const RECENT_NAMES = 512;
const RECENT_NAME_BYTES_MAX = 32;
const recentNames: (string | undefined)[] = new Array<string | undefined>(RECENT_NAMES).fill(undefined);

const scratch = new Uint8Array(8);
const scratchView = new DataView(scratch.buffer);

function unknownKind(type: number): DecodeError {
  return new DecodeError(`a value of the unknown kind 0x${type.toString(16)}`);
}
