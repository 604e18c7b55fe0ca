/**
 * The dump in JSON lines: one entry a line, `{ "key": ..., "value": ..., "expiresAt"?: milliseconds since 1970 }`, with
 * values as json-values.ts has them. For people and other programs; it has no end mark, so that lines can be added,
 * removed and filtered.
 */
import type { EntryInfo } from "../data/reader.ts";
import type { ReadEntry } from "./importer.ts";
import { fromJson, type Json, JsonValueError, toJson } from "./json-values.ts";
import { linesOf } from "./lines.ts";

const CHUNK_BYTES = 64 * 1024;
/** The longest value in the longest form that JSON has for it. */
const LINE_BYTES_MAX = 64 * 1024 * 1024;

/** The line of an entry, without its end. */
export function lineOf({ key, value, expiresAt }: Pick<EntryInfo, "key" | "value" | "expiresAt">): string {
  return JSON.stringify({ key, value: toJson(value), ...(expiresAt === undefined ? {} : { expiresAt }) });
}

/** Turns entries into chunks of lines. */
export function* jsonChunks(entries: Iterable<EntryInfo>): Generator<{ bytes: Uint8Array; entries: number }> {
  let text = "";
  let count = 0;
  for (const entry of entries) {
    text += `${lineOf(entry)}\n`;
    count += 1;
    if (text.length < CHUNK_BYTES) continue;
    yield { bytes: Buffer.from(text), entries: count };
    text = "";
    count = 0;
  }
  if (text !== "") yield { bytes: Buffer.from(text), entries: count };
}

export async function* readJson(source: AsyncIterable<Uint8Array | string>): AsyncGenerator<ReadEntry> {
  for await (const { number, bytes } of linesOf(source, LINE_BYTES_MAX)) {
    if (bytes === undefined) {
      yield damaged(number, `the line has more than ${LINE_BYTES_MAX} bytes`);
      continue;
    }
    const text = textOf(bytes);
    if (text === undefined) yield damaged(number, "the line is not UTF-8");
    else if (text.trim() !== "") yield readLine(number, text, bytes.length);
  }
}

function readLine(position: number, text: string, bytes: number): ReadEntry {
  let line: Json;
  try {
    line = JSON.parse(text) as Json;
  } catch (error) {
    return damaged(position, `the line is no JSON: ${(error as Error).message}`);
  }
  if (typeof line !== "object" || line === null || Array.isArray(line)) {
    return damaged(position, 'the line is no object with "key" and "value"');
  }
  const { key, value, expiresAt, ...others } = line as Readonly<Record<string, Json>>;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined)
    return damaged(position, `a field ${JSON.stringify(unknown)}, which an entry does not have`);
  if (typeof key !== "string") return damaged(position, '"key" is no string');
  if (value === undefined) return damaged(position, 'there is no "value"');
  if (expiresAt !== undefined && (typeof expiresAt !== "number" || expiresAt <= 0)) {
    return damaged(position, '"expiresAt" is no number above 0');
  }
  try {
    return { type: "entry", position, key, value: fromJson(value), expiresAt, bytes };
  } catch (error) {
    // So many levels that our recursion does not reach their end are none that a value may have.
    if (error instanceof RangeError) return damaged(position, "the value is nested too deeply");
    if (!(error instanceof JsonValueError)) throw error;
    return damaged(position, `the value: ${error.message}`);
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true });

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

function damaged(position: number, reason: string): ReadEntry {
  return { type: "damaged", position, reason };
}
