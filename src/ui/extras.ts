/** What whoever embeds a replica may add to its page, and how that is read: their code may fail, and bounds are ours. */
import { isReplicaError } from "../errors.ts";
import type { FileState, FilesView, FileView, Link, Offers, ReplicaView, SideView, Snapshot } from "./wire.ts";

/** All of it is optional: the page shows what there is. Called while somebody looks, about twice a second. */
export interface UiExtras {
  /** Other replicas that this process can ask, by `replicaView`: they make the picture of the mesh whole. */
  readonly replicas?: () => readonly ReplicaView[];
  /** Links that can be cut and healed: for demonstrations and tests. */
  readonly links?: UiLinks;
  /** Replicas that can be taken off the network and brought back. */
  readonly pauses?: UiPauses;
  /** Files that are kept in the store. */
  readonly files?: UiFiles;
}

export interface UiLinks {
  /** nodeIds of both ends. */
  cuts(): readonly Link[];
  cut(a: string, b: string): void | Promise<void>;
  heal(a: string, b: string): void | Promise<void>;
}

export interface UiPauses {
  /** nodeIds. */
  paused(): readonly string[];
  pause(nodeId: string): void | Promise<void>;
  resume(nodeId: string): void | Promise<void>;
}

export interface UiFiles {
  /** In any order; the page counts all of them, and shows the first 500, those that are not `synced` before others. */
  list(): Iterable<FileView>;
  /** Files of which two versions are kept. Newest first; the first 100 are shown. */
  conflicts?(): Iterable<UiFileConflict>;
}

export interface UiFileConflict {
  readonly path: string;
  readonly winner: UiFileSide;
  readonly loser: UiFileSide;
}

export interface UiFileSide {
  readonly nodeId: string;
  /** Milliseconds since 1970. */
  readonly changedAt: number;
  /** Where it is kept, its size, or its beginning: text for people. Absent: deleted. */
  readonly text?: string;
}

const FILES_SHOWN_MAX = 500;
const CONFLICTS_SHOWN_MAX = 100;
const OTHERS_MAX = 64;

export function offersOf(extras: UiExtras): Offers {
  return {
    links: extras.links !== undefined,
    pauses: extras.pauses !== undefined,
    files: extras.files !== undefined,
  };
}

/** What the extras add to what a page shows. @throws what they throw */
export function readExtras(extras: UiExtras, own: string): Pick<Snapshot, "others" | "cuts" | "paused" | "files"> {
  return {
    others: (extras.replicas?.() ?? []).filter(({ nodeId }) => nodeId !== own).slice(0, OTHERS_MAX),
    cuts: extras.links?.cuts() ?? [],
    paused: extras.pauses?.paused() ?? [],
    files: extras.files === undefined ? null : filesView(extras.files.list()),
  };
}

/** As those of keys. @throws what the extras throw */
export function fileConflicts({ files }: UiExtras): Snapshot["conflicts"] {
  const conflicts = [];
  for (const { path, winner, loser } of files?.conflicts?.() ?? []) {
    if (conflicts.length === CONFLICTS_SHOWN_MAX) break;
    conflicts.push({ key: path, winner: sideView(winner), loser: sideView(loser) });
  }
  return conflicts;
}

/** A controllable part of the extras was asked for something: what it throws is told to the page. */
export function explained(error: unknown): string {
  return isReplicaError(error) || error instanceof Error ? error.message : String(error);
}

function sideView({ nodeId, changedAt, text }: UiFileSide): SideView {
  return { nodeId, writtenAt: changedAt, version: "", ...(text === undefined ? {} : { value: { text, more: 0 } }) };
}

function filesView(files: Iterable<FileView>): FilesView {
  const busy: FileView[] = [];
  const quiet: FileView[] = [];
  const byState: Partial<Record<FileState, number>> = {};
  let total = 0;
  for (const file of files) {
    total += 1;
    byState[file.state] = (byState[file.state] ?? 0) + 1;
    const list = file.state === "synced" ? quiet : busy;
    if (list.length < FILES_SHOWN_MAX) list.push(file);
  }
  return { shown: [...busy, ...quiet].slice(0, FILES_SHOWN_MAX), total, byState };
}
