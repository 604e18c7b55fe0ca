/**
 * From where a watch can be resumed. Two memories serve: the changes that were published lately, every one of them, as
 * long as somebody watches and a while longer; and the change log of the store, which outlives a restart, and knows of
 * each key only its last change.
 */

import type { CoreState } from "../core/core-state.ts";
import { NO_SLOT } from "../core/table.ts";
import { type ByteRange, isInRange } from "../data/key-ranges.ts";
import { isGoneVersion, parseVersion, stampOfVersion, type Version, versionOf } from "../data/versions.ts";
import { HISTORY_BYTES_MAX, HISTORY_MAX, isReserved, WATCH_QUEUE_MAX } from "../limits.ts";
import type { Change } from "../sync/committed.ts";
import type { Entry, Lsn } from "../types.ts";
import { ChangeQueue } from "./change-queue.ts";
import { versionOfChange } from "./watch-events.ts";

/** What somebody has missed: changes as they were published, or entries as they are now, in the order of commit. */
export type Missed =
  | { readonly type: "changes"; readonly changes: readonly Change[] }
  | { readonly type: "entries"; readonly entries: readonly Entry[] };

export class WatchHistory {
  readonly #changes = new ChangeQueue();

  /** Takes what was published. To be called with everything, or `clear` in between. */
  add(changes: readonly Change[]): void {
    const kept = this.#changes;
    for (const change of changes) kept.push(change);
    while (kept.size > HISTORY_MAX || kept.bytes > HISTORY_BYTES_MAX) kept.drop();
  }

  clear(): void {
    this.#changes.clear();
  }

  /** What was published in the range behind the event with this version; `undefined` if that is not known. */
  after(version: Version, range: ByteRange): readonly Change[] | undefined {
    const stamp = stampOfVersion(version);
    if (stamp === undefined) return undefined;
    let later: Change[] | undefined;
    for (const change of this.#changes.from(stamp)) {
      // The first one: a merged value may change more than once under one version, when an older part comes in late.
      if (later === undefined) later = versionOfChange(change) === version ? [] : undefined;
      else if (isInRange(change.entry.key, range)) later.push(copyOf(change));
    }
    return later;
  }
}

/** A change with bytes of its own. */
function copyOf(change: Change): Change {
  const { entry, previous } = change;
  const { key, value } = entry;
  return {
    ...change,
    entry: { ...entry, key: key.slice(), value: value?.slice() ?? null },
    previous: previous?.slice() ?? null,
  };
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
