/**
 * Values and their bytes: MessagePack, kept to the kinds that a value may have, so that each comes back
 * as what it was.
 *
 *     null, booleans   nil, true, false
 *     number           uint and int of 8 to 32 bits, the shortest, where that is exact; else float 64
 *     bigint           int 64, above it uint 64: a 64-bit integer is a bigint, and nothing else is
 *     string, bytes    str, bin
 *     array            array
 *     plain object     map with strings as keys
 *     Map              ext 32 of type 1, around a map with keys of any kind
 *     Date             timestamp 64 or 96 (ext type -1); the invalid one is fixext 1 of that type, 0xff
 *
 * Equal values whose fields have the same order give equal bytes.
 *
 * Why not msgpackr: it renames the field `__proto__`, makes the same bytes of a Map and an object, and
 * U+FFFD of a lone surrogate, and takes class instances for plain objects. Each value would have to be
 * walked before and after it. One walk that does both is simpler: objects cost a third more to encode and a
 * fifth more to decode than msgpackr takes without such walks, numbers and strings less to decode
 * (scripts/bench/codec.ts runs them side by side).
 */
import { FRAME_BYTES_MAX } from "../limits.ts";
import { allocate } from "./allocate.ts";
import { ByteWriter, DecodeError } from "./bytes.ts";
import { utf8At, writeAscii } from "./utf8.ts";
import { ValueDecoder } from "./value-decoder.ts";
import { ValueEncoder } from "./value-encoder.ts";

/**
 * The bytes of a value; later changes to the value do not reach them. Fields that are `undefined` are
 * left out, and so is what `Object.keys` does not name.
 *
 * @param bytesMax  the longest result; default: what a frame can carry
 * @throws ReplicaError ERR_VALUE, with the path inside the value, for a kind that is not listed above (such as
 *   `undefined`, a function, a class instance), a bigint beyond 64 bits, a lone surrogate, a cycle, or
 *   more than 100 levels of nesting; ERR_LIMIT for more than `bytesMax` bytes
 */
export function encodeValue(value: unknown, bytesMax: number = FRAME_BYTES_MAX): Uint8Array {
  if (typeof value === "string") {
    const bytes = asciiValue(value, bytesMax);
    if (bytes !== undefined) return bytes;
  }
  // A getter inside the value may call us again.
  if (busy) return encodeWith(new ByteWriter(), value, bytesMax);
  busy = true;
  try {
    return encodeWith(sharedWriter, value, bytesMax, sharedEncoder);
  } finally {
    busy = false;
  }
}

/**
 * The value in these bytes, as fresh objects that share nothing with them.
 *
 * @throws DecodeError where `isValue` is false
 */
export function decodeValue(bytes: Uint8Array): unknown {
  return decoder.decode(bytes, 0, bytes.length, false);
}

/**
 * As `decodeValue`, of the bytes from `start` to `end`, which are known to be a value: all that a table holds was encoded
 * here, or has passed `isValue`.
 */
export function knownValue(bytes: Uint8Array, start: number, end: number): unknown {
  // A value is all there is between start and end: a string need not be asked how long it is.
  const type = bytes[start]!;
  if (type === 0xd9) return utf8At(bytes, start + 2, end);
  if (type >= 0xa0 && type < 0xc0) return utf8At(bytes, start + 1, end);
  if (type === 0xc4) return bytes.slice(start + 2, end);
  return decoder.decode(bytes, start, end, true);
}

/** Whether `decodeValue` can read the bytes: for those that come from a peer. Builds nothing. */
export function isValue(bytes: Uint8Array): boolean {
  try {
    decoder.check(bytes);
    return true;
  } catch (error) {
    if (error instanceof DecodeError) return false;
    throw error;
  }
}

const decoder = new ValueDecoder();
const sharedWriter = new ByteWriter();
const sharedEncoder = new ValueEncoder(sharedWriter);
let busy = false;

/**
 * The bytes of a string of ASCII of 32 to 255 characters, which many values are: written at once where they stay.
 * Undefined for others, and for one that is too long.
 */
function asciiValue(value: string, bytesMax: number): Uint8Array | undefined {
  const { length } = value;
  if (length < 0x20 || length > 0xff || length + 2 > bytesMax || Buffer.byteLength(value) !== length) return undefined;
  const bytes = allocate(length + 2);
  bytes[0] = 0xd9;
  bytes[1] = length;
  writeAscii(value, bytes, 2);
  return bytes;
}

function encodeWith(
  writer: ByteWriter,
  value: unknown,
  bytesMax: number,
  encoder: ValueEncoder = new ValueEncoder(writer),
): Uint8Array {
  writer.reset();
  encoder.encode(value, bytesMax);
  return writer.copy();
}
