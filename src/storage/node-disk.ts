/** The real disk, over `node:fs`. */
import * as fs from "node:fs";
import { dirname, resolve } from "node:path";
import { lockDirectory, lockForReading } from "./directory-lock.ts";
import type { Disk, DiskFile } from "./disk.ts";

const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;
/** Windows cannot sync a directory and says so with these; elsewhere they are failures. */
const NO_DIRECTORY_SYNC = new Set(["EPERM", "EISDIR", "EINVAL", "EACCES"]);

/** All calls go to the thread pool of Node.js; nothing here blocks the event loop. */
export const nodeDisk: Disk = {
  async makeDirectory(path) {
    const first = await fs.promises.mkdir(path, { recursive: true, mode: DIRECTORY_MODE });
    if (first === undefined) return;
    // The names of the new directories must survive a power cut as well.
    const top = dirname(resolve(first));
    for (let parent = dirname(resolve(path)); parent.length >= top.length; parent = dirname(parent)) {
      await syncPath(parent);
      if (parent === top) break;
    }
  },
  list: (directory) => fs.promises.readdir(directory),
  open: (path, mode = "write") => openFile(path, mode === "read" ? "r" : "r+"),
  create: (path) => openFile(path, "wx+"),
  rename: (from, to) => fs.promises.rename(from, to),
  remove: (path) => fs.promises.unlink(path),
  syncDirectory: syncPath,
  async fingerprint(path) {
    const { dev, ino, birthtimeNs } = await fs.promises.stat(path, { bigint: true });
    // A birth time to the nanosecond identifies a file together with its inode. The device number is asked
    // only where there is none: mounts that get another number on every boot would look like copies.
    return birthtimeNs > 0n ? `${ino}-${birthtimeNs}` : `${ino}@${dev}`;
  },
  lock: (directory, use) => (use === "read" ? lockForReading(directory) : lockDirectory(directory)),
};

async function syncPath(path: string): Promise<void> {
  try {
    const handle = await fs.promises.open(path, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (process.platform !== "win32" || !NO_DIRECTORY_SYNC.has((error as NodeJS.ErrnoException).code ?? ""))
      throw error;
  }
}

/** Callbacks instead of `fs.promises`: half the time per small write. */
async function openFile(path: string, flags: string): Promise<DiskFile> {
  return nodeFile(await settle<number>((callback) => fs.open(path, flags, FILE_MODE, callback)));
}

function nodeFile(fd: number): DiskFile {
  let isOpen = true;
  return {
    size: () => settle<fs.Stats>((callback) => fs.fstat(fd, callback)).then((stats) => stats.size),
    async read(buffer, position) {
      let filled = 0;
      while (filled < buffer.length) {
        const from = filled;
        const count = await settle<number>((callback) =>
          fs.read(fd, buffer, from, buffer.length - from, position + from, callback),
        );
        if (count === 0) break;
        filled += count;
      }
      return filled;
    },
    async write(buffers, position) {
      for (let rest = buffers; rest.length > 0; ) {
        const [first] = rest;
        const count = await settle<number>((callback) => {
          if (rest.length === 1 && first !== undefined) fs.write(fd, first, 0, first.length, position, callback);
          else fs.writev(fd, rest, position, callback);
        });
        if (count === 0) throw new Error("the disk takes no more bytes and does not say why");
        // Node.js may write less than asked for without an error.
        rest = skip(rest, count);
        position += count;
      }
    },
    sync: () => settleVoid((callback) => fs.fdatasync(fd, callback)),
    truncate: (size) => settleVoid((callback) => fs.ftruncate(fd, size, callback)),
    close() {
      // A second close could hit whoever has got the number since.
      if (!isOpen) return Promise.resolve();
      isOpen = false;
      return settleVoid((callback) => fs.close(fd, callback));
    },
  };
}

function settle<T>(start: (callback: (error: Error | null, result: T) => void) => void): Promise<T> {
  return new Promise((done, failed) => {
    start((error, result) => {
      if (error) failed(error);
      else done(result);
    });
  });
}

function settleVoid(start: (callback: (error?: Error | null) => void) => void): Promise<void> {
  return settle<undefined>((callback) => {
    start((error) => callback(error ?? null, undefined));
  });
}

/** The buffers without their first `count` bytes. */
function skip(buffers: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  for (let index = 0; index < buffers.length; index++) {
    const buffer = buffers[index];
    if (buffer === undefined) break;
    if (count < buffer.length) return [buffer.subarray(count), ...buffers.slice(index + 1)];
    count -= buffer.length;
  }
  return [];
}
