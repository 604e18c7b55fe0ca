/** Stable identifiers of everything that can go wrong. Messages may change, codes do not. */
export type ErrorCode =
  /** An option is unknown or out of range. Not retryable: correct the call. Nothing was changed. */
  | "ERR_OPTION"
  /** A key is not a well-formed string of 1 to `maxKeyBytes` bytes. Not retryable. Nothing was changed. */
  | "ERR_KEY"
  /** A value cannot be encoded. Not retryable. Nothing was changed. */
  | "ERR_VALUE"
  /** A value, batch or store would exceed a limit. Retryable after making room. Nothing was changed. */
  | "ERR_LIMIT"
  /** A key has not the version that `ifVersion` asks for. Retryable after reading again. Nothing was changed. */
  | "ERR_VERSION_MISMATCH"
  /** The replica was opened with `readOnly`. Not retryable. Nothing was changed. */
  | "ERR_READ_ONLY"
  /** The replica is closed. Not retryable: open it again. */
  | "ERR_CLOSED"
  /** Another process holds the data directory. Retryable once it has exited. The directory is untouched. */
  | "ERR_LOCKED"
  /** A write to the log failed, so memory may be ahead of the disk. Reads go on; close and open again. */
  | "ERR_STORAGE_FAILED"
  /** The disk is full. As ERR_STORAGE_FAILED; free space, then open again. */
  | "ERR_STORAGE_FULL"
  /** A file is damaged and the open was strict, or nothing of it can be used. The files are untouched. */
  | "ERR_CORRUPT"
  /** A file was written by a newer version of this library. The files are untouched. */
  | "ERR_FORMAT_VERSION"
  /** The directory belongs to another nodeId or cluster. The files are untouched. */
  | "ERR_FOREIGN_DIRECTORY"
  /** Our clock is so far off that peers would refuse our writes. Retryable once it is corrected. */
  | "ERR_CLOCK_SKEW"
  /** The transport cannot listen, for example because the port is in use. Nothing was opened. */
  | "ERR_LISTEN"
  /** A peer failed to prove that it knows the secret, or we did. Given to warnings, not thrown. Retried after minutes. */
  | "ERR_AUTH"
  /** A peer belongs to another cluster. */
  | "ERR_CLUSTER_MISMATCH"
  /** A peer speaks no protocol version that we speak. */
  | "ERR_PROTOCOL_VERSION"
  /** A deadline passed. What was waited for may still happen. */
  | "ERR_TIMEOUT"
  /** The lease is held no more: it has expired, somebody else has a greater token, or it was released. Get it again. */
  | "ERR_LEASE_LOST";

/**
 * Every error that this library raises on purpose, save an aborted wait, which rejects with the
 * reason of its signal.
 */
export class ReplicaError extends Error {
  override readonly name = "ReplicaError";
  readonly code: ErrorCode;
  /** Of ERR_VERSION_MISMATCH alone: the version that the key has; `null` if it is absent. */
  readonly presentVersion?: string | null;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; presentVersion?: string | null } = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    if (options.presentVersion !== undefined) this.presentVersion = options.presentVersion;
  }
}

/** Whether `error` is one of ours; by shape, so that it holds across two copies of this package. */
export function isReplicaError(error: unknown): error is ReplicaError {
  return error instanceof Error && error.name === "ReplicaError" && "code" in error;
}
