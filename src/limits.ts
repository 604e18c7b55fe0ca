/** Every bound in one place. Options of `openReplica` override those that have a name there. */

export const KEY_BYTES_MAX = 1024;
export const VALUE_BYTES_MAX = 1024 * 1024;
/** Operations in one batch. */
export const BATCH_ENTRIES_MAX = 10_000;
/** Encoded keys and values of one batch, bytes: stays below FRAME_BYTES_MAX, since a batch travels whole. */
export const BATCH_BYTES_MAX = 8 * 1024 * 1024;
export const KEYS_MAX = 16_000_000;
/** Encoded keys and values of the whole store, bytes. */
export const STORE_BYTES_MAX = 8 * 1024 * 1024 * 1024;

/** How far ahead of our wall clock a stamp from a peer may be. */
export const DRIFT_MS_MAX = 60_000;

/** One frame between peers, bytes: a batch of BATCH_BYTES_MAX and its overhead. */
export const FRAME_BYTES_MAX = 16 * 1024 * 1024;
/** A page of catch-up is closed once it has this many bytes. */
export const PAGE_BYTES = 160 * 1024;
export const PAGE_ENTRIES_MAX = 1024;
/** Of catch-up a replica sends so much in one turn of the event loop, to all its peers together, bytes; then others have theirs. */
export const TURN_BYTES = 256 * 1024;
/** Bytes sent on a session and not yet acknowledged; above it the session falls back to catch-up. */
export const WINDOW_BYTES = 4 * 1024 * 1024;
/** Of a larger transfer a receiver applies the batches that are whole, so that no turn of the event loop becomes long. */
export const PART_BYTES = 1024 * 1024;
export const PART_ENTRIES = 1000;
/** What a receiver stages at most. Above it even a batch is applied in parts, since it is none that a replica takes. */
export const STAGED_BYTES_MAX = 8 * 1024 * 1024;
export const STAGED_ENTRIES_MAX = 10_000;
/** Refused entries kept per session for another try. */
export const QUARANTINE_ENTRIES_MAX = 1000;
/** Origins known to one replica: a bound on what a version vector can cost. */
export const ORIGINS_MAX = 65_535;
export const PEERS_MAX = 1024;
/** Connections that a replica takes, unless the embedder says otherwise. */
export const PEERS_STANDARD = 64;
/** Connections that a replica seeks. With more of them than the second number it lets go of those that it does not need. */
export const PEERS_SOUGHT = 8;
export const PEERS_CROWDED = 16;
/** Two neighbours in the circle of names, and one place for somebody else. */
export const PEERS_MIN = 3;

/** One record of the log, bytes: everything that one group commit takes. */
export const RECORD_BYTES_MAX = 32 * 1024 * 1024;
/** Milliseconds of the clock that a lease takes ahead of use. */
export const LEASE_MS = 1000;

/**
 * Keys that begin with this byte are the store's own (member records) and never show in user reads.
 * The byte occurs nowhere in UTF-8, so no user key can collide, and it sorts behind all of them.
 */
export const RESERVED_PREFIX_BYTE = 0xff;

/** The second byte of the keys of member records. */
export const MEMBER_KIND_BYTE = 0x6d;

/** Whether a key is that of a member record, which is a batch of its own. */
export function isMemberKey(key: Uint8Array): boolean {
  return key[0] === RESERVED_PREFIX_BYTE && key[1] === MEMBER_KIND_BYTE;
}

/** Whether a key is the store's own, see RESERVED_PREFIX_BYTE. */
export function isReserved(key: Uint8Array): boolean {
  return key[0] === RESERVED_PREFIX_BYTE;
}

/** Writes that wait, per peer, for their author to deliver them; one more is sent at once. */
export const RELAY_WAITS_MAX = 10_000;
/** Replicas whose way to us is known, or that a peer may ask us to hold back for it; of one more the oldest is forgotten. */
export const SUPPLIED_AUTHORS_MAX = 1024;
/** Bytes of refused entries kept per session for another try. */
export const QUARANTINE_BYTES_MAX = 4 * 1024 * 1024;
/** Of what peers have sent so much is dealt with in one turn of the event loop, bytes, and one frame at least. */
export const INBOX_TURN_BYTES = 120 * 1024;
/** As so many of them counts each frame beside its bytes, and each entry that has less: that is what they cost. */
export const INBOX_FRAME_BYTES = 400;
export const INBOX_ENTRY_BYTES = 120;
/** What waits for its turn, of one peer, bytes: above the window and the longest frame, so none that keeps to the protocol comes near. */
export const INBOX_BYTES_MAX = 32 * 1024 * 1024;
/** What one group commit takes, keys and values, bytes and ops, unless a single batch is larger: a few milliseconds of work. */
export const READY_BYTES_MAX = 1024 * 1024;
export const READY_OPS_MAX = 8000;
/** Of what peers have sent a group commit takes less: it is passed on to other peers as well, and told to listeners. */
export const READY_TRANSFER_OPS_MAX = 2000;

/** Into how many parts the digest divides the keys. All replicas must agree on it. A power of two. */
export const DIGEST_BUCKETS = 2048;
/** Changes that wait for one watcher; one more and it has lagged. */
export const WATCH_QUEUE_MAX = 16_384;
/** Events that a watcher takes in one turn of the event loop, however many there are. */
export const WATCH_EVENTS_A_TURN = 250;
/** Entries that one turn of the event loop expires; more wait for the next one. Readers do not see them in any case. */
export const EXPIRE_ENTRIES_MAX = 100;
/** Tombstones that one turn of the event loop collects. */
export const COLLECT_ENTRIES_MAX = 100;
/** Bytes of the changes that wait for one watcher, previous values included. */
export const WATCH_QUEUE_BYTES_MAX = 64 * 1024 * 1024;
/** Calls that wait for the disk or for peers, and are answered in one turn of the event loop: each may write again at once. */
export const ANSWERS_A_TURN = 500;
/** Calls that wait for peers (write concern, `reached`, `settled`) at one time; one more is refused. */
export const WAITS_MAX = 10_000;
/** Connections of others that have not said hello; for one more the oldest of them is closed. */
export const HANDSHAKES_MAX = 64;

/** Strings that one entry is indexed by, in one secondary index. */
export const INDEXED_BY_MAX = 1000;
/** A catch-up of more entries than this asks for its turn, and what of them the peer holds already. */
export const BULK_ENTRIES = 4096;
/** How many entries one question of settling is about: some milliseconds of work for each side. */
export const QUESTION_ENTRIES = 2500;
/** A listing of keys and orders is closed with the bucket that reaches this size, bytes. */
export const LISTING_BYTES = 256 * 1024;
/** Entries, per session, that a peer is known to hold already, so that they are not sent; more are sent again. */
export const HELD_MAX = 200_000;
/** How often a round of collection begins, at most, while there are tombstones. */
export const ROUND_MS = 60_000;
/** Positions of the change log that one tick looks at for tombstones to collect. */
export const SWEEP_POSITIONS = 5000;
/** Changes, and their bytes, that are kept for watches to be resumed. */
export const HISTORY_MAX = 16_384;
export const HISTORY_BYTES_MAX = 16 * 1024 * 1024;
/** For how long they are kept when nobody watches. */
export const HISTORY_MS = 60_000;
/** How often a connection on which nothing happens compares digests. Well below the time after which silence ends it. */
export const PROBE_MS = 5000;
export const PROBE_MS_MIN = 50;
export const PROBE_MS_MAX = 10_000;

/** Ephemeral entries of one process, and the bytes of their keys and values: one message carries all of them. */
export const EPHEMERAL_ENTRIES_MAX = 10_000;
export const EPHEMERAL_BYTES_MAX = 1024 * 1024;
/** And of all processes together: more are left out, until there is room. */
export const EPHEMERAL_TOTAL_ENTRIES_MAX = 200_000;
export const EPHEMERAL_TOTAL_BYTES_MAX = 64 * 1024 * 1024;
export const EPHEMERAL_VALUE_BYTES_MAX = 64 * 1024;
/** For how long the ephemeral entries of a process outlive it, milliseconds. */
export const EPHEMERAL_LEASE_MS = 10_000;
export const EPHEMERAL_LEASE_MS_MIN = 1000;
export const EPHEMERAL_LEASE_MS_MAX = 3_600_000;
