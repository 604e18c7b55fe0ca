/**
 * The words every room shares. Types only, apart from the few functions that make or take apart an
 * {@link Origin}.
 */

declare const brand: unique symbol;
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** Name of a replica: a well-formed string of 1 to 64 bytes of UTF-8, without control characters. */
export type NodeId = Brand<string, "NodeId">;

/** 64 random bits made with the data directory, as 16 lower-case hex digits. */
export type Epoch = Brand<string, "Epoch">;

/**
 * The identity under which a replica authors writes: `nodeId/epoch`. One string, so that it can be a
 * map key; take it apart with {@link nodeIdOf} and {@link epochOf}, compare it with `compareOrigins`.
 */
export type Origin = Brand<string, "Origin">;

/** Milliseconds since 1970. */
export type Millis = number;

/** A reading of the hybrid logical clock, see hybrid-logical-clock.ts. A safe integer, ordered by `<`. */
export type Stamp = number;

/** The write counter of an origin. The first write has 1. A safe integer. */
export type Seq = number;

/**
 * A position in the change log of one replica: how many entries it had set by then. Local to the
 * replica, never compared between replicas. A safe integer; 0 is before everything.
 */
export type Lsn = number;

/**
 * One version of one key.
 *
 * `key` and `value` are encoded bytes and may be views into a larger buffer (a frame, a record):
 * whoever keeps an entry copies them, whoever passes it on does not change them.
 */
export interface Entry {
  /** UTF-8, 1 byte at least. */
  readonly key: Uint8Array;
  /** Encoded value, or `null` for a tombstone. */
  readonly value: Uint8Array | null;
  readonly stamp: Stamp;
  readonly origin: Origin;
  readonly seq: Seq;
  /** From this moment on (on the hybrid clock) the entry counts as a tombstone. 0: never. */
  readonly expiresAt: Millis;
}

const EPOCH_DIGITS = 16;

export function makeOrigin(nodeId: NodeId, epoch: Epoch): Origin {
  return `${nodeId}/${epoch}` as Origin;
}

export function nodeIdOf(origin: Origin): NodeId {
  return origin.slice(0, -EPOCH_DIGITS - 1) as NodeId;
}

export function epochOf(origin: Origin): Epoch {
  return origin.slice(-EPOCH_DIGITS) as Epoch;
}

/** The origin that a text from outside names; `undefined` if none. */
export function parseOrigin(text: string): Origin | undefined {
  const origin = text as Origin;
  const nodeId = nodeIdOf(origin);
  const epoch = epochOf(origin);
  return isNodeId(nodeId) && isEpoch(epoch) && makeOrigin(nodeId, epoch) === origin ? origin : undefined;
}

const NODE_ID_BYTES_MAX = 64;

/** Whether `value` can name a replica, see {@link NodeId}. */
export function isNodeId(value: unknown): value is NodeId {
  return (
    typeof value === "string" &&
    value.length > 0 &&
    value.isWellFormed() &&
    Buffer.byteLength(value) <= NODE_ID_BYTES_MAX &&
    // Control characters would let a name forge lines of a log or a terminal.
    !/\p{Cc}/u.test(value)
  );
}

export function isEpoch(value: unknown): value is Epoch {
  return typeof value === "string" && /^[0-9a-f]{16}$/.test(value);
}
