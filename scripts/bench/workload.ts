/** The words of the benchmark: a workload is measured for several systems, at several sizes, in rounds. */

/** `quick` shows that everything runs, with sizes too small to judge by. */
export type Scale = "full" | "quick";

/** The limit is the least JavaScript that could do the job, written for this; a peer is what users would pick instead. */
export type SystemKind = "wavekv" | "limit" | "peer";

export interface System {
  readonly name: string;
  readonly kind: SystemKind;
  /** What it is here: how durable, and what it does not do. */
  readonly what: string;
}

/** Names and numbers that one process has measured. */
export type Figures = Record<string, number>;

export interface Figure {
  readonly unit: string;
  readonly better: "more" | "less";
}

/** One line of the targets, as a bound on a ratio to another system, or on the figure itself. */
export interface Target {
  /** The line of the table of targets. */
  readonly row: number;
  readonly figure: string;
  /** At this size only; without it, at all of them. */
  readonly size?: number | string;
  /** A system; `best peer`; `itself` is the figure as it is, `itself at 1000` its ratio to that of another size. */
  readonly against: string;
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** A task for one process. */
export interface Task {
  readonly system: string;
  readonly size: number | string;
  readonly scale: Scale;
  /** For its files. Empty, unless the workload prepares it: then the same for all systems. */
  readonly directory: string;
}

export interface Workload {
  readonly name: string;
  /** What is measured, and how, in a sentence or two. */
  readonly what: string;
  /** Time on the processor, of all threads of the process, or on the clock: where disk and network count. */
  readonly time: "processor" | "clock";
  /** What a size is: "entries", "writers". */
  readonly sizeName: string;
  readonly sizes: Readonly<Record<Scale, readonly (number | string)[]>>;
  readonly systems: readonly System[];
  /** Whether a system takes part at a size; default: always. */
  readonly takesPart?: (system: string, size: number | string) => boolean;
  readonly figures: Readonly<Record<string, Figure>>;
  readonly targets: readonly Target[];
  /** How long one process may take at full scale. Default: 4 minutes. */
  readonly deadlineMs?: number;
  /** Where the time goes, from a profile: why a target is missed, if one is. */
  readonly profile?: string;
  /** Fills the directory for a size, once, in a process of its own. */
  readonly prepare?: (task: Task) => Promise<void>;
  /** Runs in a second process that `measure` starts, and answers what it asks. */
  readonly partner?: (task: Task) => Promise<void>;
  /** Runs in a process of its own. */
  readonly measure: (task: Task) => Promise<Figures>;
}

/** Our own system, in every workload. */
export function wavekv(what: string): System {
  return { name: "wavekv", kind: "wavekv", what };
}

export function limit(name: string, what: string): System {
  return { name, kind: "limit", what };
}

export function peer(name: string, what: string): System {
  return { name, kind: "peer", what };
}

/** A size that has to be a number. */
export function numberOf(size: number | string): number {
  if (typeof size !== "number") throw new Error(`${size} is not a number`);
  return size;
}
