/** A process for commands under test: files in a map, standard input as given, and a stop on command. */
import { PassThrough, Readable, Writable } from "node:stream";
import type { Host } from "../../../src/cli/host.ts";
import { diskError } from "../../../src/storage/memory-disk.ts";

export class MemoryHost implements Host {
  readonly env: Record<string, string> = {};
  readonly files = new Map<string, Buffer>();
  readonly output = new PassThrough();
  readonly #stops = new Set<(why: string) => void>();
  input: Readable;
  isInputTerminal = false;
  isOutputFile = false;
  /** Not of the host: what tests make of standard error. */
  isErrTerminal = false;

  constructor(input = "") {
    this.input = Readable.from([Buffer.from(input)]);
  }

  absolute(path: string): string {
    return `/cwd/${path}`;
  }
  async readText(path: string): Promise<string> {
    return this.#file(path).toString();
  }
  async sizeOf(path: string): Promise<number> {
    return this.#file(path).length;
  }
  async openForReading(path: string): Promise<Readable> {
    return Readable.from([this.#file(path)]);
  }
  async createFile(path: string): Promise<Writable> {
    if (this.files.has(path)) throw diskError("EEXIST", path);
    const chunks: Uint8Array[] = [];
    return new Writable({
      write: (chunk: Uint8Array, _encoding, done) => {
        chunks.push(chunk);
        done();
      },
      final: (done) => {
        this.files.set(path, Buffer.concat(chunks));
        done();
      },
    });
  }
  async writeSecret(path: string, text: string): Promise<void> {
    this.files.set(path, Buffer.from(text));
  }
  async exists(path: string): Promise<boolean> {
    return this.files.has(path);
  }
  async remove(path: string): Promise<void> {
    this.files.delete(path);
  }
  async makePrivate(_path: string, listen: () => Promise<void>): Promise<void> {
    await listen();
  }
  onStop(callback: (why: string) => void): () => void {
    this.#stops.add(callback);
    return () => void this.#stops.delete(callback);
  }

  stop(): void {
    for (const callback of [...this.#stops]) callback("SIGTERM");
  }

  #file(path: string): Buffer {
    const file = this.files.get(path);
    if (file === undefined) throw diskError("ENOENT", path);
    return file;
  }
}
