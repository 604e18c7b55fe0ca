/** What the commands need of the process and its files, beside the disk of a store. */
import type { Readable, Writable } from "node:stream";

export interface Host {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly input: Readable;
  readonly isInputTerminal: boolean;
  /** The bytes behind `Surroundings.out`, for what is no text. An EPIPE of it is no error. */
  readonly output: Writable;
  /** Whether those bytes go into a file: neither to the terminal, nor to a program that writes there itself. */
  readonly isOutputFile: boolean;
  absolute(path: string): string;
  /** @throws what the system throws, with `code` */
  readText(path: string): Promise<string>;
  /** The size of a file, bytes. */
  sizeOf(path: string): Promise<number>;
  openForReading(path: string): Promise<Readable>;
  /** Mode 0600. EEXIST if there is one. */
  createFile(path: string): Promise<Writable>;
  /** Replaces a file, mode 0600. */
  writeSecret(path: string, text: string): Promise<void>;
  /** Whether there is anything by that name. */
  exists(path: string): Promise<boolean>;
  /** No error if it is absent. */
  remove(path: string): Promise<void>;
  /** Lets `listen` make a unix socket that only this user may use, whatever the mode of its directory. */
  makePrivate(path: string, listen: () => Promise<void>): Promise<void>;
  /** Calls back when the process is asked to end: SIGTERM, SIGINT, or nobody reads what it writes. @returns stops it */
  onStop(callback: (why: string) => void): () => void;
}
