/**
 * Who claims a lease: one key per replica, written by that replica alone, so that no claim overwrites another.
 *
 *     lease/<name, percent-encoded>/<nodeId>    { token? }, with the expiry of the claim
 *
 * The stamp of the write that stakes a claim is its token; renewals carry it along. The holder is whoever has
 * the greatest token among the claims that have not expired: everybody who sees the same claims agrees,
 * and whoever stakes a claim after having seen others has a greater token than all of them.
 */
import type { PutOptions } from "../calls.ts";
import type { EntryInfo } from "../data/reader.ts";
import type { ScanOptions } from "../data/scans.ts";
import type { WriteToken } from "../data/write-tokens.ts";
import { ReplicaError } from "../errors.ts";
import type { WatchEvent } from "../watch/watch-events.ts";

/** Who holds a lease, as far as this replica knows. */
export interface LeaseHolder {
  readonly nodeId: string;
  /** Greater than that of every claim that its holder had seen: for the resource to refuse whoever comes with less. */
  readonly token: number;
  /** Milliseconds since 1970, on the hybrid clock. */
  readonly expiresAt: number;
}

/** What claims are kept in: a replica. */
export interface ClaimStore {
  readonly nodeId: string;
  put(key: string, value: unknown, options: PutOptions): Promise<WriteToken>;
  delete(key: string): Promise<WriteToken>;
  entry(key: string): EntryInfo | undefined;
  infos(options: ScanOptions): Iterable<EntryInfo>;
  watch(options: { readonly prefix: string }): AsyncIterableIterator<WatchEvent>;
}

const NAME_BYTES_MAX = 128;

export class Claims {
  readonly #store: ClaimStore;
  readonly #prefix: string;
  readonly #ownKey: string;

  /** @throws ReplicaError ERR_OPTION if the name cannot be one */
  constructor(store: ClaimStore, name: string) {
    if (typeof name !== "string" || name === "" || !name.isWellFormed() || Buffer.byteLength(name) > NAME_BYTES_MAX) {
      const message = `the name of a lease is a well-formed string of 1 to ${NAME_BYTES_MAX} bytes`;
      throw new ReplicaError("ERR_OPTION", message);
    }
    this.#store = store;
    this.#prefix = `lease/${encodeURIComponent(name)}/`;
    this.#ownKey = this.#prefix + store.nodeId;
  }

  /** The claim with the greatest token; of equal ones, that of the greater nodeId. */
  holder(): LeaseHolder | undefined {
    let holder: LeaseHolder | undefined;
    for (const info of this.#store.infos({ prefix: this.#prefix })) {
      const claim = claimOf(info, info.key.slice(this.#prefix.length));
      // In the order of nodeIds, so the later of two equal ones is that of the greater nodeId.
      if (claim !== undefined && (holder === undefined || claim.token >= holder.token)) holder = claim;
    }
    return holder;
  }

  /** Stakes a new claim, or renews the one that has this token. `claim` is how it is now, `durable` as of `put`. */
  write(token: number | undefined, options: PutOptions): { claim: LeaseHolder; durable: Promise<WriteToken> } {
    const durable = this.#store.put(this.#ownKey, token === undefined ? {} : { token }, options);
    const info = this.#store.entry(this.#ownKey);
    const claim = info === undefined ? undefined : claimOf(info, this.#store.nodeId);
    return { claim: claim ?? { nodeId: this.#store.nodeId, token: 0, expiresAt: 0 }, durable };
  }

  /** Takes the own claim back. */
  async withdraw(): Promise<void> {
    await this.#store.delete(this.#ownKey);
  }

  /** An event for each change of the claims. */
  changes(): AsyncIterableIterator<WatchEvent> {
    return this.#store.watch({ prefix: this.#prefix });
  }
}

/** A claim without expiry is none of ours. */
function claimOf({ value, stamp, expiresAt }: EntryInfo, nodeId: string): LeaseHolder | undefined {
  if (typeof value !== "object" || value === null || expiresAt === undefined) return undefined;
  const { token = stamp } = value as { token?: unknown };
  return typeof token === "number" ? { nodeId, token, expiresAt } : undefined;
}
