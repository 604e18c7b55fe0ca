import { openReplica, type Replica, type ReplicaOptions } from "wavekv";
import type { Store } from "./store.ts";

/** A replica of ours. */
export class ReplicaStore implements Store {
  readonly replica: Replica;

  private constructor(replica: Replica) {
    this.replica = replica;
  }

  static async open(options: ReplicaOptions = {}): Promise<ReplicaStore> {
    return new ReplicaStore(await openReplica({ ...options, logger: silent }));
  }

  put(key: string, value: unknown): Promise<unknown> {
    return this.replica.put(key, value);
  }

  putAll(entries: readonly (readonly [string, unknown])[]): Promise<unknown> {
    return this.replica.batch(entries.map(([key, value]) => ({ type: "put", key, value })));
  }

  get(key: string): unknown {
    return this.replica.get(key);
  }

  scan(from: string, rows: number): number {
    let characters = 0;
    for (const [key, value] of this.replica.entries({ gte: from, limit: rows })) {
      characters += key.length > 0 ? (value as string).length : 0;
    }
    return characters;
  }

  close(): Promise<void> {
    return this.replica.close();
  }
}

const nothing = (): void => undefined;
const silent = { debug: nothing, info: nothing, warn: nothing, error: nothing };
