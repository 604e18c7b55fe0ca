/** The way of a local write: checked, stamped and set in memory at once, then awaited until it is durable. */
import { checkAcks, checkIfVersion, checkSignal, knownFields, rejection } from "../arguments.ts";
import type { DeleteOptions, PutOptions, TransactionResult, WriteOptions } from "../calls.ts";
import type { WallClock } from "../clock.ts";
import { keyBytes } from "../codec/keys.ts";
import type { CoreState } from "../core/core-state.ts";
import type { Driver } from "../driver.ts";
import { isReplicaError, ReplicaError } from "../errors.ts";
import type { Merges } from "../layers/merges.ts";
import type { Limits } from "../options.ts";
import type { PeerWaits } from "../peers/peer-waits.ts";
import type { Replicator } from "../sync/replicator.ts";
import type { LocalWrite } from "../sync/state-writer.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import type { Millis } from "../types.ts";
import { byteRange, KEY_RANGE_FIELDS, type KeyRange } from "./key-ranges.ts";
import { type BatchOperation, checkClearBytes, DELETE_OVERHEAD_BYTES, LocalWrites } from "./local-writes.ts";
import type { Reader } from "./reader.ts";
import { runTransaction, type Transaction } from "./transaction.ts";
import type { Version } from "./versions.ts";
import { tokenOf, type WriteToken } from "./write-tokens.ts";

export interface WriterSource {
  readonly state: CoreState;
  readonly replicator: Replicator;
  readonly driver: Driver;
  readonly reader: Reader;
  readonly limits: Required<Limits>;
  readonly peerWaits: PeerWaits;
  /** The keys that have a merge kind, if there are any. */
  readonly merges: Merges | undefined;
  readonly clock: WallClock;
  /** The time by which entries expire. */
  readonly now: () => Millis;
  readonly telemetry: Telemetry;
  /** @throws ReplicaError ERR_CLOSED, ERR_READ_ONLY, ERR_STORAGE_FAILED, ERR_STORAGE_FULL */
  readonly assertWritable: () => void;
}

const NO_OPTIONS: PutOptions = {};
/** Which options a call has. */
interface Call {
  readonly name: string;
  readonly fields: readonly string[];
}

const PUT: Call = { name: "put", fields: ["ttlMs", "ifVersion", "acks", "signal"] };
const DELETE: Call = { name: "delete", fields: ["ifVersion", "acks", "signal"] };
const BATCH: Call = { name: "batch", fields: ["acks", "signal"] };
const CLEAR: Call = { name: "clear", fields: [] };
const INCREMENT: Call = { name: "increment", fields: ["acks", "signal"] };
const TRANSACTION: Call = { name: "transaction", fields: ["acks", "signal"] };

/** See the members of `Replica` with these names. None of them throws: what is wrong is a rejection. */
export class Writer {
  readonly #source: WriterSource;
  readonly #local: LocalWrites;
  #isInTransaction = false;

  constructor(source: WriterSource) {
    this.#source = source;
    this.#local = new LocalWrites(source.limits, source.now);
  }

  put(key: string, value: unknown, options: PutOptions = NO_OPTIONS): Promise<WriteToken> {
    return this.#write(PUT, options, asIs, () => {
      const write = this.#local.put(key, value, options.ttlMs);
      this.#expect(key, options.ifVersion);
      return [write];
    });
  }

  delete(key: string, options: DeleteOptions = NO_OPTIONS): Promise<WriteToken> {
    return this.#write(DELETE, options, asIs, () => {
      const write = this.#local.delete(key);
      this.#expect(key, options.ifVersion);
      return this.#visibleOnly([write]);
    });
  }

  batch(operations: readonly BatchOperation[], options: WriteOptions = NO_OPTIONS): Promise<WriteToken> {
    return this.#write(BATCH, options, asIs, () => {
      const { writes, conditions } = this.#local.batch(operations);
      for (const { key, version } of conditions) this.#expect(key, version);
      return this.#visibleOnly(writes);
    });
  }

  increment(key: string, by: number, options: WriteOptions = NO_OPTIONS): Promise<WriteToken> {
    return this.#write(INCREMENT, options, asIs, () => {
      if (!Number.isSafeInteger(by)) throw new ReplicaError("ERR_OPTION", "increment takes a whole number");
      const bytes = keyBytes(key, this.#source.limits.maxKeyBytes);
      const { merges } = this.#source;
      if (merges === undefined) throw new ReplicaError("ERR_OPTION", `"${key}" is no counter: see the option merge`);
      return by === 0 ? [] : merges.increment(bytes, by);
    });
  }

  clear(range: KeyRange = {}): Promise<WriteToken> {
    return this.#write(CLEAR, NO_OPTIONS, asIs, () => {
      knownFields(range, KEY_RANGE_FIELDS, "clear");
      const writes: LocalWrite[] = [];
      let bytes = 0;
      for (const { key } of this.#source.reader.view(byteRange(range))) {
        bytes += key.length + DELETE_OVERHEAD_BYTES;
        checkClearBytes(bytes);
        writes.push({ key, value: null, expiresAt: 0 });
      }
      return writes;
    });
  }

  transaction<T>(run: (tx: Transaction) => T, options: WriteOptions = NO_OPTIONS): Promise<TransactionResult<T>> {
    const { state, limits, merges, now } = this.#source;
    let result: T;
    const answer = (token: WriteToken): TransactionResult<T> => ({ result, token });
    return this.#write(TRANSACTION, options, answer, () => {
      this.#isInTransaction = true;
      try {
        const done = runTransaction(run, { state, limits, merges, now: now() });
        result = done.result;
        return done.writes;
      } finally {
        this.#isInTransaction = false;
      }
    });
  }

  /**
   * Writes what `prepare` returns, which runs at once; resolves with what `answer` makes of the token when that, and
   * all before it, is durable. Never throws.
   */
  #write<T>(
    call: Call,
    options: DeleteOptions,
    answer: (token: WriteToken) => T,
    prepare: () => readonly LocalWrite[],
  ): Promise<T> {
    const { state, replicator, driver, clock, peerWaits, merges, assertWritable } = this.#source;
    try {
      assertWritable();
      this.#assertSerial();
      if (options !== NO_OPTIONS) checkWriteOptions(call, options);
      const { acks = 1, signal } = options;
      signal?.throwIfAborted();
      const prepared = prepare();
      const writes = merges?.expand(prepared) ?? prepared;
      // Again: getters of a value, and the function of a transaction, may do anything.
      assertWritable();
      if (writes.length > 0) {
        const now = clock.now();
        const refused = replicator.writeRefusal(writes, now);
        if (refused !== undefined) throw this.#local.refusal(refused);
        replicator.write(writes, now);
        driver.wake();
      }
      const { origin, lsn, nextSeq } = state;
      const seq = nextSeq - 1;
      const durable = driver.durable(lsn, answer(tokenOf(origin, seq)));
      return acks > 1 && writes.length > 0 ? peerWaits.held(durable, origin, seq, acks, signal) : durable;
    } catch (error) {
      if (isReplicaError(error)) this.#source.telemetry.refused(error.code);
      return rejection(error);
    }
  }

  /** @throws ReplicaError ERR_VERSION_MISMATCH */
  #expect(key: string, version: Version | null | undefined): void {
    if (version === undefined) return;
    const presentVersion = this.#source.reader.versionOf(key);
    if (presentVersion === version) return;
    const present = presentVersion === null ? "is absent" : `has the version ${presentVersion}`;
    const asked = version === null ? "absence" : `the version ${version}`;
    const message = `"${key}" ${present}, and ifVersion asks for ${asked}: read it again, and decide anew`;
    throw new ReplicaError("ERR_VERSION_MISMATCH", message, { presentVersion });
  }

  /** @throws ReplicaError ERR_OPTION */
  #assertSerial(): void {
    if (!this.#isInTransaction) return;
    throw new ReplicaError("ERR_OPTION", "a transaction is under way: write with its tx, and start no other in it");
  }

  /** Leaves out deletes of what is not there. */
  #visibleOnly(writes: readonly LocalWrite[]): readonly LocalWrite[] {
    return writes.filter(({ key, value }) => value !== null || this.#source.reader.isVisible(key));
  }
}

function asIs(token: WriteToken): WriteToken {
  return token;
}

/** @throws ReplicaError ERR_OPTION */
function checkWriteOptions({ name, fields }: Call, options: DeleteOptions): void {
  knownFields(options, fields, name);
  checkAcks(options.acks);
  checkSignal(options.signal);
  checkIfVersion(options.ifVersion);
}
