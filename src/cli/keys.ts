/** `wavekv inspect --keys`: what is known about each key, but for its value. */
import type { CoreState } from "../core/core-state.ts";
import { byteRange, tableRange } from "../data/key-ranges.ts";
import { versionOf } from "../data/versions.ts";
import { type Millis, nodeIdOf } from "../types.ts";
import { type Paint, table } from "./output.ts";

export const KEYS_LIMIT_DEFAULT = 1000;
/** Beyond this the report would not fit into one string. */
export const KEYS_LIMIT_MAX = 1_000_000;

export interface ListedKey {
  readonly key: string;
  readonly version: string;
  /** Of the encoded value. */
  readonly bytes: number;
  /** Who wrote it. */
  readonly nodeId: string;
  /** Milliseconds since 1970; null: never. May be over, if no replica was there to expire it. */
  readonly expiresAt: Millis | null;
}

export interface KeyList {
  readonly keys: readonly ListedKey[];
  /** The limit has left out more. */
  readonly hasMore: boolean;
}

/** @throws ReplicaError ERR_OPTION if the prefix is not well-formed */
export function listKeys({ table }: CoreState, { prefix, limit }: { prefix: string; limit: number }): KeyList {
  const keys: ListedKey[] = [];
  for (const { key, value, stamp, origin, seq, expiresAt } of table.range(tableRange(byteRange({ prefix }), false))) {
    if (keys.length === limit) return { keys, hasMore: true };
    keys.push({
      key: Buffer.from(key).toString("utf8"),
      version: versionOf({ stamp, origin, seq }),
      bytes: value?.length ?? 0,
      nodeId: nodeIdOf(origin),
      expiresAt: expiresAt > 0 ? expiresAt : null,
    });
  }
  return { keys, hasMore: false };
}

export function keysText({ keys, hasMore }: KeyList, now: Millis, paint: Paint): string[] {
  const rows = keys.map(({ key, version, bytes, nodeId, expiresAt }) => [
    key,
    bytes,
    nodeId,
    expiryText(expiresAt, now),
    version,
  ]);
  const [heading = "", ...lines] = table(rows, ["key", "bytes", "author", "expires", "version"]);
  const count = `${keys.length} ${keys.length === 1 ? "key" : "keys"}`;
  return ["", paint("bold", heading), ...lines, hasMore ? `the first ${count}; --limit shows more` : count];
}

/** The latest moment that a Date can have. */
const DATE_MAX = 8.64e15;

function expiryText(expiresAt: Millis | null, now: Millis): string {
  if (expiresAt === null) return "never";
  const moment = expiresAt > DATE_MAX ? String(expiresAt) : new Date(expiresAt).toISOString();
  return expiresAt <= now ? `${moment}, over` : moment;
}
