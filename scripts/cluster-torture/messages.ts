/**
 * What the torture and its nodes tell each other: one line of JSON for each message. A node writes its reports
 * synchronously, so that what was told before a kill is in the pipe and can be read after it.
 */

export interface Job {
  readonly nodeId: string;
  readonly directory: string;
  /** The entrances of the links to the other nodes. */
  readonly seeds: readonly string[];
  /** Of what it writes. */
  readonly seed: number;
  /** Of its first write. */
  readonly firstNumber: number;
}

export type Request =
  /** Stop to write; answered once nothing is under way. */
  | { readonly type: "quiet" }
  | { readonly type: "status" }
  /** From now on its wall clock is off by so much. */
  | { readonly type: "clock"; readonly skewMs: number }
  /** Write so many keys of its own, one after the other; answered when they are durable there. */
  | { readonly type: "steady"; readonly writes: number }
  /** Not answered: the node closes in good order and ends. */
  | { readonly type: "close" }
  /** Answered with everything the node holds. */
  | { readonly type: "dump" }
  /** Answered once one of these nodes holds durably all that this one holds now. */
  | { readonly type: "spread"; readonly among: readonly string[] };

export type NumberedRequest = Request & { readonly id: number };

/** A key, and whether it is set (with the value that the number gives it) or removed. */
export type Write = readonly [key: string, type: "put" | "del"];

/** key, value, stamp, expiresAt (0: never) */
export type HeldEntry = readonly [key: string, value: unknown, stamp: number, expiresAt: number];

export interface Answer {
  readonly digest?: string;
  /** Entries that its present peers have sent it. */
  readonly entriesIn?: number;
  /** Red ones: nothing here may bring them about. */
  readonly failures?: readonly string[];
  /** Yellow ones, for whoever looks into a run that has failed. */
  readonly reasons?: readonly string[];
  readonly entries?: readonly HeldEntry[];
}

export type Report =
  | { readonly type: "opened"; readonly port: number; readonly epoch: string }
  /** The next thing that is done is to issue these writes, in one step. `safe`: acknowledged by two nodes at least. */
  | {
      readonly type: "sent";
      readonly number: number;
      readonly safe: boolean;
      readonly writes: readonly Write[];
      readonly expires: boolean;
    }
  /** The stamp of that step is between these two, inclusive; all puts of it expire at `expiresAt`, 0: never. */
  | {
      readonly type: "issued";
      readonly number: number;
      readonly low: number;
      readonly high: number;
      readonly expiresAt: number;
    }
  | { readonly type: "acknowledged"; readonly number: number }
  /** The node saw what must not be seen. */
  | { readonly type: "wrong"; readonly what: string }
  | { readonly type: "warning"; readonly message: string }
  | { readonly type: "answer"; readonly id: number; readonly answer: Answer };

/** The value that the write `number` of a node gives to its keys: tells from itself who wrote it. */
export function writtenValue(nodeId: string, number: number, length: number): string {
  return `${nodeId}/${number}/`.padEnd(length, ".");
}

/** Who wrote a value; undefined if it is none of ours. */
export function writerOf(value: unknown): { readonly nodeId: string; readonly number: number } | undefined {
  const [, nodeId, number] = typeof value === "string" ? (/^([^/]+)\/(\d+)\/\.*$/.exec(value) ?? []) : [];
  return nodeId === undefined ? undefined : { nodeId, number: Number(number) };
}
