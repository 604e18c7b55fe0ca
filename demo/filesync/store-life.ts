/**
 * Tells the store that a base speaks of from any other: one that was wiped, or restored from an old copy. Before the base is written, a
 * count is raised in the store; a base is good for a store whose count is at least its own, since then everything that the base
 * speaks of is in there too. A crash changes nothing about that.
 */
import { randomUUID } from "node:crypto";
import type { Store } from "./file-store.ts";

/** A moment in the life of a store. */
export interface LifeMark {
  readonly id: string;
  readonly count: number;
}

export interface Life {
  /** Whether the store has lived up to a moment. */
  covers(mark: LifeMark): boolean;
  /** A moment after everything that the store holds now; durable in the store when it resolves. */
  next(): Promise<LifeMark>;
}

export class StoreLife implements Life {
  readonly #store: Store;
  readonly #key: string;

  constructor(store: Store, nodeId: string) {
    this.#store = store;
    this.#key = `life/${nodeId}`;
  }

  covers({ id, count }: LifeMark): boolean {
    const present = this.#read();
    return present?.id === id && present.count >= count;
  }

  async next(): Promise<LifeMark> {
    const present = this.#read();
    const mark: LifeMark = { id: present?.id ?? randomUUID(), count: (present?.count ?? 0) + 1 };
    await this.#store.put(this.#key, mark);
    return mark;
  }

  #read(): LifeMark | undefined {
    const value = this.#store.get(this.#key);
    if (typeof value !== "object" || value === null || !("id" in value) || !("count" in value)) return undefined;
    const { id, count } = value;
    return typeof id === "string" && Number.isSafeInteger(count) ? { id, count: Number(count) } : undefined;
  }
}
