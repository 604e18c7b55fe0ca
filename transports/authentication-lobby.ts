/**
 * Who has connected and not yet shown who it is. Bounded, and fair to addresses: of too many the oldest of the address
 * that has most has to go, so one machine that connects and connects gets in nobody's way but its own.
 */

/** Connections that wait at one time. */
const WAITING_MAX = 256;
/** New connections of one address: so many at once, and then so many a second. */
const BURST = 256;
const RATE_PER_S = 128;
/** Addresses whose rates are remembered. */
const ADDRESSES_MAX = 4096;

interface Waiting {
  readonly evict: () => void;
}

export class Lobby {
  readonly #byAddress = new Map<string, Set<Waiting>>();
  #count = 0;
  readonly #rates = new Map<string, { tokens: number; atMs: number }>();

  /** How many wait. */
  get count(): number {
    return this.#count;
  }

  /**
   * Whether an address connects slowly enough. Counts the attempt. Where it does not, drop the connection, unread.
   * @param nowMs  monotonic
   */
  admits(address: string | undefined, nowMs: number = performance.now()): boolean {
    const group = groupOf(address);
    const before = this.#rates.get(group) ?? { tokens: BURST, atMs: nowMs };
    const tokens = Math.min(BURST, before.tokens + ((nowMs - before.atMs) / 1000) * RATE_PER_S);
    this.#rates.delete(group);
    this.#rates.set(group, { tokens: Math.max(0, tokens - 1), atMs: nowMs });
    // The address that was quiet for longest is forgotten, and starts afresh.
    for (const [quiet] of this.#rates) {
      if (this.#rates.size <= ADDRESSES_MAX) break;
      this.#rates.delete(quiet);
    }
    return tokens >= 1;
  }

  /**
   * Takes in a connection.
   *
   * @param evict  called, at most once, when it has to make room
   * @returns to be called once it waits no longer; idempotent
   */
  enter(address: string | undefined, evict: () => void): () => void {
    const group = groupOf(address);
    const waiting = { evict };
    const others = this.#byAddress.get(group);
    if (others === undefined) this.#byAddress.set(group, new Set([waiting]));
    else others.add(waiting);
    this.#count += 1;
    if (this.#count > WAITING_MAX) this.#evictOne();
    return () => this.#leave(group, waiting);
  }

  #evictOne(): void {
    let [crowd, most] = ["", new Set<Waiting>()];
    for (const [group, waiting] of this.#byAddress) if (waiting.size > most.size) [crowd, most] = [group, waiting];
    const [oldest] = most;
    if (oldest === undefined) return;
    this.#leave(crowd, oldest);
    oldest.evict();
  }

  #leave(group: string, waiting: Waiting): void {
    const all = this.#byAddress.get(group);
    if (all?.delete(waiting) !== true) return;
    this.#count -= 1;
    if (all.size === 0) this.#byAddress.delete(group);
  }
}

/** Addresses that one machine can have as many as it likes of count as one: of IPv6 the first 64 bits. */
function groupOf(address: string | undefined): string {
  if (address === undefined || !address.includes(":")) return address ?? "local";
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [head = "", tail] = address.split("%", 1)[0]?.split("::") ?? [];
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = new Array<string>(Math.max(0, 8 - before.length - after.length)).fill("0");
  return [...before, ...zeros, ...after].slice(0, 4).join(":");
}
