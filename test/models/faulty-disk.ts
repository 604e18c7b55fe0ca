/** A disk that fails on command: it loses power or reports an error at its Nth call that changes something. */
import type { Disk, DiskFile } from "../../src/storage/disk.ts";
import { diskError, type MemoryDisk, type Survives } from "../../src/storage/memory-disk.ts";

export type Fault =
  /** The power goes at that call; a write has got half way into the page cache by then. */
  | { readonly type: "crash"; readonly at: number }
  /** That call fails, and with `sticky` all later ones too. A failed sync drops the pages, as Linux does. */
  | { readonly type: "error"; readonly at: number; readonly code: string; readonly sticky?: boolean };

export class FaultyDisk implements Disk {
  readonly #inner: MemoryDisk;
  readonly #fault: Fault | undefined;
  readonly #open = new Set<DiskFile>();
  /** Names of the calls that change something, in order. The fault counts these, from 1. */
  readonly calls: string[] = [];
  /** Resolves when the power goes. */
  readonly crashed: Promise<"crashed">;
  #crash: (result: "crashed") => void = () => undefined;
  #isDown = false;
  /** Extra time that every sync takes. */
  delay: () => Promise<void> = () => Promise.resolve();

  constructor(inner: MemoryDisk, fault?: Fault) {
    this.#inner = inner;
    this.#fault = fault;
    this.crashed = new Promise((done) => {
      this.#crash = done;
    });
  }

  /** Files that were opened and not closed. */
  get openFiles(): number {
    return this.#open.size;
  }

  makeDirectory(path: string): Promise<void> {
    return this.#read(() => this.#inner.makeDirectory(path));
  }
  list(directory: string): Promise<string[]> {
    return this.#read(() => this.#inner.list(directory));
  }
  async open(path: string): Promise<DiskFile> {
    return this.#file(path, await this.#read(() => this.#inner.open(path)));
  }
  async create(path: string): Promise<DiskFile> {
    return this.#file(path, await this.#change(`create ${path}`, () => this.#inner.create(path)));
  }
  rename(from: string, to: string): Promise<void> {
    return this.#change(`rename ${from} ${to}`, () => this.#inner.rename(from, to));
  }
  remove(path: string): Promise<void> {
    return this.#change(`remove ${path}`, () => this.#inner.remove(path));
  }
  syncDirectory(path: string): Promise<void> {
    return this.#change(`syncDirectory ${path}`, () => this.#inner.syncDirectory(path));
  }
  fingerprint(path: string): Promise<string> {
    return this.#read(() => this.#inner.fingerprint(path));
  }
  lock(directory: string): Promise<{ release(): Promise<void> } | { heldBy: string }> {
    return this.#read(() => this.#inner.lock(directory));
  }

  #file(path: string, file: DiskFile): DiskFile {
    const wrapped: DiskFile = {
      size: () => this.#read(() => file.size()),
      read: (buffer, position) => this.#read(() => file.read(buffer, position)),
      write: (buffers, position) => {
        const bytes = Buffer.concat(buffers);
        const half = () => file.write([bytes.subarray(0, bytes.length >> 1)], position);
        return this.#change(`write ${path}`, () => file.write([bytes], position), half);
      },
      sync: () =>
        this.#change(
          `sync ${path}`,
          async () => {
            await this.delay();
            await file.sync();
          },
          async () => this.#inner.dropUnsynced(path),
        ),
      truncate: (size) => this.#change(`truncate ${path}`, () => file.truncate(size)),
      close: async () => {
        this.#open.delete(wrapped);
        await this.#read(() => file.close());
      },
    };
    this.#open.add(wrapped);
    return wrapped;
  }

  async #read<T>(call: () => Promise<T>): Promise<T> {
    return this.#isDown ? await never<T>() : await call();
  }

  async #change<T>(name: string, call: () => Promise<T>, part?: () => Promise<void>): Promise<T> {
    if (this.#isDown) return await never<T>();
    const number = this.calls.push(name);
    const fault = this.#fault;
    if (fault === undefined || number < fault.at) return await call();
    if (fault.type === "error") {
      if (number > fault.at && fault.sticky !== true) return await call();
      await part?.();
      throw diskError(fault.code, `${name} (injected)`);
    }
    if (name.startsWith("write")) await part?.();
    this.#isDown = true;
    this.#crash("crashed");
    return await never<T>();
  }
}

/** What a process that has lost its power waits for. */
function never<T>(): Promise<T> {
  return new Promise(() => undefined);
}

/** What of the unsynced is there after a power cut. */
export const SURVIVALS: readonly (readonly [string, () => Survives])[] = [
  ["nothing", () => () => false],
  ["everything", () => () => true],
  ["some sectors", () => coin(7)],
  ["other sectors", () => coin(12345)],
];

/** A repeatable coin, after Marsaglia's xorshift. */
export function coin(seed: number): Survives {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state & 1) === 1;
  };
}
