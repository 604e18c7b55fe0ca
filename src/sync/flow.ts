/** Bounds on what a session moves at once. Tests make them tiny, so that every path is taken. */
import {
  BULK_ENTRIES,
  HELD_MAX,
  LISTING_BYTES,
  PAGE_BYTES,
  PAGE_ENTRIES_MAX,
  PART_BYTES,
  PART_ENTRIES,
  QUESTION_ENTRIES,
  RELAY_WAITS_MAX,
  STAGED_BYTES_MAX,
  STAGED_ENTRIES_MAX,
  TURN_BYTES,
  WINDOW_BYTES,
} from "../limits.ts";

export interface FlowLimits {
  /** A page is closed once it has this many bytes or entries. */
  readonly pageBytes: number;
  readonly pageEntries: number;
  /** Of catch-up so much is sent in one turn of the event loop, to all peers together. */
  readonly turnBytes: number;
  /** Sent and not acknowledged; above it the session falls back to catch-up. */
  readonly windowBytes: number;
  /** Once so much of a transfer is staged, a receiver applies the batches that are whole. */
  readonly partBytes: number;
  readonly partEntries: number;
  /** What a receiver stages at most, even of one batch. */
  readonly stagedBytes: number;
  readonly stagedEntries: number;
  /** Writes that wait for their author, per peer. */
  readonly relayWaits: number;
  /** A catch-up of more entries asks for its turn, and what of them the peer holds already. */
  readonly bulkEntries: number;
  /** How many entries a question of settling is to be about. */
  readonly questionEntries: number;
  /** A listing is closed with the bucket that reaches this size. */
  readonly listingBytes: number;
  /** Entries that a peer is known to hold already, so that they are not sent; more are sent again. */
  readonly heldEntries: number;
}

export const FLOW_LIMITS: FlowLimits = {
  pageBytes: PAGE_BYTES,
  pageEntries: PAGE_ENTRIES_MAX,
  turnBytes: TURN_BYTES,
  windowBytes: WINDOW_BYTES,
  partBytes: PART_BYTES,
  partEntries: PART_ENTRIES,
  stagedBytes: STAGED_BYTES_MAX,
  stagedEntries: STAGED_ENTRIES_MAX,
  relayWaits: RELAY_WAITS_MAX,
  bulkEntries: BULK_ENTRIES,
  questionEntries: QUESTION_ENTRIES,
  listingBytes: LISTING_BYTES,
  heldEntries: HELD_MAX,
};
