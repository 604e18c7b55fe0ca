/** What watchers are told: events, and how they are made of changes. */
import { decodeKey } from "../codec/keys.ts";
import { decodeValue } from "../codec/values.ts";
import { goneVersionOf, type Version, versionOf } from "../data/versions.ts";
import type { ConflictEvent, ConflictSide } from "../hooks.ts";
import { isReserved } from "../limits.ts";
import type { Change } from "../sync/committed.ts";
import type { Conflict } from "../sync/conflicts.ts";
import { type Entry, type Millis, nodeIdOf } from "../types.ts";

/** A version of a key that entered the store. Events of one batch follow each other and share `batch`. */
export interface PutEvent<V = unknown> {
  readonly type: "put";
  readonly key: string;
  readonly value: V;
  /** The value that the key had, if it had one. */
  readonly previous?: V;
  readonly version: Version;
  /** Reading of the hybrid logical clock: a number that grows with time, equal for all of a batch. */
  readonly stamp: number;
  /** Who wrote it. */
  readonly nodeId: string;
  /** Whether it was written through this replica object's store. */
  readonly local: boolean;
  readonly batch: string;
  /** Milliseconds since 1970. Absent: never. */
  readonly expiresAt?: Millis;
}

/** A key that was there has gone: deleted by somebody, or its time was over. */
export interface RemoveEvent<V = unknown> {
  readonly type: "delete" | "expire";
  readonly key: string;
  readonly previous?: V;
  readonly version: Version;
  readonly stamp: number;
  readonly nodeId: string;
  readonly local: boolean;
  readonly batch: string;
}

export type ChangeEvent<V = unknown> = PutEvent<V> | RemoveEvent<V>;

/**
 * `ready`: the entries that were there have been delivered, changes follow. `lagged`: the consumer fell
 * behind and changes were dropped; with `initial` the present entries and `ready` follow again.
 */
export type WatchEvent<V = unknown> = ChangeEvent<V> | { readonly type: "ready" } | { readonly type: "lagged" };

/** The event that a change is to its watchers; `undefined` if a reader cannot see that anything changed. */
export function eventOf(change: Change): ChangeEvent | undefined {
  const { entry, existed, previous, kind, local } = change;
  if (isReserved(entry.key)) return undefined;
  const before = previous === null ? {} : { previous: decodeValue(previous) };
  if (kind === "put" && entry.value !== null) return { ...putEvent(entry, entry.value, local), ...before };
  if (!existed) return undefined;
  return {
    type: kind === "expire" ? "expire" : "delete",
    ...common(entry, local),
    ...before,
    version: versionOfChange(change),
  };
}

/** What listeners are told of a conflict. */
export function conflictEventOf({ winner, loser }: Conflict): ConflictEvent {
  return { key: decodeKey(winner.key), winner: sideOf(winner), loser: sideOf(loser) };
}

function sideOf(entry: Entry): ConflictSide {
  return {
    ...(entry.value === null ? {} : { value: decodeValue(entry.value) }),
    version: versionOf(entry),
    stamp: entry.stamp,
    nodeId: nodeIdOf(entry.origin),
    ...(entry.expiresAt > 0 ? { expiresAt: entry.expiresAt } : {}),
  };
}

/** Names the batch in which an entry was written. */
export function batchOf({ stamp, origin }: Entry): string {
  return `${stamp.toString(36)}.${origin}`;
}

/** The version in the event that a change is. */
export function versionOfChange({ kind, entry, dropped }: Change): Version {
  return kind === "expire" || dropped === true ? goneVersionOf(entry) : versionOf(entry);
}

/** The event that an entry is to somebody who has not seen it, and does not know what was there before. */
export function eventOfEntry(entry: Entry, local: boolean): ChangeEvent {
  if (entry.value !== null) return putEvent(entry, entry.value, local);
  return { type: "delete", ...common(entry, local) };
}

function putEvent(entry: Entry, value: Uint8Array, local: boolean): PutEvent {
  return {
    type: "put",
    value: decodeValue(value),
    ...common(entry, local),
    ...(entry.expiresAt > 0 ? { expiresAt: entry.expiresAt } : {}),
  };
}

function common(entry: Entry, local: boolean) {
  return {
    key: decodeKey(entry.key),
    version: versionOf(entry),
    stamp: entry.stamp,
    nodeId: nodeIdOf(entry.origin),
    local,
    batch: batchOf(entry),
  };
}
