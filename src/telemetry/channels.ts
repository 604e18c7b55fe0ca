/**
 * What happens inside a replica, on `node:diagnostics_channel`, for whoever subscribes: tracers, test rigs, logs. The
 * message is made only if there is a subscriber. Subscribers run within the step that they hear of: they must be
 * quick, and what they throw is an uncaught exception of theirs.
 */
import { type Channel, channel } from "node:diagnostics_channel";

/** The channels, and what is published on each. Every message names the replica: `nodeId`. */
export interface DiagnosticsMessages {
  /** Something became durable here: local writes, and what peers have sent. */
  readonly "wavekv:commit": {
    readonly nodeId: string;
    /** Changes to the store that share this commit. */
    readonly operations: number;
    /** From the hand-over to the log until it was as durable as the mode says; 0 without a directory. */
    readonly durationMs: number;
  };
  /** A file was synced. */
  readonly "wavekv:sync": { readonly nodeId: string; readonly path: string; readonly durationMs: number };
  /** A snapshot was written, or could not be. */
  readonly "wavekv:checkpoint": { readonly nodeId: string; readonly ok: boolean; readonly durationMs: number };
  /** A connection to a peer: `up`, then `live` once it has brought what the peer had, then `end` and why. */
  readonly "wavekv:session": {
    readonly nodeId: string;
    readonly type: "up" | "live" | "end";
    /** nodeId of the peer; absent: it has not said. */
    readonly peer?: string;
    /** Of `end`: its code, and the reason in words. */
    readonly code?: string;
    readonly detail?: string;
  };
  /** What `on("warning")` tells. */
  readonly "wavekv:warning": { readonly nodeId: string; readonly message: string };
}

type Name = keyof DiagnosticsMessages;

const CHANNELS: { readonly [K in Name]: Channel } = {
  "wavekv:commit": channel("wavekv:commit"),
  "wavekv:sync": channel("wavekv:sync"),
  "wavekv:checkpoint": channel("wavekv:checkpoint"),
  "wavekv:session": channel("wavekv:session"),
  "wavekv:warning": channel("wavekv:warning"),
};

export function hasSubscribers(name: Name): boolean {
  return CHANNELS[name].hasSubscribers;
}

/** Ask `hasSubscribers` first: the message is made at every call. */
export function publish<K extends Name>(name: K, message: DiagnosticsMessages[K]): void {
  CHANNELS[name].publish(message);
}
