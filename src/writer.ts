/** The way of a local write: checked, stamped and set in memory at once, then awaited until it is durable. */
import { checkAcks, checkSignal, knownFields, rejection } from "./arguments.ts";
import type { PutOptions, WriteOptions } from "./calls.ts";
import type { WallClock } from "./clock.ts";
import type { CoreState } from "./core/core-state.ts";
import type { Driver } from "./driver.ts";
import { ReplicaError } from "./errors.ts";
import { byteRange, KEY_RANGE_FIELDS, type KeyRange } from "./key-ranges.ts";
import { RECORD_BYTES_MAX } from "./limits.ts";
import type { BatchOperation, LocalWrites } from "./local-writes.ts";
import type { PeerWaits } from "./peer-waits.ts";
import type { Reader } from "./reader.ts";
import type { Replicator } from "./sync/replicator.ts";
import type { LocalWrite } from "./sync/state-writer.ts";
import { tokenOf, type WriteToken } from "./write-tokens.ts";

export interface WriterSource {
  readonly state: CoreState;
  readonly replicator: Replicator;
  readonly driver: Driver;
  readonly reader: Reader;
  readonly writes: LocalWrites;
  readonly peerWaits: PeerWaits;
  readonly clock: WallClock;
  /** @throws ReplicaError ERR_CLOSED, ERR_READ_ONLY, ERR_STORAGE_FAILED, ERR_STORAGE_FULL */
  readonly assertWritable: () => void;
}

const NO_OPTIONS: PutOptions = {};
const WRITE_FIELDS = ["acks", "signal"] as const;
/** What a delete costs in a record besides its key, at most. */
const DELETE_OVERHEAD_BYTES = 32;

/** See the members of `Replica` with these names. None of them throws: what is wrong is a rejection. */
export class Writer {
  readonly #source: WriterSource;
  readonly #writes: LocalWrites;

  constructor(source: WriterSource) {
    this.#source = source;
    this.#writes = source.writes;
  }

  put(key: string, value: unknown, options: PutOptions = NO_OPTIONS): Promise<WriteToken> {
    return this.#write(options, () => {
      if (options !== NO_OPTIONS) knownFields(options, ["ttlMs", ...WRITE_FIELDS], "put");
      return [this.#writes.put(key, value, options.ttlMs)];
    });
  }

  delete(key: string, options: WriteOptions = NO_OPTIONS): Promise<WriteToken> {
    return this.#write(options, () => {
      knownFields(options, WRITE_FIELDS, "delete");
      return this.#visibleOnly([this.#writes.delete(key)]);
    });
  }

  batch(operations: readonly BatchOperation[], options: WriteOptions = NO_OPTIONS): Promise<WriteToken> {
    return this.#write(options, () => {
      knownFields(options, WRITE_FIELDS, "batch");
      return this.#visibleOnly(this.#writes.batch(operations));
    });
  }

  clear(range: KeyRange = {}): Promise<WriteToken> {
    return this.#write(NO_OPTIONS, () => {
      knownFields(range, KEY_RANGE_FIELDS, "clear");
      const writes: LocalWrite[] = [];
      let bytes = 0;
      for (const { key } of this.#source.reader.view(byteRange(range))) {
        bytes += key.length + DELETE_OVERHEAD_BYTES;
        if (bytes > RECORD_BYTES_MAX)
          throw new ReplicaError("ERR_LIMIT", "too many keys for one batch: clear in parts");
        writes.push({ key, value: null, expiresAt: 0 });
      }
      return writes;
    });
  }

  /** Writes what `prepare` returns; resolves when that, and all before it, is durable. Never throws. */
  #write(options: WriteOptions, prepare: () => readonly LocalWrite[]): Promise<WriteToken> {
    const { state, replicator, driver, clock, peerWaits, assertWritable } = this.#source;
    try {
      assertWritable();
      const writes = prepare();
      checkAcks(options.acks);
      checkSignal(options.signal);
      options.signal?.throwIfAborted();
      // Again: getters of a value may do anything.
      assertWritable();
      if (writes.length > 0) {
        const now = clock.now();
        const refused = replicator.writeRefusal(writes, now);
        if (refused !== undefined) throw this.#writes.refusal(refused);
        replicator.write(writes, now);
        driver.wake();
      }
      const { origin, lsn, nextSeq } = state;
      const durable = driver.durable(lsn, tokenOf(origin, nextSeq - 1));
      const { acks = 1, signal } = options;
      return acks > 1 && writes.length > 0 ? peerWaits.held(durable, origin, nextSeq - 1, acks, signal) : durable;
    } catch (error) {
      return rejection(error);
    }
  }

  /** Leaves out deletes of what is not there. */
  #visibleOnly(writes: readonly LocalWrite[]): readonly LocalWrite[] {
    return writes.filter(({ key, value }) => value !== null || this.#source.reader.isVisible(key));
  }
}
