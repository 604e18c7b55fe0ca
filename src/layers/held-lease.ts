/** A lease from the moment at which it is held: renewed, watched, and given back or lost. */
import type { Timers } from "../clock.ts";
import { ReplicaError } from "../errors.ts";
import type { Claims, LeaseHolder } from "./claims.ts";

/** A lease that this replica has got. */
export interface Lease extends AsyncDisposable {
  readonly name: string;
  /**
   * A number that grows from holder to holder: whoever gets the lease having seen an earlier holder has a greater one. Hand
   * it to the resource that the lease protects, and let that refuse whoever comes with less than it has seen.
   */
  readonly token: number;
  /** Whether it is held at this very moment, as far as this replica can know. Look before each step that needs it. */
  readonly isHeld: boolean;
  /** When it ends unless it is renewed, milliseconds since 1970, on the hybrid clock. */
  readonly expiresAt: number;
  /** Aborts when the lease is held no more; its reason is a ReplicaError ERR_LEASE_LOST that says why. */
  readonly signal: AbortSignal;
  /** Renews it now; it is renewed every third of `ttlMs` in any case. @throws ReplicaError ERR_LEASE_LOST, and as `put` */
  renew(): Promise<void>;
  /** Gives it back: others need not wait until it expires. Idempotent; does nothing when it is lost. @throws as `put` */
  release(): Promise<void>;
}

export interface HeldLeaseSource {
  readonly now: () => number;
  readonly timers: Timers;
}

/** The part of its time after which a lease is renewed. */
const RENEW_PART = 3;

export class HeldLease implements Lease {
  readonly name: string;
  readonly token: number;
  readonly #claims: Claims;
  readonly #nodeId: string;
  readonly #changes: AsyncIterator<unknown>;
  readonly #write: { readonly ttlMs: number; readonly acks?: number };
  readonly #source: HeldLeaseSource;
  readonly #onEnd: () => void;
  readonly #ended = new AbortController();
  #expiresAt: number;
  #cancelRenewal: () => void = () => undefined;
  #cancelExpiry: () => void = () => undefined;
  /** Why the last renewal has failed. */
  #cause: unknown;

  constructor(
    name: string,
    claims: Claims,
    claim: LeaseHolder,
    changes: AsyncIterator<unknown>,
    write: { readonly ttlMs: number; readonly acks?: number },
    source: HeldLeaseSource,
    onEnd: () => void,
  ) {
    this.name = name;
    this.token = claim.token;
    this.#claims = claims;
    this.#nodeId = claim.nodeId;
    this.#changes = changes;
    this.#write = write;
    this.#source = source;
    this.#onEnd = onEnd;
    this.#expiresAt = claim.expiresAt;
    this.#scheduleRenewal();
    this.#scheduleExpiry();
    void this.#follow();
  }

  get isHeld(): boolean {
    return !this.#ended.signal.aborted && this.#source.now() < this.#expiresAt;
  }

  get expiresAt(): number {
    return this.#expiresAt;
  }

  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  async renew(): Promise<void> {
    this.#check();
    this.#ended.signal.throwIfAborted();
    const { claim, durable } = this.#claims.write(this.token, { ...this.#write, signal: this.#ended.signal });
    await durable;
    this.#expiresAt = Math.max(this.#expiresAt, claim.expiresAt);
    this.#scheduleExpiry();
  }

  async release(): Promise<void> {
    if (this.#ended.signal.aborted) return;
    this.#end(`the lease "${this.name}" was released`);
    await this.#claims.withdraw();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  /** Looks after every change of the claims whether ours is still the one that counts. */
  async #follow(): Promise<void> {
    try {
      while ((await this.#changes.next()).done !== true) this.#check();
      this.#lose("the replica was closed");
    } catch (error) {
      this.#cause = error;
      this.#lose("the replica has failed");
    }
  }

  #check(): void {
    if (this.#ended.signal.aborted) return;
    const holder = this.#claims.holder();
    if (holder?.nodeId === this.#nodeId && holder.token === this.token) return;
    if (holder !== undefined && holder.nodeId !== this.#nodeId) this.#lose(`"${holder.nodeId}" has a greater token`);
    else this.#lose("the claim has expired");
  }

  #lose(why: string): void {
    if (this.#ended.signal.aborted) return;
    this.#end(`the lease "${this.name}" is lost: ${why}`);
    // Nobody is to take us for the next in line. If it cannot be written, it expires.
    this.#claims.withdraw().catch(() => undefined);
  }

  #end(message: string): void {
    this.#cancelRenewal();
    this.#cancelExpiry();
    this.#ended.abort(new ReplicaError("ERR_LEASE_LOST", message, { cause: this.#cause }));
    this.#onEnd();
    void this.#changes.return?.();
  }

  #scheduleRenewal(): void {
    this.#cancelRenewal = this.#source.timers.after(this.#write.ttlMs / RENEW_PART, () => {
      this.#scheduleRenewal();
      // What keeps it from being renewed will make it expire.
      this.renew().catch((error: unknown) => {
        this.#cause = error;
      });
    });
  }

  #scheduleExpiry(): void {
    this.#cancelExpiry();
    this.#cancelExpiry = this.#source.timers.after(this.#expiresAt - this.#source.now(), () => {
      // The clock and the timers need not agree.
      if (this.isHeld) this.#scheduleExpiry();
      else this.#lose("it could not be renewed in time");
    });
  }
}
