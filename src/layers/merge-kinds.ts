/**
 * Merge kinds: values that are put together from parts, so that concurrent writes of one key all count.
 *
 * A key of such a kind is not stored as one entry but as several, its parts, and each part is last-write-wins
 * as ever: replication knows nothing of merging. What readers see is folded from the parts when they
 * read, a function of the parts alone, so replicas with equal parts show equal values; and what was folded is
 * never written back. A kind says how parts are folded, and what a write makes of them.
 */
import { ReplicaError } from "../errors.ts";
import { fieldsKind } from "./merge-fields.ts";
import { counterKind, joinKind } from "./merge-registers.ts";

/** One part as it is stored. */
export interface Part {
  readonly name: string;
  readonly value: unknown;
}

/** What a write does to a part; `undefined` deletes it. */
export interface PartWrite {
  readonly name: string;
  readonly value: unknown;
}

/** How the parts of a key make a value. All functions are pure, and order the parts do not matter. */
export interface Kind {
  /** Equal on all replicas: it is how they notice that they are configured differently. */
  readonly name: string;
  /** The value; `undefined` if the key is absent. */
  fold(parts: readonly Part[]): unknown;
  /** @param own  the name of the part that this replica alone writes. @throws ReplicaError ERR_VALUE */
  put(parts: readonly Part[], own: string, value: unknown): PartWrite[];
  delete(parts: readonly Part[], own: string): PartWrite[];
  /** Counters only. @throws ReplicaError ERR_LIMIT */
  increment?(parts: readonly Part[], own: string, by: number): PartWrite[];
}

/** A merge of one's own. */
export interface CustomMerge {
  /** For the other replicas: another function is another name. */
  readonly name: string;
  /**
   * The value that includes both. Has to be pure, the same on all replicas, and lawful: `merge(a, b)` equals `merge(b, a)`,
   * `merge(a, a)` equals `a`, and it does not matter how three values are paired. `checkMergeLaws` of
   * `wavekv/testing` looks for counter-examples.
   */
  readonly merge: (a: unknown, b: unknown) => unknown;
}

/**
 * How concurrent writes of one key are put together.
 *
 * - `"lww"`: the last one stays, as without merging; for a part of a prefix that merges.
 * - `"max"`, `"min"`: the greatest, or least, number that was put.
 * - `"counter"`: the sum of all increments, whole numbers.
 * - `"fields"`: plain objects, each field by itself last-write-wins.
 * - one's own.
 */
export type MergeKind = "lww" | "max" | "min" | "counter" | "fields" | CustomMerge;

/** @returns undefined for "lww". @throws ReplicaError ERR_OPTION */
export function kindOf(kind: MergeKind): Kind | undefined {
  switch (kind) {
    case "lww":
      return undefined;
    case "max":
      return joinKind("max", (a, b) => Math.max(a as number, b as number), isNumber, "a number");
    case "min":
      return joinKind("min", (a, b) => Math.min(a as number, b as number), isNumber, "a number");
    case "counter":
      return counterKind;
    case "fields":
      return fieldsKind;
    default:
      if (typeof kind !== "object" || kind === null || typeof kind.merge !== "function" || !isName(kind.name)) {
        throw new ReplicaError(
          "ERR_OPTION",
          'a merge kind is "lww", "max", "min", "counter", "fields" or { name, merge }',
        );
      }
      return joinKind(`custom ${kind.name}`, kind.merge, () => true, "a value");
  }
}

function isNumber(value: unknown): boolean {
  return typeof value === "number" && !Number.isNaN(value);
}

function isName(name: unknown): boolean {
  return typeof name === "string" && name !== "" && name.length <= 64;
}
