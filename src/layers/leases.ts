/**
 * Leases: one of us does it. A replica stakes a claim (claims.ts), waits until the peers that it is in touch
 * with have it, and holds the lease if nobody has a better one by then. It renews its claim until it lets
 * go, and is told when it has lost it.
 *
 * What this cannot do: there is no quorum, so each side of a partition finds a holder of its own. When
 * the sides meet again, the greater token stays and the other holder is told. So whatever a lease
 * protects must be able to bear two holders for that long, or check the token.
 */
import { checkAcks, checkSignal, inRange, knownFields } from "../arguments.ts";
import type { SettledOptions } from "../calls.ts";
import type { Timers } from "../clock.ts";
import { ReplicaError } from "../errors.ts";
import type { PeerState } from "../status.ts";
import { type ClaimStore, Claims, type LeaseHolder } from "./claims.ts";
import { HeldLease, type Lease } from "./held-lease.ts";

export interface LeaseOptions {
  /**
   * For how long the lease outlives its holder, milliseconds, 200 at least. It is renewed every third of that. Should be
   * well above what the clocks of the replicas differ by, and what a message takes.
   */
  readonly ttlMs: number;
  /**
   * How many members must durably have a claim, and each renewal, before it counts; this one included. With more than
   * half of them, a side of a partition that is smaller gets no lease, and loses the one it has when it
   * expires. Default 1: every side gets one.
   */
  readonly acks?: number;
  /** Ends the wait for the lease. Has no effect once it is held. */
  readonly signal?: AbortSignal;
}

/** What leases stand on: a replica. */
export interface LeaseStore extends ClaimStore {
  peers(): readonly { readonly nodeId: string; readonly state: PeerState }[];
  settled(options: SettledOptions): Promise<void>;
}

export interface LeasesSource {
  readonly store: LeaseStore;
  /** The time by which entries expire. Never goes back. */
  readonly now: () => number;
  readonly timers: Timers;
}

const TTL_MS_MIN = 200;
const TTL_MS_MAX = 2 ** 31 - 1;
/** The part of its time that a claim waits for peers to have it. */
const CONFIRM_PART = 3;

export class Leases {
  readonly #source: LeasesSource;
  /** What this replica waits for or holds. */
  readonly #names = new Set<string>();
  readonly #held = new Set<HeldLease>();

  constructor(source: LeasesSource) {
    this.#source = source;
  }

  /** See `Replica.leaseHolder`. */
  holder(name: string): LeaseHolder | undefined {
    return new Claims(this.#source.store, name).holder();
  }

  /** See `Replica.lease`. */
  async acquire(name: string, options: LeaseOptions): Promise<Lease> {
    knownFields(options, ["ttlMs", "acks", "signal"], "lease");
    const { ttlMs, acks, signal } = options;
    inRange("ttlMs", ttlMs, TTL_MS_MIN, TTL_MS_MAX);
    checkAcks(acks);
    checkSignal(signal);
    signal?.throwIfAborted();
    const claims = new Claims(this.#source.store, name);
    if (this.#names.has(name)) {
      throw new ReplicaError("ERR_OPTION", `this replica waits for the lease "${name}" or holds it: release it first`);
    }
    this.#names.add(name);
    const changes = claims.changes();
    try {
      const claim = await this.#claimed(claims, changes, options);
      const write = { ttlMs, ...(acks === undefined ? {} : { acks }) };
      const lease = new HeldLease(name, claims, claim, changes, write, this.#source, () => {
        this.#held.delete(lease);
        this.#names.delete(name);
      });
      this.#held.add(lease);
      return lease;
    } catch (error) {
      this.#names.delete(name);
      await changes.return?.();
      throw error;
    }
  }

  /** Lets go of all leases: the claims are withdrawn in memory when this returns. */
  close(): void {
    for (const lease of this.#held) lease.release().catch(() => undefined);
  }

  /** Waits until nobody else has a claim, stakes one, and waits again if somebody else has a better one then. */
  async #claimed(
    claims: Claims,
    changes: AsyncIterator<unknown>,
    { ttlMs, acks, signal }: LeaseOptions,
  ): Promise<LeaseHolder> {
    const { nodeId } = this.#source.store;
    for (;;) {
      for (let held = claims.holder(); held !== undefined && held.nodeId !== nodeId; held = claims.holder()) {
        await abortable(changes.next(), signal);
      }
      const deadline = this.#deadline(ttlMs / CONFIRM_PART, signal);
      const { claim, durable } = claims.write(undefined, {
        ttlMs,
        signal: deadline.signal,
        ...(acks === undefined ? {} : { acks }),
      });
      try {
        const isDurable = await deadline.reaches(durable);
        const peers = this.#source.store.peers().filter(({ state }) => state === "live");
        // Who has our claim stakes none of his own, and what he had staked before is here by then.
        await deadline.reaches(
          this.#source.store.settled({ peers: peers.map((peer) => peer.nodeId), signal: deadline.signal }),
        );
        const holder = claims.holder();
        if (isDurable && holder?.nodeId === nodeId && holder.token === claim.token) return claim;
        await claims.withdraw();
      } catch (error) {
        claims.withdraw().catch(() => undefined);
        throw error;
      } finally {
        deadline.cancel();
      }
    }
  }

  /** A signal that aborts after some time, or with another one. */
  #deadline(delayMs: number, outer: AbortSignal | undefined) {
    const ended = new AbortController();
    const onAbort = (): void => ended.abort(outer?.reason);
    outer?.addEventListener("abort", onAbort);
    const cancelTimer = this.#source.timers.after(delayMs, () => ended.abort());
    return {
      signal: ended.signal,
      /** Whether `wait`, which ends with the signal, was done in time. @throws what it fails with; the reason of `outer` */
      reaches: async (wait: Promise<unknown>): Promise<boolean> => {
        try {
          await wait;
          return true;
        } catch (error) {
          outer?.throwIfAborted();
          if (!ended.signal.aborted) throw error;
          return false;
        }
      },
      cancel: (): void => {
        cancelTimer();
        outer?.removeEventListener("abort", onAbort);
      },
    };
  }
}

/** As `wait`, but rejects with the reason of `signal` when that aborts. */
async function abortable<T>(wait: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await wait;
  signal.throwIfAborted();
  let onAbort = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason as Error);
    signal.addEventListener("abort", onAbort);
  });
  try {
    return await Promise.race([wait, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
