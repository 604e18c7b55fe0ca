/**
 * The three-way decision: what to do about one path, given what folder and store last agreed on, what the folder holds
 * and what the store holds. Pure; everything else in this demo finds the three out or carries the answer out.
 */

/** SHA-256 of a file's content, hex. */
export type Hash = string;

/** What folder and store last agreed on. */
export type Base =
  /** On this content. `own`: this replica had written it to the store, so it may be unknown to everybody else. */
  | { readonly type: "agreed"; readonly hash: Hash; readonly own: boolean }
  /** On there being no file. */
  | { readonly type: "none" }
  /** Nobody remembers: the data directory is new, or was wiped. */
  | { readonly type: "lost" };

/**
 * What the store says. `ancestors`: the contents that this state replaced, one after the other, the newest first, each by
 * the beginning of its hash.
 */
export type Stored =
  | { readonly type: "file"; readonly hash: Hash; readonly ancestors: readonly string[] }
  /** There was a file, and its last content was `hash`. */
  | { readonly type: "deleted"; readonly hash: Hash; readonly ancestors: readonly string[] }
  /** The store has never heard of the path. */
  | { readonly type: "absent" }
  /** As `absent`, but the store has not caught up with any peer yet, so that this proves nothing. */
  | { readonly type: "unknown" };

export type Decision =
  /** They agree: remember it. */
  | "agree"
  /** The folder changed: put its file into the store. */
  | "put"
  /** The file is gone from the folder: delete it from the store. */
  | "delete"
  /** The store changed: write its file to the folder. */
  | "write"
  /** The file is gone from the store: remove it from the folder. */
  | "remove"
  /** Both changed: keep the folder's file as a conflict copy, then follow the store. */
  | "conflict"
  /** Ask again when the store has caught up with a peer. */
  | "wait";

/**
 * The rules, and why:
 *
 * - Content equal: no write in either direction. That is what ends every echo.
 * - One side changed since they agreed: the other follows.
 * - Both changed: the store wins, since all replicas see the same winner there, and the folder's content is kept as a copy.
 * - A delete against an edit: the edit wins, whichever came last. Nothing is lost, and what is not wanted is deleted again.
 * - The store moved on from content that *we* had put, by a change that had not seen it: ours lost a race that nobody else may
 *   know of. Kept as a copy. Content from others needs none: whoever put it sees to it.
 * - Content that the store's state came about by way of is merely old, unless it is an edit that went back to it.
 * - Nothing remembered (`lost`): old content follows the store. Any other may be an edit: kept as a copy, or under its own name
 *   if the store has never heard of the path. A deleted file does not come back by this, and before the store has caught
 *   up with a peer nothing is concluded from absence.
 *
 * @param local the hash of the file in the folder, undefined when there is none
 */
export function decide(base: Base, local: Hash | undefined, stored: Stored): Decision {
  const remote = stored.type === "file" ? stored.hash : undefined;
  if (local === remote) return "agree";
  switch (base.type) {
    case "lost":
      return decideWithoutBase(local, stored);
    case "none":
      // Equal contents were settled above, so at least one side has a file and they differ.
      if (local === undefined) return "write";
      if (remote === undefined) return "put";
      return isOldIn(stored, local) ? "write" : "conflict";
    case "agreed":
      if (local === base.hash) return followStore(base, stored);
      if (remote === base.hash) return local === undefined ? "delete" : "put";
      if (local === undefined) return "write";
      // We stopped between writing what had come and remembering it: not an edit.
      if (isOldIn(stored, local, base.hash)) return remote === undefined ? "remove" : "write";
      return remote === undefined ? "put" : "conflict";
  }
}

/** The folder still holds what was agreed on, the store something else or nothing. */
function followStore(agreed: { readonly hash: Hash; readonly own: boolean }, stored: Stored): Decision {
  const isOvertaken = agreed.own && !isOldIn(stored, agreed.hash);
  switch (stored.type) {
    case "file":
      return isOvertaken ? "conflict" : "write";
    case "deleted":
      return isOvertaken ? "put" : "remove";
    case "absent":
      // Deleted so long ago that the note of it has expired.
      return "remove";
    case "unknown":
      return "wait";
  }
}

function decideWithoutBase(local: Hash | undefined, stored: Stored): Decision {
  if (local === undefined) return "write";
  switch (stored.type) {
    case "file":
      return isOldIn(stored, local) ? "write" : "conflict";
    case "deleted":
      return isOldIn(stored, local) ? "remove" : "conflict";
    case "absent":
      return "put";
    case "unknown":
      return "wait";
  }
}

/** Whether the state of the store came about by way of `hash`; given `since`, only if that was later than `since`. */
function isOldIn(stored: Stored, hash: Hash, since?: Hash): boolean {
  if (stored.type !== "file" && stored.type !== "deleted") return false;
  const history = stored.type === "deleted" ? [stored.hash, ...stored.ancestors] : stored.ancestors;
  const at = history.findIndex((beginning) => hash.startsWith(beginning));
  if (at === -1 || since === undefined) return at !== -1;
  return at < history.findIndex((beginning) => since.startsWith(beginning));
}
