/** Decides which entries may enter. The same limits hold for local writes and for peers. Changes nothing. */
import { millisOf } from "../hybrid-logical-clock.ts";
import type { Entry, Millis } from "../types.ts";

export interface AdmissionLimits {
  readonly maxKeyBytes: number;
  readonly maxValueBytes: number;
  /** Keys in the store, tombstones included. */
  readonly maxKeys: number;
  /** Encoded keys and values in the store, bytes. */
  readonly maxBytes: number;
  /** How far ahead of our wall clock a stamp may be. */
  readonly maxDriftMs: number;
}

export type RefusalReason = "key-too-long" | "value-too-long" | "clock-ahead" | "store-full" | "unreadable" | "admit";

/** The store as an entry would find it. */
export interface StoreSize {
  readonly keys: number;
  readonly bytes: number;
  /** Whether the entry's key is present: an overwrite needs no room for a key. */
  readonly present: boolean;
}

/**
 * Why an entry may not enter, or `undefined` if it may. Every limit is inclusive.
 *
 * Only the future is bounded: a stamp from the past loses against what is held anyway, while one far
 * ahead would win against every honest write until the wall clocks catch up. A tombstone is let into
 * a full store: refusing it would keep alive what it deletes.
 */
export function refusal(
  entry: Entry,
  limits: AdmissionLimits,
  size: StoreSize,
  now: Millis,
): RefusalReason | undefined {
  if (entry.key.length > limits.maxKeyBytes) return "key-too-long";
  const valueBytes = entry.value?.length ?? 0;
  if (valueBytes > limits.maxValueBytes) return "value-too-long";
  if (millisOf(entry.stamp) - now > limits.maxDriftMs) return "clock-ahead";
  if (entry.value === null) return undefined;
  if (!size.present && size.keys >= limits.maxKeys) return "store-full";
  if (size.bytes + entry.key.length + valueBytes > limits.maxBytes) return "store-full";
  return undefined;
}
