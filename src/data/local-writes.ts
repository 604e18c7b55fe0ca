/** The writes of this replica's user: checked, encoded, and refused with an error that says what to do. */
import { checkIfVersion, expiryOf, knownFields } from "../arguments.ts";
import { keyBytes } from "../codec/keys.ts";
import { encodeValue } from "../codec/values.ts";
import type { RefusalReason } from "../core/admission.ts";
import { isReplicaError, ReplicaError } from "../errors.ts";
import { BATCH_BYTES_MAX, RECORD_BYTES_MAX } from "../limits.ts";
import type { Limits } from "../options.ts";
import type { LocalWrite } from "../sync/state-writer.ts";
import type { Millis } from "../types.ts";
import type { Version } from "./versions.ts";

/** `ifVersion`: see PutOptions. It is compared with the store as it is before the batch. */
export type BatchOperation<V = unknown> =
  | {
      readonly type: "put";
      readonly key: string;
      readonly value: V;
      readonly ttlMs?: number;
      readonly ifVersion?: Version | null;
    }
  | { readonly type: "del"; readonly key: string; readonly ifVersion?: Version | null };

/** What has to hold for a write to be made. */
export interface Condition {
  readonly key: string;
  /** The version that a reader sees; `null`: none. */
  readonly version: Version | null;
}

/** Turns arguments into writes. Changes nothing. */
export class LocalWrites {
  readonly #limits: Required<Limits>;
  readonly #now: () => Millis;

  /** @param now  the time by which entries expire */
  constructor(limits: Required<Limits>, now: () => Millis) {
    this.#limits = limits;
    this.#now = now;
  }

  /** @throws ReplicaError ERR_KEY, ERR_VALUE, ERR_LIMIT, ERR_OPTION */
  put(key: string, value: unknown, ttlMs: unknown): LocalWrite {
    const bytes = keyBytes(key, this.#limits.maxKeyBytes);
    // The value before the time: its getters may write themselves, and so move the clock.
    const encoded = this.#encode(value);
    return { key: bytes, value: encoded, expiresAt: ttlMs === undefined ? 0 : expiryOf(ttlMs, this.#now()) };
  }

  /** @throws ReplicaError ERR_KEY */
  delete(key: string): LocalWrite {
    return { key: keyBytes(key, this.#limits.maxKeyBytes), value: null, expiresAt: 0 };
  }

  /** One write for each key, the last one of those given, and all conditions. @throws as `put`, for the first bad one */
  batch(operations: readonly BatchOperation[]): { writes: LocalWrite[]; conditions: Condition[] } {
    if (!Array.isArray(operations)) throw new ReplicaError("ERR_OPTION", "batch takes an array of operations");
    if (operations.length > this.#limits.maxBatch) {
      const message = `a batch of ${operations.length} operations, at most ${this.#limits.maxBatch}: write it in parts`;
      throw new ReplicaError("ERR_LIMIT", message);
    }
    const writes = new Map<string, LocalWrite>();
    const conditions: Condition[] = [];
    for (const operation of operations as readonly BatchOperation[]) {
      const write = this.#operation(operation);
      const { key, ifVersion } = operation;
      writes.set(key, write);
      if (ifVersion !== undefined) conditions.push({ key, version: ifVersion });
    }
    const last = [...writes.values()];
    let bytes = 0;
    for (const write of last) bytes += batchBytesOf(write);
    checkBatchBytes(bytes);
    return { writes: last, conditions };
  }

  /** What the user is told when a write does not fit. */
  refusal(reason: RefusalReason): ReplicaError {
    const { maxValueBytes, maxKeys, maxBytes } = this.#limits;
    if (reason === "admit") return new ReplicaError("ERR_LIMIT", "the option admit has refused a write");
    const message =
      reason === "value-too-long"
        ? `an encoded value has more than ${maxValueBytes} bytes: divide it, or raise limits.maxValueBytes everywhere`
        : `the store is full (${reason}): it takes ${maxKeys} keys and ${maxBytes} bytes; delete, or raise the limits`;
    return new ReplicaError("ERR_LIMIT", message, { cause: reason });
  }

  #encode(value: unknown): Uint8Array {
    try {
      return encodeValue(value, this.#limits.maxValueBytes);
    } catch (error) {
      throw isReplicaError(error) && error.code === "ERR_LIMIT" ? this.refusal("value-too-long") : error;
    }
  }

  #operation(operation: BatchOperation): LocalWrite {
    if (typeof operation === "object" && operation !== null) {
      if (operation.type === "put") {
        knownFields(operation, ["type", "key", "value", "ttlMs", "ifVersion"], "a put of a batch");
        checkIfVersion(operation.ifVersion);
        return this.put(operation.key, operation.value, operation.ttlMs);
      }
      if (operation.type === "del") {
        knownFields(operation, ["type", "key", "ifVersion"], "a del of a batch");
        checkIfVersion(operation.ifVersion);
        return this.delete(operation.key);
      }
    }
    throw new ReplicaError("ERR_OPTION", 'an operation of a batch has the type "put" or "del"');
  }
}

/** What a write counts against BATCH_BYTES_MAX. Deletes are not counted: they always fit. */
export function batchBytesOf(write: LocalWrite | undefined): number {
  return write === undefined || write.value === null ? 0 : write.key.length + write.value.length;
}

/** @throws ReplicaError ERR_LIMIT */
export function checkBatchBytes(bytes: number): void {
  if (bytes <= BATCH_BYTES_MAX) return;
  const message = `a batch of ${bytes} bytes, at most ${BATCH_BYTES_MAX}: write it in parts`;
  throw new ReplicaError("ERR_LIMIT", message);
}

/** What a delete costs in a record besides its key, at most. */
export const DELETE_OVERHEAD_BYTES = 32;

/** @throws ReplicaError ERR_LIMIT */
export function checkClearBytes(bytes: number): void {
  if (bytes > RECORD_BYTES_MAX) throw new ReplicaError("ERR_LIMIT", "too many keys for one batch: clear in parts");
}
