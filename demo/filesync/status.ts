/** What one node shows of itself: plain data, for the terminal, for `filesync status`, and for whoever embeds it. Read-only. */
import type { Replica } from "wavekv";
import type { BaseFile } from "./base.ts";
import type { ChunkExchange } from "./chunk-exchange.ts";
import type { FileStore } from "./file-store.ts";
import type { FolderSync } from "./folder-sync.ts";
import type { Problem } from "./notices.ts";
import { isConflictCopy, originalOf } from "./paths.ts";

export interface NodeStatus {
  readonly name: string;
  /** Where others reach it: `ws://127.0.0.1:7001`. */
  readonly address: string;
  readonly folder: string;
  readonly pid: number;
  /** Milliseconds since 1970. */
  readonly atMs: number;
  /** Whether nothing is to be done as far as this replica knows. */
  readonly isIdle: boolean;
  readonly health: "green" | "yellow" | "red";
  readonly reasons: readonly string[];
  readonly digest: string;
  readonly peers: readonly { readonly name: string; readonly state: string; readonly lagEntries: number }[];
  /** Agreed on with the store: files, links and directories. */
  readonly files: number;
  /** Paths to look at. */
  readonly due: number;
  /** Files whose content has not arrived whole, and how many bytes of them are missing. */
  readonly waiting: { readonly files: number; readonly bytes: number };
  /** Chunks that others wait for us to send. */
  readonly asked: number;
  readonly downloads: readonly DownloadStatus[];
  readonly conflicts: readonly Conflict[];
  readonly problems: readonly Problem[];
  /** Deletions that wait for a word of the user. */
  readonly heldDeletions: number;
  /** Of index and content, since the replica was opened, without the overhead of sockets. */
  readonly traffic: { readonly bytesSent: number; readonly bytesReceived: number };
  /** What the replica keeps in memory: keys and values. */
  readonly indexBytes: number;
}

export interface DownloadStatus {
  readonly path: string;
  readonly bytes: number;
  readonly totalBytes: number;
  readonly bytesPerSecond: number;
  /** Absent while nothing comes. */
  readonly remainingMs?: number;
}

export interface Conflict {
  /** The copy that holds what lost. */
  readonly keptAs: string;
  readonly path: string;
}

/** One file as this replica sees it. */
export interface FileStatus {
  readonly path: string;
  readonly kind: "file" | "link" | "directory" | "unknown";
  readonly bytes: number;
  /** `waiting`: the folder has not got what the store names yet. */
  readonly state: "same" | "waiting" | "refused";
}

/** What is at a path, for people. */
export interface FileSide {
  /** Who put it. */
  readonly nodeId: string;
  /** Of the file, milliseconds since 1970. */
  readonly changedAt: number;
  readonly bytes: number;
  /** How it begins, of a small file that is text. */
  readonly beginning?: string;
}

export interface SyncViewParts {
  readonly name: string;
  readonly address: string;
  readonly directory: string;
  readonly replica: Replica;
  readonly sync: FolderSync;
  readonly base: BaseFile;
  readonly store: FileStore;
  readonly exchange: ChunkExchange;
  readonly nowMs: () => number;
}

/** Looks at a running node, and changes nothing. */
export class SyncView {
  readonly #parts: SyncViewParts;

  constructor(parts: SyncViewParts) {
    this.#parts = parts;
  }

  status(): NodeStatus {
    const { name, address, directory, replica, sync, base, exchange } = this.#parts;
    const { health, reasons, digest, bytes, peers } = replica.status();
    const { traffic } = replica.metrics();
    const { lacking } = exchange;
    return {
      name,
      address,
      folder: directory,
      pid: process.pid,
      atMs: Date.now(),
      isIdle: sync.dueCount === 0 && sync.downloads.count === 0 && exchange.queued === 0 && base.isSaved,
      health,
      reasons,
      digest,
      peers: Object.entries(peers).map(([peer, { state, lagEntries }]) => ({ name: peer, state, lagEntries })),
      files: base.size,
      due: sync.dueCount,
      waiting: { files: sync.downloads.count, bytes: lacking.bytes },
      asked: exchange.queued,
      downloads: this.queue(),
      conflicts: this.conflicts(),
      problems: [...sync.notices.problems],
      heldDeletions: sync.deletions.held,
      traffic: {
        bytesSent: traffic.bytesSent + exchange.traffic.bytesSent,
        bytesReceived: traffic.bytesReceived + exchange.traffic.bytesReceived,
      },
      indexBytes: bytes,
    };
  }

  /** Every file that the store names, in order of path. */
  *files(): Generator<FileStatus> {
    const { base, store, sync } = this.#parts;
    const refused = new Set(Array.from(sync.notices.problems, ({ path }) => path));
    for (const [path, manifest] of store.list()) {
      const isSame = manifest !== undefined && base.get(path)?.hash === manifest.hash;
      const state = refused.has(path) ? "refused" : isSame ? "same" : "waiting";
      yield { path, kind: manifest?.kind ?? "unknown", bytes: manifest?.kind === "file" ? manifest.size : 0, state };
    }
  }

  /** The copies of what lost. */
  conflicts(): Conflict[] {
    const copies = Array.from(this.#parts.base.paths).filter(isConflictCopy).sort();
    return copies.map((keptAs) => ({ keptAs, path: originalOf(keptAs) }));
  }

  /** What the store has for a path; undefined for nothing. */
  side(path: string): FileSide | undefined {
    const { manifest, nodeId } = this.#parts.store.read(path) ?? {};
    if (manifest === undefined || nodeId === undefined) return undefined;
    const inline = manifest.kind === "file" ? manifest.inline : undefined;
    const beginning = inline === undefined ? undefined : textOf(inline);
    return {
      nodeId,
      changedAt: manifest.mtimeMs,
      bytes: manifest.kind === "file" ? manifest.size : 0,
      ...(beginning !== undefined && { beginning }),
    };
  }

  /** What is being put together, in order of path. */
  queue(): DownloadStatus[] {
    const { sync, nowMs } = this.#parts;
    const downloads = Array.from(sync.downloads.progress(), ({ path, bytes, totalBytes, sinceMs, firstBytes }) => {
      const bytesPerSecond = ((bytes - firstBytes) / Math.max(1, nowMs() - sinceMs)) * 1000;
      const remainingMs = bytesPerSecond > 0 ? ((totalBytes - bytes) / bytesPerSecond) * 1000 : undefined;
      return { path, bytes, totalBytes, bytesPerSecond, ...(remainingMs !== undefined && { remainingMs }) };
    });
    return downloads.sort((a, b) => (a.path < b.path ? -1 : 1));
  }
}

const BEGINNING_CHARACTERS = 200;

/** @returns undefined for what is not text */
function textOf(content: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(content);
    return text.includes("\0") ? undefined : Array.from(text).slice(0, BEGINNING_CHARACTERS).join("");
  } catch {
    return undefined;
  }
}
