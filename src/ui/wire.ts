/**
 * What the process tells the page, as JSON. Shared by both sides, so plain types alone. All of it is bounded where it
 * is made: a page shows what a person can look at, not everything.
 */

/** A replica as it sees itself and its mesh. Plain data: it may travel to the process whose page shows it. */
export interface ReplicaView {
  readonly nodeId: string;
  readonly clusterId: string;
  readonly epoch: string;
  readonly health: "green" | "yellow" | "red";
  /** Why the health is not green. */
  readonly reasons: readonly string[];
  readonly entries: number;
  readonly tombstones: number;
  /** Bytes of all keys and encoded values. */
  readonly bytes: number;
  /** 16 hex digits, equal on replicas that show the same data. */
  readonly digest: string;
  /** How writes become durable: "memory", "always", "interval", "os". */
  readonly durability: string;
  readonly uptimeMs: number;
  /** By how much the hybrid clock is ahead of the wall clock. */
  readonly driftMs: number;
  /** Members that deletes wait for. */
  readonly pinnedBy: readonly string[];
  readonly members: readonly MemberView[];
  /** Those beyond the first 500 are counted alone. */
  readonly membersTotal: number;
  readonly peers: readonly PeerView[];
  /** This replica first. */
  readonly mesh: readonly MeshNodeView[];
  readonly counters: CountersView;
}

export interface MemberView {
  readonly nodeId: string;
  readonly addresses: readonly string[];
  readonly epoch: string;
  /** Of the library. */
  readonly version: string;
}

export interface PeerView {
  readonly nodeId: string;
  readonly state: "connecting" | "catching-up" | "live" | "settling" | "down";
  readonly address?: string;
  /** Writes that we hold and the peer has not acknowledged. */
  readonly lagEntries: number;
  readonly lagMs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly entriesIn: number;
  readonly entriesOut: number;
  readonly lastSeenAt?: number;
  /** What was refused from it, in words. */
  readonly refused: string;
}

export interface MeshNodeView {
  readonly nodeId: string;
  /** To whom it is connected. */
  readonly links: readonly string[];
  /** How many writes of each author it holds; authors are `nodeId/epoch`. */
  readonly coverage: Readonly<Record<string, number>>;
}

/** Counted since the replica was opened. */
export interface CountersView {
  readonly puts: number;
  readonly deletes: number;
  readonly expired: number;
  readonly refused: number;
  readonly commits: number;
  readonly commitMs: number;
  readonly entriesIn: number;
  readonly entriesOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly messagesIn: number;
  readonly messagesOut: number;
  /** Messages sent and received, by kind. */
  readonly kinds: Readonly<Record<string, readonly [sent: number, received: number]>>;
  /** At the moment: open watchers, and calls that wait for the disk. */
  readonly watchers: number;
  readonly waiting: number;
}

/** A value as text for people. */
export interface ValueView {
  /** JSON, with `$bigint` and the like for what JSON lacks. */
  readonly text: string;
  /** The text is longer than this, by so many characters. */
  readonly more: number;
}

export interface EntryView {
  readonly key: string;
  readonly value: ValueView;
  readonly version: string;
  /** Of the write: milliseconds since 1970, on the hybrid clock. */
  readonly writtenAt: number;
  readonly nodeId: string;
  readonly expiresAt?: number;
}

export interface ChangeView {
  readonly type: "put" | "delete" | "expire";
  readonly key: string;
  readonly value?: ValueView;
  readonly nodeId: string;
  readonly local: boolean;
  readonly version: string;
  readonly batch: string;
  readonly writtenAt: number;
}

/** One side of a conflict. `value` is absent where the key or the file was deleted. */
export interface SideView {
  readonly value?: ValueView;
  readonly nodeId: string;
  readonly writtenAt: number;
  readonly version: string;
}

export interface ConflictView {
  readonly key: string;
  readonly winner: SideView;
  readonly loser: SideView;
}

/** A file that an embedder keeps in the store. */
export interface FileView {
  readonly path: string;
  readonly state: FileState;
  readonly bytes?: number;
  /** Of `sending` and `receiving`: how much of it has moved. */
  readonly doneBytes?: number;
  /** Why it is refused, where the other version is kept, and the like. */
  readonly note?: string;
  /** Who has changed it last, and when. */
  readonly nodeId?: string;
  readonly changedAt?: number;
}

export type FileState = "synced" | "waiting" | "sending" | "receiving" | "conflict" | "refused";

export interface FilesView {
  /** What is not `synced` first; at most 500. */
  readonly shown: readonly FileView[];
  readonly total: number;
  readonly byState: Readonly<Partial<Record<FileState, number>>>;
}

export type Link = readonly [a: string, b: string];

/** What the page may ask for beside reading. */
export interface Offers {
  readonly links: boolean;
  readonly pauses: boolean;
  readonly files: boolean;
}

/** What a page shows at one moment. */
export interface Snapshot {
  readonly replica: ReplicaView;
  /** Other replicas that the process can ask. */
  readonly others: readonly ReplicaView[];
  readonly offers: Offers;
  readonly cuts: readonly Link[];
  readonly paused: readonly string[];
  /** Newest first; at most 100. */
  readonly conflicts: readonly ConflictView[];
  readonly conflictsTotal: number;
  readonly files: FilesView | null;
}

/** One line of the feed: what of the snapshot is not as in the line before, and what has happened since. */
export interface Frame {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly snapshot: Partial<Snapshot>;
  /** Oldest first; at most 100. */
  readonly changes: readonly ChangeView[];
  /** Changes that came too fast to be shown. */
  readonly missed: number;
}

export interface EntriesView {
  readonly entries: readonly EntryView[];
  /** There are more behind the last one. */
  readonly more: boolean;
}
