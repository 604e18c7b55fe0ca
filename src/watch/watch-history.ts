/**
 * From where a watch can be resumed. Two memories serve: the changes that were published lately, every one of them, as
 * long as somebody watches and a while longer; and the change log of the store, which outlives a restart, and knows of
 * each key only its last change.
 */

import type { CoreState } from "../core/core-state.ts";
import { NO_SLOT } from "../core/table.ts";
import { type ByteRange, isInRange } from "../data/key-ranges.ts";
import { isGoneVersion, parseVersion, type Version, versionOf } from "../data/versions.ts";
import { HISTORY_BYTES_MAX, HISTORY_MAX, isReserved, WATCH_QUEUE_MAX } from "../limits.ts";
import type { Change } from "../sync/committed.ts";
import type { Entry, Lsn } from "../types.ts";
import { versionOfChange } from "./watch-events.ts";

/** What somebody has missed: changes as they were published, or entries as they are now, in the order of commit. */
export type Missed =
  | { readonly type: "changes"; readonly changes: readonly Change[] }
  | { readonly type: "entries"; readonly entries: readonly Entry[] };

export class WatchHistory {
  #changes: Change[] = [];
  #from = 0;
  #bytes = 0;

  /** Takes what was published. To be called with everything, or `clear` in between. */
  add(changes: readonly Change[]): void {
    for (const change of changes) {
      this.#changes.push(change);
      this.#bytes += bytesOf(change);
    }
    while (this.#changes.length - this.#from > HISTORY_MAX || this.#bytes > HISTORY_BYTES_MAX) this.#dropOldest();
    if (this.#from > HISTORY_MAX) {
      this.#changes = this.#changes.slice(this.#from);
      this.#from = 0;
    }
  }

  clear(): void {
    this.#changes = [];
    this.#from = 0;
    this.#bytes = 0;
  }

  /** What was published in the range behind the event with this version; `undefined` if that is not known. */
  after(version: Version, range: ByteRange): readonly Change[] | undefined {
    // The first one: a merged value may change more than once under one version, when an older part comes in late.
    for (let at = this.#from; at < this.#changes.length; at += 1) {
      const change = this.#changes[at];
      if (change === undefined || versionOfChange(change) !== version) continue;
      return this.#changes.slice(at + 1).filter(({ entry }) => isInRange(entry.key, range));
    }
    return undefined;
  }

  #dropOldest(): void {
    const oldest = this.#changes[this.#from];
    if (oldest !== undefined) this.#bytes -= bytesOf(oldest);
    this.#from += 1;
  }
}

/**
 * The entries of the range that have changed behind the one with this version, as they are now, by the change log. At
 * most the last 16,384 changes are looked at.
 *
 * @param isMerged  whether the entry with this key is a part of a merged one: of what becomes of these the log knows too little
 * @returns `undefined` if the log cannot tell: the version was overwritten, is too old, or something has happened since
 *   that leaves no trace in the log
 */
export function entriesAfter(
  version: Version,
  range: ByteRange,
  state: CoreState,
  isMerged: (key: Uint8Array) => boolean,
): readonly Entry[] | undefined {
  const parts = isGoneVersion(version) ? undefined : parseVersion(version);
  if (parts === undefined) return undefined;
  const { table } = state;
  const earliest: Lsn = Math.max(0, state.lsn - WATCH_QUEUE_MAX, state.untracedLsn);
  let entries: Entry[] | undefined;
  for (let slot = table.nextChange(earliest); slot !== NO_SLOT; slot = table.nextChange(table.lsnAt(slot))) {
    if (entries === undefined) {
      const isIt = table.stampAt(slot) === parts.stamp && table.seqAt(slot) === parts.seq;
      if (isIt && versionOf(table.entryAt(slot)) === version) entries = [];
      continue;
    }
    const key = table.keyAt(slot);
    if (isMerged(key)) return undefined;
    if (!isReserved(key) && isInRange(key, range)) entries.push(state.entryAt(slot));
  }
  return entries;
}

/** What a change takes in memory, about. */
export function bytesOf({ entry, previous }: Change): number {
  return entry.key.length + (entry.value?.length ?? 0) + (previous?.length ?? 0);
}
