import { closeSync, fdatasync, openSync, write } from "node:fs";
import { crc32 } from "node:zlib";

const HEADER_BYTES = 10;
const START_BYTES = 1024 * 1024;

/**
 * The least that makes writes durable: what has come meanwhile is encoded behind each other, with one checksum, written
 * at once, and synced. Nothing is kept in memory, and nothing can be read.
 */
export class AppendLog {
  readonly #fd: number;
  #arena = Buffer.alloc(START_BYTES);
  #end = HEADER_BYTES;
  #waiting: (() => void)[] = [];
  #isWriting = false;

  constructor(path: string) {
    this.#fd = openSync(path, "w");
  }

  /** Resolves when it is on the disk. */
  put(key: string, value: string): Promise<void> {
    this.#encode(key, value);
    return this.#commit();
  }

  putAll(entries: readonly (readonly [string, string])[]): Promise<void> {
    for (const [key, value] of entries) this.#encode(key, value);
    return this.#commit();
  }

  close(): void {
    closeSync(this.#fd);
  }

  #encode(key: string, value: string): void {
    const bytes = 4 + key.length + value.length;
    if (this.#end + bytes > this.#arena.length) {
      const grown = Buffer.alloc(this.#arena.length * 2 + bytes);
      grown.set(this.#arena);
      this.#arena = grown;
    }
    this.#arena.writeUInt16LE(key.length, this.#end);
    this.#arena.writeUInt16LE(value.length, this.#end + 2);
    this.#arena.write(key, this.#end + 4, "latin1");
    this.#arena.write(value, this.#end + 4 + key.length, "latin1");
    this.#end += bytes;
  }

  #commit(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      if (!this.#isWriting) {
        this.#isWriting = true;
        // What is put in the same turn goes with it.
        queueMicrotask(() => this.#write());
      }
    });
  }

  #write(): void {
    const done = this.#waiting;
    const arena = this.#arena;
    const record = arena.subarray(0, this.#end);
    this.#waiting = [];
    this.#arena = this.#spare;
    this.#spare = arena;
    this.#end = HEADER_BYTES;
    record.writeUInt32LE(record.length, 0);
    record.writeUInt32LE(crc32(record.subarray(HEADER_BYTES)), 4);
    write(this.#fd, record, 0, record.length, null, (error) => {
      if (error) throw error;
      fdatasync(this.#fd, (failure) => {
        if (failure) throw failure;
        for (const resolve of done) resolve();
        if (this.#waiting.length > 0) queueMicrotask(() => this.#write());
        else this.#isWriting = false;
      });
    });
  }

  #spare = Buffer.alloc(START_BYTES);
}
