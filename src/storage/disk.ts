/**
 * The port to a disk. All file access of the library goes through it, so that the real disk, the
 * one in memory and the one that injects faults run the same code above them.
 *
 * Paths are plain names joined with "/"; errors are those of `node:fs`, with `code` (ENOENT, ENOSPC, ...).
 */
export interface Disk {
  /** Creates the directory and its parents, mode 0700. No error if it exists. */
  makeDirectory(path: string): Promise<void>;
  /** Names of the files in a directory, in no order. ENOENT if there is none. */
  list(directory: string): Promise<string[]>;
  /** Opens for reading and, unless told otherwise, writing. ENOENT if absent. */
  open(path: string, mode?: "read" | "write"): Promise<DiskFile>;
  /** Creates a file, mode 0600, and opens it for reading and writing. EEXIST if it exists. */
  create(path: string): Promise<DiskFile>;
  /** Replaces `to` if it exists. Durable only after `syncDirectory`. */
  rename(from: string, to: string): Promise<void>;
  /** ENOENT if absent. Durable only after `syncDirectory`. */
  remove(path: string): Promise<void>;
  /** Makes creations, renames and removals in the directory durable. */
  syncDirectory(path: string): Promise<void>;
  /**
   * What a copy of the file does not keep: device, inode, birth time and the like, as one string.
   * Equal as long as it is the same file on the same disk.
   */
  fingerprint(path: string): Promise<string>;
  /**
   * Takes the directory for this process until `release`, or says who has it.
   * The lock of a process that has died is taken over. To read leaves no trace in the directory. Default: to write.
   */
  lock(directory: string, use?: "read" | "write"): Promise<{ release(): Promise<void> } | { heldBy: string }>;
}

export interface DiskFile {
  size(): Promise<number>;
  /** Fills `buffer` from `position` on; returns how many bytes there were, fewer only at the end of the file. */
  read(buffer: Uint8Array, position: number): Promise<number>;
  /** Writes all of `buffers`, one behind the other, at `position`. Loops on short writes. Not durable before `sync`. */
  write(buffers: readonly Uint8Array[], position: number): Promise<void>;
  /** Makes the content durable (fdatasync). Never called again on a file for which it has failed. */
  sync(): Promise<void>;
  truncate(size: number): Promise<void>;
  /** Does nothing the second time. */
  close(): Promise<void>;
}
