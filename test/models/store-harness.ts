/** What the tests of the storage room share: options, a state that is written to as the driver does, and what it holds. */
import type { CoreState } from "../../src/core/core-state.ts";
import type { StateOp } from "../../src/core/ops.ts";
import type { Random } from "../../src/random.ts";
import type { Disk } from "../../src/storage/disk.ts";
import type { RecoveryReport } from "../../src/storage/open.ts";
import { openStore, type Store, type StoreOptions } from "../../src/storage/store.ts";
import type { Entry, NodeId } from "../../src/types.ts";

export const DIRECTORY = "data";

/** Timers that fire when told to. */
export class ManualTimers {
  #pending: (() => void)[] = [];

  readonly after = (_delayMs: number, callback: () => void): (() => void) => {
    this.#pending.push(callback);
    return () => {
      this.#pending = this.#pending.filter((other) => other !== callback);
    };
  };

  get pending(): number {
    return this.#pending.length;
  }

  fire(): void {
    const due = this.#pending;
    this.#pending = [];
    for (const callback of due) callback();
  }
}

export function countingRandom(start = 1): Random {
  let next = start;
  return { hex64: () => (next++).toString(16).padStart(16, "0"), fraction: () => 0.5 };
}

export function storeOptions(disk: Disk, overrides: Partial<StoreOptions> = {}): StoreOptions {
  return {
    disk,
    directory: DIRECTORY,
    nodeId: "n1" as NodeId,
    clusterId: "test",
    durability: "always",
    timers: new ManualTimers(),
    random: countingRandom(),
    onFailure: () => undefined,
    ...overrides,
  };
}

export interface OpenedStore {
  readonly store: Store;
  readonly state: CoreState;
  readonly recovery: RecoveryReport;
}

export function open(disk: Disk, overrides: Partial<StoreOptions> = {}): Promise<OpenedStore> {
  return openStore(storeOptions(disk, overrides));
}

/** Executes and appends, as the driver does. */
export async function commit({ store, state }: OpenedStore, ops: readonly StateOp[]): Promise<void> {
  const lsn = state.lsn;
  for (const op of ops) state.execute(op);
  await store.append(ops, lsn);
}

/** A set by the replica itself. Stamps ascend with `seq`, so later writes win. */
export function put(state: CoreState, seq: number, key: string, value: string | null): StateOp {
  const entry: Entry = {
    key: Buffer.from(key),
    value: value === null ? null : Buffer.from(value),
    stamp: 1000 + seq,
    origin: state.origin,
    seq,
    expiresAt: 0,
  };
  return { type: "set", entry };
}

/** Everything that a state holds, comparable with toEqual. */
export function contentsOf(state: CoreState): Record<string, unknown> {
  const entries: Record<string, unknown> = {};
  for (let slot = state.table.nextChange(0); slot !== -1; slot = state.table.nextChange(state.table.lsnAt(slot))) {
    const { key, value, ...rest } = state.table.entryAt(slot);
    entries[Buffer.from(key).toString()] = {
      ...rest,
      value: value === null ? null : Buffer.from(value).toString(),
      lsn: state.table.lsnAt(slot),
    };
  }
  const acked = [...state.acked].map(([peer, vector]) => [peer, [...vector].sort()]).sort();
  return {
    entries,
    covered: [...state.covered].sort(),
    acked,
    lease: state.lease,
    lsn: state.lsn,
    origin: state.origin,
  };
}

/** Only the values, by key. */
export function valuesOf(state: CoreState): Record<string, string> {
  const values: Record<string, string> = {};
  for (const { key, value } of state.table.range()) {
    if (value !== null) values[Buffer.from(key).toString()] = Buffer.from(value).toString();
  }
  return values;
}
