/** Bounds on what a session moves at once. Tests make them tiny, so that every path is taken. */
import {
  PAGE_BYTES,
  PAGE_ENTRIES_MAX,
  RELAY_WAITS_MAX,
  STAGED_BYTES_MAX,
  STAGED_ENTRIES_MAX,
  WINDOW_BYTES,
} from "../limits.ts";

export interface FlowLimits {
  /** A page is closed once it has this many bytes or entries. */
  readonly pageBytes: number;
  readonly pageEntries: number;
  /** Sent and not acknowledged; above it the session falls back to catch-up. */
  readonly windowBytes: number;
  /** What a receiver stages before it applies a transfer in parts. */
  readonly stagedBytes: number;
  readonly stagedEntries: number;
  /** Writes that wait for their author, per peer. */
  readonly relayWaits: number;
}

export const FLOW_LIMITS: FlowLimits = {
  pageBytes: PAGE_BYTES,
  pageEntries: PAGE_ENTRIES_MAX,
  windowBytes: WINDOW_BYTES,
  stagedBytes: STAGED_BYTES_MAX,
  stagedEntries: STAGED_ENTRIES_MAX,
  relayWaits: RELAY_WAITS_MAX,
};
