/** A memory disk whose syncs of data wait, or fail, as long as a test says so. */
import type { Disk, DiskFile } from "../../src/storage/disk.ts";
import { diskError, MemoryDisk } from "../../src/storage/memory-disk.ts";

export class GatedDisk {
  readonly memory = new MemoryDisk();
  /** Syncs that wait. */
  waiting: (() => void)[] = [];
  #closed = false;
  #failure: string | undefined;

  /** From now on syncs wait. */
  hold(): void {
    this.#closed = true;
  }

  /** Lets all that wait go on, and no more waits. */
  release(): void {
    this.#closed = false;
    for (const go of this.waiting.splice(0)) go();
  }

  /** From now on, and for those that wait, syncs fail with this code; `undefined` mends the disk. */
  fail(code: string | undefined): void {
    this.#failure = code;
    this.release();
  }

  get disk(): Disk {
    const { memory } = this;
    return {
      makeDirectory: (path) => memory.makeDirectory(path),
      list: (path) => memory.list(path),
      open: async (path) => this.#gated(await memory.open(path)),
      create: async (path) => this.#gated(await memory.create(path)),
      rename: (from, to) => memory.rename(from, to),
      remove: (path) => memory.remove(path),
      syncDirectory: (path) => memory.syncDirectory(path),
      fingerprint: (path) => memory.fingerprint(path),
      lock: (directory) => memory.lock(directory),
    };
  }

  #gated(file: DiskFile): DiskFile {
    return {
      ...file,
      sync: async () => {
        if (this.#closed) await new Promise<void>((go) => this.waiting.push(go));
        if (this.#failure !== undefined) throw diskError(this.#failure, "the disk");
        await file.sync();
      },
    };
  }
}
