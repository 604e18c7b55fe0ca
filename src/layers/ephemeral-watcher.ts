/**
 * One watch of ephemeral entries. What waits for a consumer is the latest state of each entry that has changed since it
 * looked, so that a slow one costs what there is, loses nothing but steps in between, and never lags.
 */
import { decodeValue, isValue } from "../codec/values.ts";
import type { EphemeralCause, EphemeralChange, EphemeralHolding } from "../sync/ephemeral-sets.ts";
import type { NodeId } from "../types.ts";
import { Delivery, type DeliveryOptions, type EventQueue } from "../watch/delivery.ts";

/** An entry, and the process that has it. */
export interface EphemeralEntry<V = unknown> {
  readonly key: string;
  readonly value: V;
  readonly nodeId: string;
  /** Whether that is this process. */
  readonly local: boolean;
}

/** What has become of the key of one process; `ready`: with `initial`, what was there at first has been delivered. */
export type EphemeralEvent<V = unknown> =
  | (EphemeralEntry<V> & { readonly type: "put" })
  | {
      readonly type: "delete";
      readonly key: string;
      readonly nodeId: string;
      readonly local: boolean;
      /** Its process has deleted it, has closed, or has not been heard of for longer than its lease. */
      readonly cause: EphemeralCause;
    }
  | { readonly type: "ready" };

/** What is to be told of one key of one process. */
interface Pending {
  readonly key: string;
  readonly nodeId: NodeId;
  /** Whether the consumer knows of it. */
  readonly isShown: boolean;
  value: Uint8Array | EphemeralCause;
}

/** No nodeId is empty, so this is the name of no entry. */
const READY_ID = "";

export interface EphemeralWatcherOptions extends DeliveryOptions {
  /** This process. */
  readonly own: NodeId;
  readonly isWatched: (key: string) => boolean;
}

export class EphemeralWatcher implements EventQueue<EphemeralEvent> {
  readonly delivery: Delivery<EphemeralEvent>;
  readonly #own: NodeId;
  readonly #isWatched: (key: string) => boolean;
  /** In the order in which they changed first. */
  readonly #pending = new Map<string, Pending | "ready">();

  constructor({ own, isWatched, ...options }: EphemeralWatcherOptions) {
    this.delivery = new Delivery(this, options);
    this.#own = own;
    this.#isWatched = isWatched;
  }

  /** Entries that wait for the consumer. */
  get queued(): number {
    return this.#pending.size;
  }

  /** Delivers what is there, then `ready`. Before anything else. */
  open(entries: Iterable<EphemeralHolding & { readonly key: string }>): void {
    for (const { key, nodeId, value } of entries) this.push({ key, nodeId, existed: false, value });
    this.#pending.set(READY_ID, "ready");
  }

  push({ key, nodeId, existed, value }: EphemeralChange): void {
    if (!this.#isWatched(key)) return;
    // A nodeId has no control characters.
    const id = `${nodeId}\0${key}`;
    const pending = this.#pending.get(id);
    if (pending === undefined) this.#pending.set(id, { key, nodeId, isShown: existed, value });
    else if (pending !== "ready") {
      pending.value = value;
      if (typeof value === "string" && !pending.isShown) this.#pending.delete(id);
    }
    this.delivery.wake();
  }

  take(): EphemeralEvent | undefined {
    for (const [id, pending] of this.#pending) {
      this.#pending.delete(id);
      const event = pending === "ready" ? ({ type: "ready" } as const) : this.#eventOf(pending);
      if (event !== undefined) return event;
    }
    return undefined;
  }

  discard(): void {
    this.#pending.clear();
  }

  #eventOf({ key, nodeId, value }: Pending): EphemeralEvent | undefined {
    const local = nodeId === this.#own;
    if (typeof value === "string") return { type: "delete", key, nodeId, local, cause: value };
    // Of a kind that only later versions know: hidden, as from all readers.
    return isValue(value) ? { type: "put", key, value: decodeValue(value), nodeId, local } : undefined;
  }
}
