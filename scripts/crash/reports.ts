/**
 * What a process that is to be killed gets to do, and what it tells: one line of JSON on standard output for each report,
 * written synchronously, so that what was told before a kill is in the pipe and can be read after it.
 */
import type { Durability } from "wavekv";

export interface Job {
  readonly directory: string;
  readonly durability: Durability;
  readonly task: Task;
}

export type Task =
  /** Puts, deletes, batches and checkpoints from several writers at once, until killed. */
  | { readonly type: "work"; readonly seed: number; readonly firstNumber: number; readonly plant?: Plant }
  /** So many puts, one after the other or all at once; after a refusal, three more at most. Then closes. */
  | { readonly type: "puts"; readonly count: number; readonly bytes: number; readonly parallel?: boolean }
  /** Nothing. Verifies and closes. */
  | { readonly type: "read" };

/** Deliberate faults, which the ledger has to notice. */
export const PLANTS = ["early-ack", "split-batch"] as const;
/** `early-ack`: acknowledges a write that is not durable. `split-batch`: writes a batch in two parts. */
export type Plant = (typeof PLANTS)[number];

/** A key, and the length of its new value in characters; `null` removes the key. */
export type Write = readonly [key: string, length: number | null];

export type Report =
  | { readonly type: "opening" }
  | {
      readonly type: "opened";
      readonly tookMs: number;
      readonly truncatedBytes: number;
      readonly corrupt: boolean;
      /** Of the files in the directory. */
      readonly names: readonly string[];
    }
  /** What the replica holds after it was opened: an `entry` for each key, then `read`. */
  | { readonly type: "entry"; readonly key: string; readonly value: unknown }
  | { readonly type: "read" }
  /** The next thing that is done is to issue this write. Numbers count up by one, in the order of issue. */
  | { readonly type: "sent"; readonly number: number; readonly writes: readonly Write[] }
  /** Its promise has resolved. */
  | { readonly type: "acknowledged"; readonly number: number }
  /** Its promise has rejected. */
  | { readonly type: "refused"; readonly number: number; readonly code: string }
  | { readonly type: "checkpoint" }
  /** A call that is no write has failed: open, verify, close. */
  | { readonly type: "failed"; readonly call: "open" | "verify" | "close"; readonly code: string };

/** The value that write `number` gives to `key`: tells from itself who wrote it. */
export function writtenValue(number: number, key: string, length: number): string {
  return `${number}/${key}/`.padEnd(length, ".");
}

/** @throws SyntaxError if it is no report */
export function parseReport(line: string): Report {
  return JSON.parse(line) as Report;
}
