/**
 * Keeps a folder and a store alike. Hints say which paths to look at, a full scan finds what no hint told; each path is
 * then settled on its own: look at the folder, look at the store, decide, carry out. Any hint may come twice, late or never.
 */
import type { BaseFile } from "./base.ts";
import type { Hash } from "./decide.ts";
import { decide } from "./decide.ts";
import type { FileStore, Manifest, StoredFile } from "./file-store.ts";
import { FILE_BYTES_MAX, hashOf } from "./file-store.ts";
import type { Folder, Look, Outcome } from "./folder.ts";
import { mtimeMsOf } from "./folder.ts";
import type { LocalFile } from "./local-files.ts";
import { LocalFiles, STABLE_MS } from "./local-files.ts";
import { conflictPath, pathProblem } from "./paths.ts";

export type FileEvent = {
  readonly type: "put" | "deleted" | "received" | "removed" | "conflict" | "renamed";
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
  readonly nodeId: string;
  /** Whether the store has caught up with a peer, or nobody is expected to be there. Asked until it is true. */
  readonly isCaughtUp: () => boolean;
  readonly nowMs: () => number;
  readonly report: (event: FileEvent) => void;
  /** Something to tell the user; the same text is told once. */
  readonly notice: (text: string) => void;
}

const SAVE_EVERY_MS = 500;
const COLLECT_EVERY_MS = 30_000;
const NOTICES_MAX = 10_000;
const FILE_MIB_MAX = FILE_BYTES_MAX / 1024 / 1024;
const CONFLICT_DIGITS = [8, 16, 64];

export class FolderSync {
  readonly #options: FolderSyncOptions;
  /** Paths to settle, and from when on. */
  readonly #due = new Map<string, number>();
  readonly #local: LocalFiles;
  /** Paths whose content has not arrived whole. */
  readonly #incomplete = new Set<string>();
  readonly #told = new Set<string>();
  #hasScanned = false;
  #savedAtMs = 0;
  #collectedAtMs: number;

  constructor(options: FolderSyncOptions) {
    this.#options = options;
    this.#local = new LocalFiles(options.folder, options.nowMs);
    this.#collectedAtMs = options.nowMs();
  }

  /** Something may have happened to a path, in the folder or in the store. */
  hint(path: string): void {
    if (this.#isUsable(path)) this.#due.set(path, this.#options.nowMs());
  }

  /** A part of some content has arrived. */
  hintChunk(): void {
    for (const path of this.#incomplete) this.hint(path);
    this.#incomplete.clear();
  }

  /** When there is something to do next, undefined for nothing. Same clock as `nowMs`. */
  get nextDueMs(): number | undefined {
    let next: number | undefined;
    for (const dueMs of this.#due.values()) next = next === undefined ? dueMs : Math.min(next, dueMs);
    return next;
  }

  /**
   * Compares everything and gives itself hints where folder, base and store differ.
   * @throws Error when the folder is not there any more
   */
  async scan(): Promise<void> {
    const { folder, store, base, nowMs } = this.#options;
    if (!(await folder.isPresent())) throw new Error("the folder has gone away; put it back and start again");
    const { files, skipped } = await folder.scan();
    if (!this.#hasScanned) base.begin(files.keys());
    this.#hasScanned = true;
    for (const { path, reason } of skipped) this.#notice(`skipped ${JSON.stringify(path)}: it ${reason}`);
    for (const [path, fingerprint] of files) if (base.get(path)?.fingerprint !== fingerprint) this.hint(path);
    const storedPaths = new Set<string>();
    for (const [path, manifest] of store.list()) {
      storedPaths.add(path);
      if (manifest === undefined || base.get(path)?.hash !== manifest.hash || !store.isWhole(manifest)) this.hint(path);
    }
    for (const path of base.paths) if (!files.has(path) || !storedPaths.has(path)) this.hint(path);
    if (nowMs() - this.#collectedAtMs < COLLECT_EVERY_MS) return;
    this.#collectedAtMs = nowMs();
    await store.collect(nowMs());
  }

  /** Settles every path that is due, in order, and remembers the agreements. Rejects when the store fails. */
  async settleDue(signal?: AbortSignal): Promise<void> {
    const { nowMs, base } = this.#options;
    const due = Array.from(this.#due).filter(([, dueMs]) => dueMs <= nowMs());
    for (const [path] of due.sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (signal?.aborted === true) break;
      this.#due.delete(path);
      await this.#settleSafely(path);
    }
    if (nowMs() - this.#savedAtMs < SAVE_EVERY_MS) return;
    this.#savedAtMs = nowMs();
    await base.save();
  }

  async #settleSafely(path: string): Promise<void> {
    try {
      await this.#settle(path);
    } catch (error) {
      if (!(error instanceof Error) || !("code" in error)) throw error;
      // The folder's own trouble (full, read-only, denied): told, and tried again with the next scan.
      if ("syscall" in error) this.#notice(`failed: ${path}: ${String(error.code)} at ${String(error.syscall)}`);
      else if (error.code === "ERR_LIMIT") this.#notice(`not synchronised: ${path}: ${error.message}`);
      else throw error;
    }
  }

  async #settle(path: string): Promise<void> {
    const { folder, store, base } = this.#options;
    const look = await folder.look(path);
    if (look.type === "blocked") return this.#notice(`skipped ${JSON.stringify(path)}: it ${look.reason}`);
    const local = await this.#local.read(path, look, base.get(path));
    if (local.type === "too-large")
      return this.#notice(`skipped ${JSON.stringify(path)}: it is larger than ${FILE_MIB_MAX} MiB`);
    if (local.type === "later") return this.#later(path, local.delayMs);
    const file = local.type === "file" ? local : undefined;

    // Whatever changes from here on is noticed by the change itself: by version in the store, by fingerprint in the folder.
    const stored = store.read(path);
    if (stored === undefined) return this.#notice(`ignored ${path}: what the store has is not a file's description`);
    const isUnknown = stored.state.type === "absent" && !this.#options.isCaughtUp();
    const decision = decide(base.baseOf(path), file?.hash, isUnknown ? { type: "unknown" } : stored.state);
    if (decision !== "delete" && stored.state.type === "file" && store.isDirectory(path)) {
      return await this.#yieldToDirectory(path, stored);
    }
    switch (decision) {
      case "wait":
        return this.#notice("waits for a peer before it adds files that may have been deleted elsewhere");
      case "agree":
        return await this.#agree(path, file, stored);
      case "put":
        return file && (await this.#put(path, file, stored));
      case "delete":
        if (!(await store.delete(path, stored))) return this.hint(path);
        base.set(path, undefined);
        return this.#options.report({ type: "deleted", path });
      case "write":
      case "remove":
        return await this.#follow(path, look, stored);
      case "conflict":
        return file && (await this.#keepBoth(path, look, file, stored));
    }
  }

  async #agree(path: string, file: LocalFile | undefined, stored: StoredFile): Promise<void> {
    const { base, store, nodeId } = this.#options;
    if (file === undefined || stored.manifest === undefined) return base.set(path, undefined);
    const own = stored.nodeId === nodeId;
    const known = base.get(path);
    if (known?.hash !== file.hash || known.own !== own || known.fingerprint !== file.fingerprint) {
      base.set(path, { hash: file.hash, own, fingerprint: file.fingerprint });
    }
    if (store.isWhole(stored.manifest)) return;
    const content = await this.#contentOf(path, file);
    if (content !== undefined) await store.putChunks(content);
  }

  async #put(path: string, file: LocalFile, stored: StoredFile): Promise<void> {
    const { base, store, report } = this.#options;
    const children = Array.from(base.paths).filter((other) => other.startsWith(`${path}/`));
    if (children.length > 0) {
      // A directory has become a file: its files go first, or the store would see both.
      for (const child of children) this.hint(child);
      return this.#later(path, STABLE_MS);
    }
    const content = await this.#contentOf(path, file);
    if (content === undefined) return;
    if (!(await store.put(path, content, mtimeMsOf(file.fingerprint), stored))) return this.hint(path);
    base.set(path, { hash: file.hash, own: true, fingerprint: file.fingerprint });
    report({ type: "put", path, bytes: content.length });
    if (store.isDirectory(path)) this.hint(path);
  }

  /** Makes the folder what the store is. */
  async #follow(path: string, look: Look, stored: StoredFile): Promise<void> {
    const content = this.#contentToWrite(path, stored.manifest);
    if (content !== "missing") await this.#replace(path, look, stored, content);
  }

  async #replace(path: string, look: Look, stored: StoredFile, content: Buffer | undefined): Promise<void> {
    const { folder, base, nodeId, report } = this.#options;
    const seen = look.type === "file" ? look.fingerprint : undefined;
    if (content === undefined || stored.manifest === undefined) {
      if (seen !== undefined && !this.#isDone(path, await folder.remove(path, seen))) return;
      base.set(path, undefined);
      return report({ type: "removed", path });
    }
    if (look.type === "directory") await folder.removeEmptyDirectory(path);
    if (!this.#isDone(path, await folder.write(path, content, seen, stored.manifest.mtimeMs))) return;
    // Without a fingerprint, so that the file is read once more: an edit may have followed in the same tick of the clock.
    base.set(path, { hash: stored.manifest.hash, own: stored.nodeId === nodeId });
    this.#later(path, STABLE_MS);
    const { nodeId: from } = stored;
    report({ type: "received", path, bytes: content.length, ...(from !== undefined && { nodeId: from }) });
  }

  async #keepBoth(path: string, look: Look, file: LocalFile, stored: StoredFile): Promise<void> {
    // First what can fail: a copy is made only when the store's content is at hand.
    const incoming = this.#contentToWrite(path, stored.manifest);
    const losing = await this.#contentOf(path, file);
    if (incoming === "missing" || losing === undefined) return;
    // An empty file has nothing to keep; often it is one that somebody is about to fill.
    if (losing.length > 0) {
      const keptAs = await this.#keepCopy(path, file.hash, losing);
      if (keptAs === undefined) return this.#later(path, STABLE_MS);
      this.#options.report({ type: "conflict", path, keptAs });
    }
    await this.#replace(path, look, stored, incoming);
  }

  /** @returns where the copy is, undefined when it could not be made now */
  async #keepCopy(path: string, hash: Hash, content: Buffer): Promise<string | undefined> {
    const { folder } = this.#options;
    for (const digits of CONFLICT_DIGITS) {
      const target = conflictPath(path, hash, digits);
      if (target === path || pathProblem(target) !== undefined) continue;
      const look = await folder.look(target);
      if (look.type === "absent") {
        if (!this.#isDone(target, await folder.write(target, content))) return undefined;
        this.hint(target);
        return target;
      }
      if (look.type !== "file") continue;
      const present = await folder.read(target, look.fingerprint);
      if (present !== undefined && hashOf(present) === hash) return target;
    }
    this.#notice(`conflict: ${path}: no name is free for a copy; move the file aside to receive the other one`);
    return undefined;
  }

  /** A file and a directory of one name, made on two replicas at once: the file moves, in the same way on every replica. */
  async #yieldToDirectory(path: string, stored: StoredFile): Promise<void> {
    if (stored.manifest === undefined) return;
    const keptAs = conflictPath(path, stored.manifest.hash);
    if (await this.#options.store.move(path, keptAs, stored)) this.#options.report({ type: "renamed", path, keptAs });
    this.hint(path);
    this.hint(keptAs);
  }

  #contentToWrite(path: string, manifest: Manifest | undefined): Buffer | undefined | "missing" {
    if (manifest === undefined) return undefined;
    const content = this.#options.store.content(manifest);
    if (content === "incomplete") this.#incomplete.add(path);
    else if (content === "damaged") this.#notice(`ignored ${path}: its content is not what its description says`);
    else return content;
    return "missing";
  }

  async #contentOf(path: string, file: LocalFile): Promise<Buffer | undefined> {
    const content = file.content ?? (await this.#options.folder.read(path, file.fingerprint));
    if (content === undefined) this.#later(path, STABLE_MS);
    return content;
  }

  #isDone(path: string, outcome: Outcome): boolean {
    if (outcome.type === "changed") this.#later(path, STABLE_MS);
    if (outcome.type === "refused") {
      this.#notice(`refused to write ${path}: ${outcome.reason}`);
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
    if (problem !== undefined) this.#notice(`refused ${JSON.stringify(path)}: it ${problem}`);
    return problem === undefined;
  }

  #notice(text: string): void {
    if (this.#told.has(text)) return;
    if (this.#told.size >= NOTICES_MAX) this.#told.clear();
    this.#told.add(text);
    this.#options.notice(text);
  }
}
