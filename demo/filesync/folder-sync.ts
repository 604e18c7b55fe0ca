/**
 * Keeps a folder and a store alike. Hints say which paths to look at, a full scan finds what no hint told; each path is
 * then settled on its own: look at the folder, look at the store, decide, carry out. Any hint may come twice, late or never.
 */
import { randomUUID } from "node:crypto";
import type { BaseFile } from "./base.ts";
import type { ChunkExchange } from "./chunk-exchange.ts";
import { ConflictCopies } from "./conflict-copies.ts";
import { DIRECTORY, FILE_BYTES_MAX, isSameContent, type Manifest } from "./content.ts";
import { decide } from "./decide.ts";
import { DeletionGuard } from "./deletion-guard.ts";
import { Downloads } from "./downloads.ts";
import { codeOf } from "./file-errors.ts";
import type { FileStore, StoredFile } from "./file-store.ts";
import type { Folder, Look, Outcome } from "./folder.ts";
import type { IgnoreRules } from "./ignore-rules.ts";
import type { LocalChunks } from "./local-chunks.ts";
import { type LocalFile, LocalFiles, STABLE_MS } from "./local-files.ts";
import { Notices } from "./notices.ts";
import { conflictPath, linkProblem, PRIVATE_DIRECTORY, pathProblem } from "./paths.ts";
import { Twins } from "./twins.ts";

export type FileEvent = {
  readonly type: "put" | "deleted" | "received" | "removed" | "conflict" | "renamed" | "dropped";
  readonly path: string;
  /** Of the content, where there is one. */
  readonly bytes?: number;
  /** `received`: who wrote it. */
  readonly nodeId?: string;
  /** `conflict`, `renamed`: where the content is kept. */
  readonly keptAs?: string;
};

export interface FolderSyncOptions {
  readonly folder: Folder;
  readonly store: FileStore;
  readonly base: BaseFile;
  readonly local: LocalChunks;
  readonly exchange: ChunkExchange;
  readonly ignores: IgnoreRules;
  readonly nodeId: string;
  /** Whether the store has caught up with a peer, or nobody is expected to be there. Asked until it is true. */
  readonly isCaughtUp: () => boolean;
  readonly nowMs: () => number;
  readonly report: (event: FileEvent) => void;
  /** Called when content has come that a path was waiting for, so that there is something to settle. */
  readonly wake?: () => void;
  /** Something to tell the user; the same text is told once. */
  readonly notice: (text: string) => void;
  /** Default false: see deletion-guard.ts. */
  readonly allowsMassDelete?: boolean;
  /** Names that differ in case only are two files. Default false: see twins.ts. */
  readonly allowsTwins?: boolean;
}

/** Paths that are settled at one time: the disk takes several syncs as one. */
const WORKERS = 32;
const SAVE_EVERY_MS = 500;
/** What takes long is done less often while there is other work: nothing else would be done. */
const SAVE_PAUSE_FACTOR = 5;
/** For how long the content of a removed file is kept, to be reused if it turns up under another name. */
const REUSE_MS = 60_000;
const FILE_GIB_MAX = FILE_BYTES_MAX / 1024 ** 3;

export class FolderSync {
  readonly notices: Notices;
  readonly downloads: Downloads;
  readonly deletions: DeletionGuard;
  readonly #options: FolderSyncOptions;
  /** Paths to settle, and from when on. */
  readonly #due = new Map<string, number>();
  readonly #localFiles: LocalFiles;
  readonly #copies: ConflictCopies;
  readonly #twins = new Twins();
  /** Names in the private directory of removed files, and when they were. */
  readonly #reusable = new Map<string, number>();
  #hasScanned = false;
  #savedAtMs = 0;
  #saveTookMs = 0;
  #isSaving = false;

  constructor(options: FolderSyncOptions) {
    const { folder, base, local, exchange, nowMs } = options;
    this.#options = options;
    this.notices = new Notices(options.notice);
    this.#localFiles = new LocalFiles(folder, nowMs);
    this.#copies = new ConflictCopies(folder, base);
    const onReady = (path: string): void => {
      this.hint(path);
      options.wake?.();
    };
    this.downloads = new Downloads({ directory: folder.private, local, exchange, nowMs, onReady });
    const allowsMany = options.allowsMassDelete === true;
    this.deletions = new DeletionGuard({ nowMs, count: () => base.size, allowsMany });
  }

  /** Something may have happened to a path, in the folder or in the store. */
  hint(path: string): void {
    if (this.#isUsable(path)) this.#due.set(path, this.#options.nowMs());
  }

  /** When there is something to do next, undefined for nothing. Same clock as `nowMs`. */
  get nextDueMs(): number | undefined {
    let next: number | undefined;
    for (const dueMs of this.#due.values()) next = next === undefined ? dueMs : Math.min(next, dueMs);
    return this.#options.base.isSaved ? next : Math.min(next ?? Infinity, this.#saveDueMs);
  }

  /** How many paths are to be looked at. */
  get dueCount(): number {
    return this.#due.size;
  }

  /**
   * Compares everything and gives itself hints where folder, base and store differ.
   * @returns the directories that are there
   * @throws Error when the folder is not there any more
   */
  async scan(): Promise<ReadonlySet<string>> {
    const { folder, store, base, local, ignores, nowMs } = this.#options;
    if (!(await folder.isPresent())) throw new Error("the folder has gone away; put it back and start again");
    const trouble = await ignores.reload();
    if (trouble !== undefined) this.notices.tell(trouble);
    const { files, directories, emptyDirectories, skipped } = await folder.scan((path, isDir) =>
      ignores.ignores(path, isDir),
    );
    if (!this.#hasScanned) base.begin(files.keys());
    this.#hasScanned = true;
    for (const { path, reason } of skipped) this.notices.problem("skipped", path, reason);
    this.#twins.clear();
    for (const path of base.paths) this.#twins.note(path);
    const stored = new Set<string>();
    for (const [path, manifest] of store.list()) {
      stored.add(path);
      this.#twins.note(path);
      if (manifest === undefined || base.get(path)?.hash !== manifest.hash) this.hint(path);
      else if (manifest.kind === "file") local.set(path, manifest);
    }
    for (const [path, fingerprint] of files) {
      if (!stored.has(path)) this.#twins.note(path);
      if (base.get(path)?.fingerprint !== fingerprint) this.hint(path);
    }
    for (const path of emptyDirectories) if (base.get(path) === undefined) this.hint(path);
    for (const path of base.paths) {
      // A directory that has been agreed on may have something in it by now, which is no change to it.
      const isThere = files.has(path) || emptyDirectories.has(path) || base.get(path)?.hash === DIRECTORY.hash;
      if (!isThere || !stored.has(path)) this.hint(path);
      else if (base.get(path)?.hash === DIRECTORY.hash && (await folder.look(path)).type !== "directory")
        this.hint(path);
    }
    for (const [name, sinceMs] of this.#reusable) {
      if (nowMs() - sinceMs < REUSE_MS) continue;
      this.#reusable.delete(name);
      local.delete(`${PRIVATE_DIRECTORY}/${name}`);
      await folder.private.drop(name);
    }
    return directories;
  }

  /** Settles every path that is due, and remembers the agreements. Rejects when the store fails. */
  async settleDue(signal?: AbortSignal): Promise<void> {
    const { nowMs } = this.#options;
    const due = Array.from(this.#due).filter(([, dueMs]) => dueMs <= nowMs());
    const paths = due.map(([path]) => path).sort();
    let next = 0;
    const work = async (): Promise<void> => {
      for (let path = paths[next++]; path !== undefined && signal?.aborted !== true; path = paths[next++]) {
        this.#due.delete(path);
        await this.#settleSafely(path);
        if (nowMs() >= this.#saveDueMs) await this.save();
      }
    };
    await Promise.all(Array.from({ length: Math.min(WORKERS, paths.length) }, work));
    if (nowMs() >= this.#saveDueMs) await this.save();
  }

  /** Writes down what was agreed on. What it says of the folder is made durable before. */
  async save(): Promise<void> {
    const { folder, base, nowMs } = this.#options;
    if (this.#isSaving) return;
    this.#isSaving = true;
    const beganAtMs = nowMs();
    try {
      await base.save(() => folder.syncDirectories());
    } finally {
      this.#savedAtMs = nowMs();
      this.#saveTookMs = this.#savedAtMs - beganAtMs;
      this.#isSaving = false;
    }
  }

  get #saveDueMs(): number {
    const pauseMs = this.#due.size === 0 ? 0 : SAVE_PAUSE_FACTOR * this.#saveTookMs;
    return this.#savedAtMs + Math.max(SAVE_EVERY_MS, pauseMs);
  }

  async #settleSafely(path: string): Promise<void> {
    try {
      await this.#settle(path);
    } catch (error) {
      if (!(error instanceof Error) || !("code" in error)) throw error;
      // The folder's own trouble (full, read-only, denied): told, and tried again with the next scan.
      if ("syscall" in error) this.notices.problem("failed", path, `met ${codeOf(error)} at ${String(error.syscall)}`);
      else if (error.code === "ERR_LIMIT") this.notices.problem("failed", path, `met a limit: ${error.message}`);
      else throw error;
    }
  }

  async #settle(path: string): Promise<void> {
    const { folder, store, base, ignores } = this.#options;
    const look = await folder.look(path);
    if (ignores.ignores(path, look.type === "directory")) return;
    if (look.type === "blocked") return this.notices.problem("skipped", path, look.reason);
    const isStored = store.read(path)?.manifest?.kind === "directory";
    const local = await this.#localFiles.read(path, look, base.get(path), isStored);
    if (local.type === "too-large") return this.notices.problem("skipped", path, `is larger than ${FILE_GIB_MAX} GiB`);
    if (local.type === "later") return this.#later(path, local.delayMs);
    const file = local.type === "file" ? local : undefined;

    // Whatever changes from here on is noticed by the change itself: by version in the store, by fingerprint in the folder.
    const stored = store.read(path);
    if (stored === undefined) return this.notices.problem("refused", path, "is not described as a file in the store");
    const isUnknown = stored.state.type === "absent" && !this.#options.isCaughtUp();
    const decision = decide(base.baseOf(path), file?.hash, isUnknown ? { type: "unknown" } : stored.state);
    if (decision !== "delete") this.deletions.clear(path);
    if (decision !== "write" && decision !== "conflict") await this.downloads.forget(path);
    if (decision !== "delete" && this.#mustYield(path, stored)) return await this.#yieldToDirectory(path, stored);
    const twin = decision === "put" || decision === "write" ? this.#twinOf(path) : undefined;
    if (twin !== undefined) {
      const reason = `differs from ${JSON.stringify(twin)} in case or accents only, which some systems cannot hold; rename one`;
      return this.notices.problem("refused", path, reason);
    }
    switch (decision) {
      case "wait":
        return this.notices.tell("waits for a peer before it adds files that may have been deleted elsewhere");
      case "agree":
        return this.#agree(path, file, stored);
      case "put":
        return file && (await this.#put(path, file, stored));
      case "delete":
        return await this.#delete(path, stored);
      case "write":
      case "remove":
        return await this.#follow(path, look, stored);
      case "conflict":
        return file && (await this.#keepBoth(path, look, file, stored));
    }
  }

  #agree(path: string, file: LocalFile | undefined, { manifest, nodeId }: StoredFile): void {
    const { base, local } = this.#options;
    this.notices.clear(path);
    if (file === undefined || manifest === undefined) {
      local.delete(path);
      return base.set(path, undefined);
    }
    const own = nodeId === this.#options.nodeId;
    const known = base.get(path);
    if (known?.hash !== file.hash || known.own !== own || known.fingerprint !== file.fingerprint)
      base.set(path, { hash: file.hash, own, fingerprint: file.fingerprint });
    this.#noteLocal(path, manifest);
  }

  async #put(path: string, file: LocalFile, stored: StoredFile): Promise<void> {
    const { base, store, folder, exchange, report } = this.#options;
    if (base.isDirectory(path) && file.hash !== DIRECTORY.hash) {
      // A directory has become a file: its files go first, or the store would see both.
      for (const other of base.paths) if (other.startsWith(`${path}/`)) this.hint(other);
      return this.#later(path, STABLE_MS);
    }
    const content = await this.#localFiles.describe(path, file);
    if (content === undefined) return this.#later(path, STABLE_MS);
    this.#twins.note(path);
    if (content.kind === "file")
      await exchange.giveUnasked(content, async (offset, bytes) => file.bytes ?? folder.readPart(path, offset, bytes));
    if (!(await store.put(path, content, file.mtimeMs, stored))) return this.hint(path);
    base.set(path, { hash: content.hash, own: true, fingerprint: file.fingerprint });
    this.#noteLocal(path, content);
    this.notices.clear(path);
    report({ type: "put", path, ...(content.kind === "file" && { bytes: content.size }) });
    if (store.isDirectory(path)) this.hint(path);
  }

  async #delete(path: string, stored: StoredFile): Promise<void> {
    const { base, store, local, report } = this.#options;
    const waitMs = this.deletions.waitMs(path);
    if (this.deletions.held > 0) {
      const text = `held back: ${this.deletions.held} of ${base.size} files are gone at once. Put them back, or, if it was meant,`;
      this.notices.tell(`${text} start again with --allow-mass-delete`);
    }
    if (waitMs > 0) return this.#later(path, waitMs);
    if (!(await store.delete(path, stored))) return this.hint(path);
    this.deletions.clear(path);
    local.delete(path);
    base.set(path, undefined);
    report({ type: "deleted", path });
  }

  /** Makes the folder what the store is. */
  async #follow(path: string, look: Look, stored: StoredFile): Promise<void> {
    const { manifest } = stored;
    if (manifest === undefined) return await this.#remove(path, look);
    if (manifest.kind === "file") {
      const from = await this.downloads.prepare(path, manifest);
      if (from !== undefined) await this.#place(path, look, stored, manifest, from);
      else if (!this.downloads.isWaiting(path)) this.#later(path, STABLE_MS);
    } else await this.#place(path, look, stored, manifest, "");
  }

  async #remove(path: string, look: Look): Promise<void> {
    const { folder, base, local, store, nowMs, report } = this.#options;
    if (look.type === "file" || look.type === "link") {
      const content = local.get(path);
      const name = content === undefined ? undefined : `kept-${randomUUID()}`;
      const isKept = (parent: string): boolean => store.has(parent);
      if (!this.#isDone(path, await folder.remove(path, look.fingerprint, isKept, name))) return;
      if (name !== undefined && content !== undefined) {
        this.#reusable.set(name, nowMs());
        local.set(`${PRIVATE_DIRECTORY}/${name}`, content);
      }
      local.delete(path);
    }
    // A directory that holds something, perhaps only for a moment, is not worth a word: it goes with the last of that.
    if (look.type === "directory" && !store.isDirectory(path)) await folder.removeEmptyDirectory(path);
    base.set(path, undefined);
    report({ type: "removed", path });
  }

  /** @param from of a file: its content, or where that is; empty otherwise */
  async #place(
    path: string,
    look: Look,
    stored: StoredFile,
    manifest: Manifest,
    from: string | Uint8Array,
  ): Promise<void> {
    const { folder, base, nodeId, report } = this.#options;
    const seen = look.type === "file" || look.type === "link" ? look.fingerprint : undefined;
    if (look.type === "directory") await folder.removeEmptyDirectory(path);
    let outcome: Outcome | undefined;
    try {
      if (manifest.kind === "file") {
        const { mtimeMs } = manifest;
        const executable = manifest.executable;
        outcome = await folder.placeFile(path, { from, mtimeMs, executable }, seen);
      } else if (manifest.kind === "directory") outcome = await folder.placeDirectory(path, seen);
      else {
        const problem = linkProblem(path, manifest.target);
        if (problem !== undefined) return this.notices.problem("refused", path, problem);
        outcome = await folder.placeLink(path, manifest.target, seen);
      }
    } finally {
      if (outcome?.type !== "done") await this.#drop(from);
    }
    if (!this.#isDone(path, outcome)) return;
    const { fingerprint } = outcome;
    base.set(path, {
      hash: manifest.hash,
      own: stored.nodeId === nodeId,
      ...(fingerprint !== undefined && { fingerprint }),
    });
    this.#noteLocal(path, manifest);
    // It is read once more: an edit may have followed in the same tick of the clock.
    if (fingerprint === undefined) this.#later(path, STABLE_MS);
    const { nodeId: author } = stored;
    const bytes = manifest.kind === "file" ? manifest.size : undefined;
    report({
      type: "received",
      path,
      ...(bytes !== undefined && { bytes }),
      ...(author !== undefined && { nodeId: author }),
    });
  }

  async #keepBoth(path: string, look: Look, file: LocalFile, stored: StoredFile): Promise<void> {
    const { base, report } = this.#options;
    const { manifest } = stored;
    // First what can fail: a copy is made only when the store's content is at hand.
    let from: string | Uint8Array = "";
    if (manifest?.kind === "file") {
      const prepared = await this.downloads.prepare(path, manifest);
      if (prepared === undefined) return this.downloads.isWaiting(path) ? undefined : this.#later(path, STABLE_MS);
      from = prepared;
    }
    let now = look;
    if (this.#isWorthKeeping(path, look, file, manifest)) {
      const kept = await this.#copies.keep(path, file);
      if (kept.type === "kept") {
        this.hint(kept.keptAs);
        for (const dropped of kept.dropped) {
          this.hint(dropped);
          report({ type: "dropped", path: dropped });
        }
        if (kept.free) now = { type: "absent" };
        report({ type: "conflict", path, keptAs: kept.keptAs });
      } else {
        await this.#drop(from);
        if (kept.type === "no-name")
          this.notices.problem("failed", path, "is in conflict, and no name is free for a copy; move it aside");
        return this.#later(path, STABLE_MS);
      }
    }
    if (manifest === undefined) {
      if (now.type === "absent") return base.set(path, undefined);
      return await this.#remove(path, now);
    }
    await this.#place(path, now, stored, manifest, from);
  }

  /** Whether anything would be lost: not with an empty file, which somebody is often about to fill, or a change of mode. */
  #isWorthKeeping(path: string, look: Look, file: LocalFile, manifest: Manifest | undefined): boolean {
    if (look.type !== "file" || look.size === 0) return false;
    if (manifest !== undefined && isSameContent(manifest.hash, file.hash)) return false;
    const known = this.#options.base.get(path);
    return known === undefined || known.hash === file.hash || !isSameContent(known.hash, file.hash);
  }

  #mustYield(path: string, { manifest }: StoredFile): boolean {
    return manifest !== undefined && manifest.kind !== "directory" && this.#options.store.isDirectory(path);
  }

  /** A file and a directory of one name, made on two replicas at once: the file moves, in the same way on every replica. */
  async #yieldToDirectory(path: string, stored: StoredFile): Promise<void> {
    if (stored.manifest === undefined) return;
    const keptAs = conflictPath(path, stored.manifest.hash);
    if (await this.#options.store.move(path, keptAs, stored)) this.#options.report({ type: "renamed", path, keptAs });
    this.hint(path);
    this.hint(keptAs);
  }

  /** Another spelling of the path that is in use. What we have agreed on stays, whatever else turns up. */
  #twinOf(path: string): string | undefined {
    const { base, store, allowsTwins } = this.#options;
    if (allowsTwins === true || base.get(path) !== undefined) return undefined;
    const isAgreed = (other: string): boolean => base.get(other) !== undefined || base.isDirectory(other);
    this.#twins.note(path);
    const agreed = this.#twins.of(path, isAgreed);
    // Of two that are both new, the one that sorts first comes in, on every replica.
    return agreed ?? this.#twins.of(path, (other) => store.has(other) && other < path);
  }

  #noteLocal(path: string, content: Manifest | NonNullable<LocalFile["content"]>): void {
    const { local, exchange } = this.#options;
    if (content.kind !== "file") return local.delete(path);
    local.set(path, content);
    exchange.announce(content.chunks);
  }

  /** What was prepared is of no use. */
  async #drop(from: string | Uint8Array): Promise<void> {
    if (typeof from === "string" && from !== "") await this.#options.folder.private.drop(from);
  }

  #isDone(path: string, outcome: Outcome): outcome is Outcome & { type: "done" } {
    if (outcome.type === "changed") this.#later(path, STABLE_MS);
    if (outcome.type === "refused") {
      this.notices.problem("refused", path, `cannot be written: ${outcome.reason}`);
      // Perhaps a file here has the name of a directory elsewhere, and must yield.
      for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1)) this.hint(path.slice(0, at));
    }
    return outcome.type === "done";
  }

  #later(path: string, delayMs: number): void {
    this.#due.set(path, this.#options.nowMs() + delayMs);
  }

  #isUsable(path: string): boolean {
    const problem = pathProblem(path);
    if (problem !== undefined) this.notices.problem("refused", path, problem);
    return problem === undefined;
  }
}
