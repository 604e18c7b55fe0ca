import { ReplicaError } from "../errors.ts";
import { type ByteWriter, SHORT_STRING_MAX } from "./bytes.ts";

/** How deep arrays, objects and Maps may nest. */
export const VALUE_DEPTH_MAX = 100;

export const EXT_MAP = 1;
export const EXT_TIMESTAMP = 0xff;

const INT64_MIN = -(2n ** 63n);
const UINT64_END = 2n ** 64n;

/** Writes one value; values.ts says how. Not to be entered again before it returns. */
export class ValueEncoder {
  readonly #writer: ByteWriter;
  #bytesMax = 0;
  /** The containers that we are in, and the place in each: for telling cycles, and where an error is. */
  readonly #containers: object[] = [];
  readonly #places: unknown[] = [];

  constructor(writer: ByteWriter) {
    this.#writer = writer;
  }

  /** Appends `value` to the writer. Throws ReplicaError ERR_VALUE, or ERR_LIMIT above `bytesMax`. */
  encode(value: unknown, bytesMax: number): void {
    this.#bytesMax = bytesMax;
    try {
      this.#any(value);
      this.#checkSize();
    } catch (cause) {
      if (cause instanceof ReplicaError) throw cause;
      // A getter or a proxy of the caller threw, or there was no memory.
      throw this.#refused("what cannot be read", { cause });
    } finally {
      if (this.#containers.length > 0) this.#containers.length = 0;
      if (this.#places.length > 0) this.#places.length = 0;
    }
  }

  #any(value: unknown): void {
    switch (typeof value) {
      case "string":
        this.#string(value);
        return;
      case "number":
        this.#number(value);
        return;
      case "boolean":
        this.#writer.u8(value ? 0xc3 : 0xc2);
        return;
      case "bigint":
        this.#bigint(value);
        return;
      case "object":
        if (value === null) this.#writer.u8(0xc0);
        else this.#object(value);
        return;
      default:
        throw this.#refused(value === undefined ? "undefined" : `a ${typeof value}`);
    }
  }

  #number(value: number): void {
    if ((value | 0) === value && (value !== 0 || 1 / value > 0)) this.#integer(value);
    else if (value >>> 0 === value && value !== 0) this.#headed(0xce, value, 4);
    else {
      this.#writer.u8(0xcb);
      // Not a number has many bit patterns, and only one here.
      if (Number.isNaN(value)) {
        this.#writer.u32(0x7ff8_0000, false);
        this.#writer.u32(0);
      } else this.#writer.f64(value, false);
    }
  }

  #integer(value: number): void {
    if (value >= -0x20 && value < 0x80) this.#writer.u8(value & 0xff);
    else if (value >= 0) {
      if (value < 0x100) this.#headed(0xcc, value, 1);
      else if (value < 0x1_0000) this.#headed(0xcd, value, 2);
      else this.#headed(0xce, value, 4);
    } else if (value >= -0x80) this.#headed(0xd0, value & 0xff, 1);
    else if (value >= -0x8000) this.#headed(0xd1, value & 0xffff, 2);
    else this.#headed(0xd2, value >>> 0, 4);
  }

  #bigint(value: bigint): void {
    if (value < INT64_MIN || value >= UINT64_END) throw this.#refused("a bigint beyond 64 bits");
    this.#writer.u8(value >= 2n ** 63n ? 0xcf : 0xd3);
    const bits = BigInt.asUintN(64, value);
    this.#writer.u32(Number(bits >> 32n), false);
    this.#writer.u32(Number(bits & 0xffff_ffffn), false);
  }

  #string(value: string): void {
    const writer = this.#writer;
    const { length } = value;
    if (length <= SHORT_STRING_MAX) {
      const start = writer.length;
      writer.u8(0xa0 | length);
      if (writer.ascii(value)) return;
      writer.cut(start, 1);
    }
    const byteLength = Buffer.byteLength(value);
    if (byteLength !== length && !value.isWellFormed()) throw this.#refused("a string with lone surrogates");
    this.#checkSize(byteLength);
    if (byteLength < 0x20) writer.u8(0xa0 | byteLength);
    else if (byteLength < 0x100) this.#headed(0xd9, byteLength, 1);
    else if (byteLength < 0x1_0000) this.#headed(0xda, byteLength, 2);
    else this.#headed(0xdb, byteLength, 4);
    writer.utf8(value, byteLength);
  }

  #object(value: object): void {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) this.#fields(value);
    else if (Array.isArray(value) && (prototype === Array.prototype || isForeign(prototype, 2))) this.#array(value);
    else if (prototype === Date.prototype && value instanceof Date) this.#date(value);
    else if (prototype === Map.prototype && value instanceof Map) this.#map(value);
    else if (isBytes(value)) this.#bytes(value);
    else if (isForeign(prototype, 1)) this.#fields(value);
    else throw this.#refused(`an object of the kind ${nameOf(prototype)}`);
  }

  #array(value: readonly unknown[]): void {
    const { length } = value;
    const depth = this.#enter(value);
    this.#count(length, 0x90, 0xdc);
    for (let i = 0; i < length; i++) {
      this.#places[depth] = i;
      this.#any(value[i]);
    }
    this.#leave();
  }

  #fields(value: object): void {
    const depth = this.#enter(value);
    const names = Object.keys(value);
    const start = this.#writer.length;
    this.#count(names.length, 0x80, 0xde);
    const behindCount = this.#writer.length;
    let count = 0;
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!;
      // Read once: a getter may answer differently the next time.
      const field = (value as Record<string, unknown>)[name];
      if (field === undefined) continue;
      this.#places[depth] = name;
      this.#string(name);
      this.#any(field);
      count++;
    }
    if (count < names.length) this.#recount(start, behindCount, count);
    this.#leave();
  }

  #map(value: ReadonlyMap<unknown, unknown>): void {
    const depth = this.#enter(value);
    const writer = this.#writer;
    const start = writer.length;
    writer.u8(0xc9);
    writer.u32(0);
    writer.u8(EXT_MAP);
    // Copied first: encoding a key or a value may run code of the caller, which may change the Map.
    const pairs = [...value];
    this.#count(pairs.length, 0x80, 0xde);
    for (const [key, member] of pairs) {
      this.#places[depth] = keyPlace;
      this.#any(key);
      this.#places[depth] = { key };
      this.#any(member);
    }
    writer.patch(start + 1, writer.length - start - 6, 4);
    this.#leave();
  }

  #bytes(value: Uint8Array): void {
    const { length } = value;
    this.#checkSize(length);
    if (length < 0x100) this.#headed(0xc4, length, 1);
    else if (length < 0x1_0000) this.#headed(0xc5, length, 2);
    else this.#headed(0xc6, length, 4);
    this.#writer.raw(value);
  }

  #date(value: Date): void {
    const writer = this.#writer;
    const millis = value.getTime();
    if (Number.isNaN(millis)) {
      writer.u8(0xd4);
      writer.u8(EXT_TIMESTAMP);
      writer.u8(0xff);
      return;
    }
    const seconds = Math.floor(millis / 1000);
    const nanos = (millis - seconds * 1000) * 1e6;
    const high = Math.floor(seconds / 2 ** 32);
    if (high >= 0 && high < 4) {
      writer.u8(0xd7);
      writer.u8(EXT_TIMESTAMP);
      writer.u32(nanos * 4 + high, false);
    } else {
      writer.u8(0xc7);
      writer.u8(12);
      writer.u8(EXT_TIMESTAMP);
      writer.u32(nanos, false);
      writer.u32(high >>> 0, false);
    }
    writer.u32(seconds - high * 2 ** 32, false);
  }

  /** A type byte and `byteLength` bytes of a number. */
  #headed(type: number, value: number, byteLength: 1 | 2 | 4): void {
    this.#writer.u8(type);
    if (byteLength === 1) this.#writer.u8(value);
    else if (byteLength === 2) this.#writer.u16(value, false);
    else this.#writer.u32(value, false);
  }

  /** The head of an array or a map: `short` holds up to 15 in its low bits, `long` is the type with 16 bits. */
  #count(count: number, short: number, long: number): void {
    if (count < 0x10) this.#writer.u8(short | count);
    else if (count < 0x1_0000) this.#headed(long, count, 2);
    else this.#headed(long + 1, count, 4);
  }

  /** Corrects the head of a map between `start` and `end` of which some fields were left out. */
  #recount(start: number, end: number, count: number): void {
    const byteLength = count < 0x10 ? 1 : count < 0x1_0000 ? 3 : 5;
    this.#writer.cut(start, end - start - byteLength);
    this.#writer.patch(start, byteLength === 1 ? 0x80 | count : byteLength === 3 ? 0xde : 0xdf, 1);
    if (byteLength > 1) this.#writer.patch(start + 1, count, byteLength - 1);
  }

  #enter(container: object): number {
    const depth = this.#containers.length;
    for (let i = 0; i < depth; i++) if (this.#containers[i] === container) throw this.#refused("a cycle");
    if (depth >= VALUE_DEPTH_MAX) throw this.#refused(`more than ${VALUE_DEPTH_MAX} levels of nesting`);
    this.#checkSize();
    this.#containers.push(container);
    return depth;
  }

  #leave(): void {
    this.#containers.pop();
  }

  /** Checked on the way, since a small value may name one object a thousand times over. */
  #checkSize(byteLengthAhead = 0): void {
    if (this.#writer.length + byteLengthAhead > this.#bytesMax) {
      throw new ReplicaError("ERR_LIMIT", `a value of more than ${this.#bytesMax} bytes`);
    }
  }

  #refused(what: string, options?: { cause: unknown }): ReplicaError {
    let path = "value";
    for (let i = 0; i < this.#containers.length; i++) path += step(this.#places[i]);
    return new ReplicaError("ERR_VALUE", `a value cannot hold ${what}, at ${path}`, options);
  }
}

const keyPlace = Symbol("a key of a Map");
const NAME_CHARS_MAX = 40;

function step(place: unknown): string {
  if (typeof place === "number") return `[${place}]`;
  if (typeof place === "string") return /^[A-Za-z_$][\w$]{0,39}$/.test(place) ? `.${place}` : `[${quoted(place)}]`;
  if (typeof place !== "object" || place === null || !("key" in place)) return ".keys()";
  const { key } = place;
  return `.get(${typeof key === "string" ? quoted(key) : typeof key === "number" ? key : typeof key})`;
}

function quoted(text: string): string {
  return JSON.stringify(text.length > NAME_CHARS_MAX ? `${text.slice(0, NAME_CHARS_MAX)}...` : text);
}

/** Also those of another realm and Buffers; no other view has this tag. */
function isBytes(value: object): value is Uint8Array {
  return ArrayBuffer.isView(value) && Reflect.get(value, Symbol.toStringTag) === "Uint8Array";
}

/** Whether `prototype` is the one of plain objects (1) or arrays (2) of another realm, such as a vm context. */
function isForeign(prototype: unknown, distance: 1 | 2): boolean {
  if (typeof prototype !== "object" || prototype === null) return false;
  const root: unknown = distance === 1 ? prototype : Object.getPrototypeOf(prototype);
  return (
    typeof root === "object" &&
    root !== null &&
    Object.getPrototypeOf(root) === null &&
    root !== Object.prototype &&
    Object.hasOwn(root, "isPrototypeOf")
  );
}

function nameOf(prototype: unknown): string {
  if (typeof prototype !== "object" || prototype === null) return "unknown";
  const maker: unknown = Reflect.get(prototype, "constructor");
  return typeof maker === "function" && maker.name !== "" ? maker.name : "unknown";
}
