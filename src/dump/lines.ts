/** Cuts a stream of bytes into lines, none of them longer than a bound. */

/** A line of a stream: its number, from 1, and its bytes; `undefined` if it is longer than the bound. */
export interface Line {
  readonly number: number;
  readonly bytes: Uint8Array | undefined;
}

const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/**
 * The lines of a stream, without what ends them (`\n` or `\r\n`). What stands behind the last one is a line too,
 * unless it is nothing. Holds one line and one chunk at a time.
 */
export async function* linesOf(source: AsyncIterable<Uint8Array | string>, bytesMax: number): AsyncGenerator<Line> {
  let number = 1;
  let parts: Uint8Array[] = [];
  let length = 0;
  const add = (part: Uint8Array): void => {
    length += part.length;
    // Of a line that is too long nothing is kept.
    if (length > bytesMax) parts = [];
    else if (part.length > 0) parts.push(part);
  };
  const take = (): Line => {
    const line = { number: number++, bytes: length > bytesMax ? undefined : withoutReturn(joined(parts)) };
    parts = [];
    length = 0;
    return line;
  };
  for await (const chunk of source) {
    const bytes = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
    let from = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, from)) {
      add(bytes.subarray(from, end));
      yield take();
      from = end + 1;
    }
    add(bytes.subarray(from));
  }
  if (length > 0) yield take();
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const [only, more] = parts;
  return only !== undefined && more === undefined ? only : Buffer.concat(parts);
}

function withoutReturn(bytes: Uint8Array): Uint8Array {
  return bytes.at(-1) === CARRIAGE_RETURN ? bytes.subarray(0, -1) : bytes;
}
