/**
 * The addresses that may be dialed: who is there, as far as anybody has said, and when an attempt is worth it. One that has
 * failed is left alone for a while, the longer the more often it has.
 */
import type { Timers } from "../clock.ts";
import type { Random } from "../random.ts";

/** A replica that we know of. */
export interface Target {
  readonly nodeId: string;
  readonly addresses: readonly string[];
}

export interface Remote {
  readonly address: string;
  /** Who is there, or was when last seen; undefined while nobody has said. */
  nodeId: string | undefined;
  state: "idle" | "waiting" | "dialing" | "open";
  /** Attempts that failed since the last stable session. */
  failures: number;
  /** It waits because it could not be reached, and not because it has refused us. */
  isLost: boolean;
  /** Beyond the degree. */
  roaming: boolean;
  /** Gives up what `state` says. */
  stop: () => void;
}

export interface RemotesOptions {
  readonly timers: Timers;
  readonly random: Random;
  /** Our own name, and our own addresses: not to be dialed. */
  readonly nodeId: string;
  readonly own: ReadonlySet<string>;
  /** One may be dialed again. */
  readonly onIdle: () => void;
}

const BACKOFF_MS_MIN = 250;
const BACKOFF_MS_MAX = 30_000;
/** After a refusal that only a change of configuration can lift. */
const REFUSED_MS = 300_000;
/** Where one that was lost is back, others may be: they are dialed within so long, whatever they were to wait. */
const HURRY_MS = 50;
/** Not more often, so that one that comes and goes does not make us dial those who stay away. */
const HURRY_GAP_MS = 2000;

export class Remotes implements Iterable<Remote> {
  readonly #options: RemotesOptions;
  readonly #byAddress = new Map<string, Remote>();
  /** What `#byAddress` is made of. */
  #learned: { readonly targets: readonly Target[]; readonly seeds: readonly string[] } | undefined;
  #cancelHurryGap: (() => void) | undefined;

  constructor(options: RemotesOptions) {
    this.#options = options;
  }

  [Symbol.iterator](): IterableIterator<Remote> {
    return this.#byAddress.values();
  }

  /** These are all there are, besides those that are busy: they are forgotten once that is over. */
  learn(targets: readonly Target[], seeds: readonly string[]): void {
    if (this.#learned?.targets === targets && isSame(this.#learned.seeds, seeds)) return;
    this.#learned = { targets, seeds };
    const wanted = new Map<string, string | undefined>();
    for (const address of seeds) wanted.set(address, undefined);
    for (const { nodeId, addresses } of targets) {
      if (nodeId !== this.#options.nodeId) for (const address of addresses) wanted.set(address, nodeId);
    }
    for (const address of this.#options.own) wanted.delete(address);
    for (const [address, nodeId] of wanted) {
      const known = this.#byAddress.get(address);
      if (known === undefined) this.#byAddress.set(address, idle(address, nodeId));
      else known.nodeId ??= nodeId;
    }
    for (const remote of this.#byAddress.values()) {
      if (wanted.has(remote.address)) continue;
      if (isBusy(remote)) {
        this.#learned = undefined;
        continue;
      }
      remote.stop();
      this.#byAddress.delete(remote.address);
    }
  }

  /** An attempt has failed, or a session is over. */
  backOff(remote: Remote): void {
    // The exponent is bounded because 2 ** 1100 is Infinity, and Infinity times a fraction of 0 is NaN.
    const delayMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(remote.failures, 20));
    remote.failures += 1;
    this.#wait(remote, delayMs, true);
  }

  /** It wants nothing of us. */
  refused(remote: Remote): void {
    this.#wait(remote, REFUSED_MS, false);
  }

  /**
   * One that was lost is back, so the network may be whole again: ends the waits for the others, each of which has failures
   * of its own to make up for. It costs one dial each, to which the degree applies, and their failures go on counting.
   */
  hurry(): void {
    if (this.#cancelHurryGap !== undefined) return;
    this.#cancelHurryGap = this.#options.timers.after(HURRY_GAP_MS, () => {
      this.#cancelHurryGap = undefined;
    });
    for (const remote of this.#byAddress.values()) {
      if (remote.state !== "waiting" || !remote.isLost) continue;
      remote.stop();
      this.#wait(remote, HURRY_MS, true);
    }
  }

  /** Ends waits and dials. What is open is closed with the transport. */
  close(): void {
    this.#cancelHurryGap?.();
    for (const { state, stop } of this.#byAddress.values()) if (state !== "open") stop();
  }

  #wait(remote: Remote, delayMs: number, isLost: boolean): void {
    remote.state = "waiting";
    remote.isLost = isLost;
    remote.stop = this.#options.timers.after(jittered(delayMs, this.#options.random), () => {
      remote.state = "idle";
      remote.stop = nothing;
      this.#options.onIdle();
    });
  }
}

export function isBusy({ state }: Remote): boolean {
  return state === "dialing" || state === "open";
}

/** Between half of `ms` and `ms`: replicas that lost each other at one moment do not all come back at one. */
export function jittered(ms: number, random: Random): number {
  return ms * (0.5 + random.fraction() / 2);
}

export function nothing(): void {
  // There is nothing to stop.
}

function idle(address: string, nodeId: string | undefined): Remote {
  return { address, nodeId, state: "idle", failures: 0, isLost: false, roaming: false, stop: nothing };
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, index) => text === b[index]);
}
