/**
 * A disk in memory, for tests and simulations. It tells the page cache from the platter: what was
 * written but not synced, and what was created, renamed or removed in a directory that was not synced,
 * is what a crash may lose, sector by sector and name by name.
 */
import { assert } from "../invariant.ts";
import type { Disk, DiskFile } from "./disk.ts";

/** Torn writes end at multiples of this many bytes. */
const SECTOR_BYTES = 512;

/** Decides what of the unsynced survives a crash: asked once per sector and once per directory operation, oldest first. */
export type Survives = (what: "sector" | "entry") => boolean;

export class MemoryDisk implements Disk {
  readonly #directories = new Map<string, Directory>();
  readonly #locks = new Set<string>();
  /** Writes that would bring the sum of the file sizes above it fail with ENOSPC. */
  capacityBytes: number;
  #inodes = 0;
  /** Handles and locks of an earlier power cycle are dead. */
  #powerCycle = 0;

  constructor({ capacityBytes = Number.POSITIVE_INFINITY }: { capacityBytes?: number } = {}) {
    this.capacityBytes = capacityBytes;
  }

  /** Cuts the power: open files and locks are gone, and of the unsynced only what `survives` says is left. */
  crash(survives: Survives = () => false): void {
    this.#powerCycle++;
    this.#locks.clear();
    for (const directory of this.#directories.values()) directory.crash(survives);
    const inodes = new Set([...this.#directories.values()].flatMap((directory) => [...directory.cache.values()]));
    for (const inode of inodes) inode.crash(survives);
  }

  /** The process that uses the disk ends: open files and locks are gone, and what was not synced is still in the page cache. */
  endProcess(): void {
    this.#powerCycle++;
    this.#locks.clear();
  }

  /** The bytes of a file as a reader would see them. For tests that damage files: changes are written through. */
  bytesOf(path: string): Uint8Array {
    return this.#inode(path).cache.view();
  }

  /** The paths of all files. */
  fileNames(): string[] {
    return [...this.#directories].flatMap(([path, { cache }]) => [...cache.keys()].map((name) => `${path}/${name}`));
  }

  /** Replaces or creates a file, durable at once. For tests. */
  put(path: string, bytes: Uint8Array): void {
    const { directory, name } = this.#locate(path);
    const inode = directory.cache.get(name) ?? this.#newInode();
    inode.replace(bytes);
    directory.cache.set(name, inode);
    directory.sync();
  }

  /** Another disk with the same files; a copy, so with other fingerprints. Unsynced counts as durable there. For tests. */
  clone(keepFingerprints = false): MemoryDisk {
    const copy = new MemoryDisk({ capacityBytes: this.capacityBytes });
    copy.#inodes = this.#inodes;
    for (const [path, directory] of this.#directories) {
      copy.#directories.set(path, new Directory());
      for (const [name, inode] of directory.cache) {
        copy.put(`${path}/${name}`, inode.cache.view().slice());
        if (keepFingerprints) copy.#inode(`${path}/${name}`).number = inode.number;
      }
    }
    return copy;
  }

  /** Forgets the unsynced pages of a file as some kernels do after a failed sync: readable, but never written. For tests. */
  dropUnsynced(path: string): void {
    this.#inode(path).unsynced.length = 0;
  }

  /** Sum of the sizes of all files. */
  get usedBytes(): number {
    let bytes = 0;
    for (const { cache } of this.#directories.values()) for (const inode of cache.values()) bytes += inode.cache.size;
    return bytes;
  }

  async makeDirectory(path: string): Promise<void> {
    if (!this.#directories.has(path)) this.#directories.set(path, new Directory());
  }

  async list(path: string): Promise<string[]> {
    return [...this.#directory(path).cache.keys()];
  }

  async open(path: string): Promise<DiskFile> {
    return this.#handle(this.#inode(path));
  }

  async create(path: string): Promise<DiskFile> {
    const { directory, name } = this.#locate(path);
    if (directory.cache.has(name)) throw diskError("EEXIST", path);
    const inode = this.#newInode();
    directory.apply((entries) => entries.set(name, inode));
    return this.#handle(inode);
  }

  async rename(from: string, to: string): Promise<void> {
    const inode = this.#inode(from);
    const source = this.#locate(from);
    const target = this.#locate(to);
    assert(source.directory === target.directory, "renames stay within a directory");
    source.directory.apply((entries) => {
      entries.delete(source.name);
      entries.set(target.name, inode);
    });
  }

  async remove(path: string): Promise<void> {
    this.#inode(path);
    const { directory, name } = this.#locate(path);
    directory.apply((entries) => entries.delete(name));
  }

  async syncDirectory(path: string): Promise<void> {
    this.#directory(path).sync();
  }

  async fingerprint(path: string): Promise<string> {
    return `memory-${this.#inode(path).number}`;
  }

  async lock(directory: string): Promise<{ release(): Promise<void> } | { heldBy: string }> {
    this.#directory(directory);
    if (this.#locks.has(directory)) return { heldBy: "another opener of this memory disk" };
    this.#locks.add(directory);
    const powerCycle = this.#powerCycle;
    return {
      release: async () => {
        if (powerCycle === this.#powerCycle) this.#locks.delete(directory);
      },
    };
  }

  #directory(path: string): Directory {
    const directory = this.#directories.get(path);
    if (directory === undefined) throw diskError("ENOENT", path);
    return directory;
  }

  #locate(path: string): { directory: Directory; name: string } {
    const slash = path.lastIndexOf("/");
    return { directory: this.#directory(path.slice(0, Math.max(slash, 0))), name: path.slice(slash + 1) };
  }

  #inode(path: string): Inode {
    const { directory, name } = this.#locate(path);
    const inode = directory.cache.get(name);
    if (inode === undefined) throw diskError("ENOENT", path);
    return inode;
  }

  #newInode(): Inode {
    return new Inode(++this.#inodes);
  }

  #handle(inode: Inode): DiskFile {
    const powerCycle = this.#powerCycle;
    let open = true;
    const check = (): void => {
      if (!open || powerCycle !== this.#powerCycle) throw diskError("EBADF", "a closed file");
    };
    return {
      size: async () => {
        check();
        return inode.cache.size;
      },
      read: async (buffer, position) => {
        check();
        const bytes = inode.cache.view().subarray(position, position + buffer.length);
        buffer.set(bytes);
        return bytes.length;
      },
      write: async (buffers, position) => {
        check();
        const bytes = Buffer.concat(buffers);
        const growth = Math.max(0, position + bytes.length - inode.cache.size);
        if (growth > 0 && this.capacityBytes !== Number.POSITIVE_INFINITY) {
          const room = Math.max(0, this.capacityBytes - this.usedBytes);
          // As a real disk does, write what fits before saying that it is full.
          if (growth > room) {
            inode.write(bytes.subarray(0, bytes.length - growth + room), position);
            throw diskError("ENOSPC", "the disk");
          }
        }
        inode.write(bytes, position);
      },
      sync: async () => {
        check();
        inode.sync();
      },
      truncate: async (size) => {
        check();
        inode.truncate(size);
      },
      close: async () => {
        open = false;
      },
    };
  }
}

type Change<T> = (target: T) => void;

class Directory {
  /** Name to file, as programs see it. */
  cache = new Map<string, Inode>();
  #platter = new Map<string, Inode>();
  #unsynced: Change<Map<string, Inode>>[] = [];

  apply(change: Change<Map<string, Inode>>): void {
    change(this.cache);
    this.#unsynced.push(change);
  }

  sync(): void {
    this.#platter = new Map(this.cache);
    this.#unsynced = [];
  }

  crash(survives: Survives): void {
    for (const change of this.#unsynced) if (survives("entry")) change(this.#platter);
    this.#unsynced = [];
    this.cache = new Map(this.#platter);
  }
}

class Inode {
  number: number;
  readonly cache = new Bytes();
  readonly #platter = new Bytes();
  readonly unsynced: ({ position: number; bytes: Uint8Array } | { size: number })[] = [];

  constructor(number: number) {
    this.number = number;
  }

  write(bytes: Uint8Array, position: number): void {
    this.cache.write(bytes, position);
    this.unsynced.push({ position, bytes });
  }

  truncate(size: number): void {
    this.cache.resize(size);
    this.unsynced.push({ size });
  }

  replace(bytes: Uint8Array): void {
    this.truncate(0);
    this.write(bytes.slice(), 0);
    this.sync();
  }

  sync(): void {
    for (const change of this.unsynced) {
      if ("size" in change) this.#platter.resize(change.size);
      else this.#platter.write(change.bytes, change.position);
    }
    this.unsynced.length = 0;
  }

  crash(survives: Survives): void {
    for (const change of this.unsynced) {
      if ("size" in change) {
        if (survives("sector")) this.#platter.resize(change.size);
        continue;
      }
      const { bytes, position } = change;
      for (let from = 0; from < bytes.length; ) {
        const to = Math.min(bytes.length, from + SECTOR_BYTES - ((position + from) % SECTOR_BYTES));
        if (survives("sector")) this.#platter.write(bytes.subarray(from, to), position + from);
        from = to;
      }
    }
    this.unsynced.length = 0;
    this.cache.resize(0);
    this.cache.write(this.#platter.view(), 0);
  }
}

/** Growing bytes; holes read as zeros. */
class Bytes {
  size = 0;
  #bytes = new Uint8Array(256);

  view(): Uint8Array {
    return this.#bytes.subarray(0, this.size);
  }

  write(bytes: Uint8Array, position: number): void {
    if (position + bytes.length > this.size) this.resize(position + bytes.length);
    this.#bytes.set(bytes, position);
  }

  resize(size: number): void {
    if (size < this.size) this.#bytes.fill(0, size, this.size);
    if (size > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(size, this.#bytes.length * 2));
      grown.set(this.view());
      this.#bytes = grown;
    }
    this.size = size;
  }
}

/** An error in the shape of those of `node:fs`. */
export function diskError(code: string, what: string): Error & { code: string } {
  return Object.assign(new Error(`${code}: ${what}`), { code });
}
