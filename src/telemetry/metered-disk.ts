/** A disk that tells how long it takes: passes everything on, and changes nothing. */
import type { Disk, DiskFile } from "../storage/disk.ts";
import type { Telemetry } from "./telemetry.ts";

/** Counts what is written to logs, and all syncs of files. */
export function meteredDisk(disk: Disk, telemetry: Telemetry): Disk {
  const metered = (path: string, file: DiskFile): DiskFile => {
    const isLog = path.endsWith(".log");
    return {
      size: () => file.size(),
      read: (buffer, position) => file.read(buffer, position),
      write: (buffers, position) => {
        if (isLog) telemetry.wrote(buffers.reduce((sum, { length }) => sum + length, 0));
        return file.write(buffers, position);
      },
      sync: async () => {
        const began = telemetry.now();
        await file.sync();
        telemetry.synced(path, telemetry.now() - began);
      },
      truncate: (size) => file.truncate(size),
      close: () => file.close(),
    };
  };
  return {
    makeDirectory: (path) => disk.makeDirectory(path),
    list: (directory) => disk.list(directory),
    open: async (path, mode) => metered(path, await disk.open(path, mode)),
    create: async (path) => metered(path, await disk.create(path)),
    rename: (from, to) => disk.rename(from, to),
    remove: (path) => disk.remove(path),
    syncDirectory: (path) => disk.syncDirectory(path),
    fingerprint: (path) => disk.fingerprint(path),
    lock: (directory, use) => disk.lock(directory, use),
  };
}
