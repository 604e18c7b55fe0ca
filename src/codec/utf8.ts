/** UTF-8, read strictly. */

/** Strings up to this length are cheaper to walk here than to hand to the platform (measured). */
const SHORT_STRING_MAX = 16;
const HIGHEST_BIT = 0x80;

/** The string in these bytes, or `undefined` if they are not UTF-8. */
export function decodeUtf8(bytes: Uint8Array, start: number, end: number): string | undefined {
  if (end - start <= SHORT_STRING_MAX) {
    let text = "";
    let i = start;
    for (; i < end; i++) {
      const byte = bytes[i]!;
      if (byte >= HIGHEST_BIT) break;
      text += String.fromCharCode(byte);
    }
    if (i === end) return text;
  }
  const text = utf8Slice.call(bytes, start, end);
  // The platform replaces what it cannot read. Where no replacement shows there was none.
  return text.includes("\ufffd") && !isUtf8(bytes, start, end) ? undefined : text;
}

/** Whether these bytes are UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF, nothing cut off. */
export function isUtf8(bytes: Uint8Array, start: number, end: number): boolean {
  let i = start;
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

// Node gives this method to Buffer, and it works on every Uint8Array: a Buffer over the bytes would cost
// as much as the string itself. Were it ever gone, the documented way stands in.
type Utf8Slice = (this: Uint8Array, start: number, end: number) => string;
const builtIn: unknown = Reflect.get(Buffer.prototype, "utf8Slice");
const utf8Slice: Utf8Slice =
  typeof builtIn === "function"
    ? (builtIn as Utf8Slice)
    : function (start, end) {
        return Buffer.from(this.buffer, this.byteOffset, this.byteLength).toString("utf8", start, end);
      };
