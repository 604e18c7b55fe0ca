/**
 * The disk of a simulated process: a memory disk of which every call takes time, may fail, and never answers a process
 * that has ended. What a crash leaves is decided by the memory disk below, which outlives processes.
 */
import type { Disk, DiskFile } from "../storage/disk.ts";
import { diskError, type MemoryDisk } from "../storage/memory-disk.ts";
import type { Millis } from "../types.ts";
import type { Owner, Scheduler } from "./scheduler.ts";
import type { SeededRandom } from "./seeded-random.ts";

/** A call that reaches the disk. */
export interface DiskCall {
  readonly operation:
    | "list"
    | "open"
    | "create"
    | "rename"
    | "remove"
    | "syncDirectory"
    | "read"
    | "write"
    | "sync"
    | "truncate"
    | "other";
  readonly path: string;
}

export type DiskFault =
  /** It rejects with this code. A sync drops the pages, as Linux does; a write has got half way. */
  | { readonly type: "error"; readonly code: string }
  /** A write lands so many bytes beside its place, without an error. */
  | { readonly type: "misdirected"; readonly byBytes: number }
  /** One bit of what is read or written is wrong. */
  | { readonly type: "flipped" };

export interface SimDiskOptions {
  readonly scheduler: Scheduler;
  readonly owner: Owner;
  readonly memory: MemoryDisk;
  readonly random: SeededRandom;
  /** How long a call takes. */
  readonly latencyMs: (call: DiskCall) => Millis;
  /** Asked at each call; `undefined`: it works. */
  readonly fault: (call: DiskCall) => DiskFault | undefined;
}

export class SimDisk implements Disk {
  readonly #options: SimDiskOptions;
  readonly #writing = new Set<{ readonly file: DiskFile; readonly bytes: Uint8Array; readonly position: number }>();
  readonly #openFiles = new Set<DiskFile>();

  constructor(options: SimDiskOptions) {
    this.#options = options;
  }

  /** Files that were opened and not closed. */
  get openFiles(): number {
    return this.#openFiles.size;
  }

  /** The process ends: of the writes under way some have got as far as the page cache, in part. */
  tear(): void {
    const { random } = this.#options;
    for (const { file, bytes, position } of this.#writing) {
      // The memory disk has done its work when it returns the promise.
      void file.write([bytes.subarray(0, random.below(bytes.length + 1))], position).catch(() => undefined);
    }
    this.#writing.clear();
  }

  makeDirectory(path: string): Promise<void> {
    return this.#call({ operation: "other", path }, () => this.#options.memory.makeDirectory(path));
  }

  list(path: string): Promise<string[]> {
    return this.#call({ operation: "list", path }, () => this.#options.memory.list(path));
  }

  async open(path: string): Promise<DiskFile> {
    return this.#file(path, await this.#call({ operation: "open", path }, () => this.#options.memory.open(path)));
  }

  async create(path: string): Promise<DiskFile> {
    return this.#file(path, await this.#call({ operation: "create", path }, () => this.#options.memory.create(path)));
  }

  rename(from: string, to: string): Promise<void> {
    return this.#call({ operation: "rename", path: from }, () => this.#options.memory.rename(from, to));
  }

  remove(path: string): Promise<void> {
    return this.#call({ operation: "remove", path }, () => this.#options.memory.remove(path));
  }

  syncDirectory(path: string): Promise<void> {
    return this.#call({ operation: "syncDirectory", path }, () => this.#options.memory.syncDirectory(path));
  }

  fingerprint(path: string): Promise<string> {
    return this.#call({ operation: "other", path }, () => this.#options.memory.fingerprint(path));
  }

  lock(directory: string): Promise<{ release(): Promise<void> } | { heldBy: string }> {
    return this.#call({ operation: "other", path: directory }, () => this.#options.memory.lock(directory));
  }

  #file(path: string, file: DiskFile): DiskFile {
    const { memory } = this.#options;
    const wrapped: DiskFile = {
      size: () => this.#call({ operation: "other", path }, () => file.size()),
      read: (buffer, position) =>
        this.#call({ operation: "read", path }, async (fault) => {
          const count = await file.read(buffer, position);
          if (fault?.type === "flipped") this.#flip(buffer.subarray(0, count));
          return count;
        }),
      write: (buffers, position) => this.#write(path, file, Buffer.concat(buffers), position),
      sync: () =>
        this.#call(
          { operation: "sync", path },
          () => file.sync(),
          () => dropUnsynced(memory, path),
        ),
      truncate: (size) => this.#call({ operation: "truncate", path }, () => file.truncate(size)),
      close: async () => {
        this.#openFiles.delete(wrapped);
        await this.#call({ operation: "other", path }, () => file.close());
      },
    };
    this.#openFiles.add(wrapped);
    return wrapped;
  }

  async #write(path: string, file: DiskFile, bytes: Uint8Array, position: number): Promise<void> {
    const write = { file, bytes, position };
    this.#writing.add(write);
    try {
      await this.#call(
        { operation: "write", path },
        (fault) => {
          if (fault?.type === "flipped") this.#flip(bytes);
          return file.write([bytes], position + (fault?.type === "misdirected" ? fault.byBytes : 0));
        },
        () => void file.write([bytes.subarray(0, bytes.length >> 1)], position).catch(() => undefined),
      );
    } finally {
      this.#writing.delete(write);
    }
  }

  #flip(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const at = this.#options.random.below(bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << this.#options.random.below(8));
  }

  /** `onError`: what a call that fails leaves behind. */
  #call<T>(
    call: DiskCall,
    run: (fault: DiskFault | undefined) => Promise<T>,
    onError: () => void = () => undefined,
  ): Promise<T> {
    const { scheduler, owner, latencyMs, fault } = this.#options;
    return new Promise((resolve, reject) => {
      if (!owner.alive) return;
      scheduler.after(latencyMs(call), owner, `disk ${owner.name} ${call.operation}`, () => {
        const found = fault(call);
        if (found?.type !== "error") return void run(found).then(resolve, reject);
        onError();
        reject(diskError(found.code, `${call.operation} ${call.path} (simulated)`));
      });
    });
  }
}

/** As Linux does after a failed sync. A file that has another name by now keeps its pages. */
function dropUnsynced(memory: MemoryDisk, path: string): void {
  try {
    memory.dropUnsynced(path);
  } catch {
    // It was renamed or removed meanwhile.
  }
}
