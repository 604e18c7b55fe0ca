/** UTF-8: read strictly from bytes of others, and as it comes from our own; ASCII written. */

const HIGHEST_BIT = 0x80;
const ASCII = 0x7f;
const VERY_SHORT_MAX = 10;
const SHORT_MAX = 24;

/** The string in these bytes, or `undefined` if they are not UTF-8. */
export function decodeUtf8(bytes: Uint8Array, start: number, end: number): string | undefined {
  const short = shortAscii(bytes, start, end);
  if (short !== undefined) return short;
  const text = utf8Slice.call(bytes, start, end);
  // The platform replaces what it cannot read. Where no replacement shows there was none.
  return text.includes("\ufffd") && !isUtf8(bytes, start, end) ? undefined : text;
}

/** The string in bytes that are known to be UTF-8. */
export function utf8At(bytes: Uint8Array, start: number, end: number): string {
  return shortAscii(bytes, start, end) ?? utf8Slice.call(bytes, start, end);
}

/**
 * The string in these bytes if it is a short one of ASCII, else perhaps `undefined`. A string that is made of all its characters at once,
 * and some more that are cut off again, takes a third to a half of the time of adding one to the other, or of a call of the platform (measured).
 */
function shortAscii(bytes: Uint8Array, start: number, end: number): string | undefined {
  const length = end - start;
  if (length > SHORT_MAX || start + SHORT_MAX > bytes.length) return undefined;
  let all = 0;
  for (let i = start; i < end; i++) all |= bytes[i]!;
  if (all >= HIGHEST_BIT) return undefined;
  const text = length <= VERY_SHORT_MAX ? ascii10(bytes, start) : ascii24(bytes, start);
  return text.slice(0, length);
}

/** Whatever is behind the string must not make wide characters of it: hence the mask. */
function ascii10(bytes: Uint8Array, at: number): string {
  return String.fromCharCode(
    bytes[at]! & ASCII,
    bytes[at + 1]! & ASCII,
    bytes[at + 2]! & ASCII,
    bytes[at + 3]! & ASCII,
    bytes[at + 4]! & ASCII,
    bytes[at + 5]! & ASCII,
    bytes[at + 6]! & ASCII,
    bytes[at + 7]! & ASCII,
    bytes[at + 8]! & ASCII,
    bytes[at + 9]! & ASCII,
  );
}

function ascii24(bytes: Uint8Array, at: number): string {
  return String.fromCharCode(
    bytes[at]! & ASCII,
    bytes[at + 1]! & ASCII,
    bytes[at + 2]! & ASCII,
    bytes[at + 3]! & ASCII,
    bytes[at + 4]! & ASCII,
    bytes[at + 5]! & ASCII,
    bytes[at + 6]! & ASCII,
    bytes[at + 7]! & ASCII,
    bytes[at + 8]! & ASCII,
    bytes[at + 9]! & ASCII,
    bytes[at + 10]! & ASCII,
    bytes[at + 11]! & ASCII,
    bytes[at + 12]! & ASCII,
    bytes[at + 13]! & ASCII,
    bytes[at + 14]! & ASCII,
    bytes[at + 15]! & ASCII,
    bytes[at + 16]! & ASCII,
    bytes[at + 17]! & ASCII,
    bytes[at + 18]! & ASCII,
    bytes[at + 19]! & ASCII,
    bytes[at + 20]! & ASCII,
    bytes[at + 21]! & ASCII,
    bytes[at + 22]! & ASCII,
    bytes[at + 23]! & ASCII,
  );
}

/** Whether these bytes are UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF, nothing cut off. */
export function isUtf8(bytes: Uint8Array, start: number, end: number): boolean {
  let i = start;
  while (i + 8 <= end && isAscii8(bytes, i)) i += 8;
  while (i < end) {
    const lead = bytes[i++]!;
    if (lead < HIGHEST_BIT) continue;
    if (lead < 0xc2 || lead > 0xf4) return false;
    const following = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    if (i + following > end) return false;
    const second = bytes[i]!;
    if (lead === 0xe0 && second < 0xa0) return false;
    if (lead === 0xed && second > 0x9f) return false;
    if (lead === 0xf0 && second < 0x90) return false;
    if (lead === 0xf4 && second > 0x8f) return false;
    for (const stop = i + following; i < stop; i++) if ((bytes[i]! & 0xc0) !== 0x80) return false;
  }
  return true;
}

function isAscii8(bytes: Uint8Array, at: number): boolean {
  const first = bytes[at]! | bytes[at + 1]! | bytes[at + 2]! | bytes[at + 3]!;
  return (first | bytes[at + 4]! | bytes[at + 5]! | bytes[at + 6]! | bytes[at + 7]!) < HIGHEST_BIT;
}

/** Writes a string that is known to be ASCII to `bytes`, which have room for it behind `at`. */
export function writeAscii(text: string, bytes: Uint8Array, at: number): void {
  latin1Write.call(bytes, text, at, text.length);
}

// Node gives these methods to Buffer, and they work on every Uint8Array: a Buffer over the bytes would cost
// as much as the string itself. Were they ever gone, the documented way stands in.
type Utf8Slice = (this: Uint8Array, start: number, end: number) => string;
type Latin1Write = (this: Uint8Array, text: string, at: number, byteLength: number) => number;

const utf8Slice =
  (builtIn("utf8Slice") as Utf8Slice | undefined) ??
  function (this: Uint8Array, start: number, end: number): string {
    return bufferOver(this).toString("utf8", start, end);
  };

const latin1Write =
  (builtIn("latin1Write") as Latin1Write | undefined) ??
  function (this: Uint8Array, text: string, at: number, byteLength: number): number {
    return bufferOver(this).write(text, at, byteLength, "latin1");
  };

function builtIn(name: string): unknown {
  const method: unknown = Reflect.get(Buffer.prototype, name);
  return typeof method === "function" ? method : undefined;
}

function bufferOver({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
