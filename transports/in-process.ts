/**
 * Transports for several replicas in one process, and for tests: real frames, links that can be cut, delayed and
 * healed. Replicas on one network find one another without being told.
 */
import type { Timers, WallClock } from "../src/clock.ts";
import { ReplicaError } from "../src/errors.ts";
import type { Channel, ChannelReceiver, Transport, TransportHost } from "../src/transport.ts";

export interface InProcessNetworkOptions {
  /** For tests: the time in which frames travel, the same that the replicas are given as `clock` and `timers`. */
  readonly time?: Timers & WallClock;
}

/** A network of its own: replicas on different networks do not see each other. */
export function inProcessNetwork({ time = realTime }: InProcessNetworkOptions = {}): InProcessNetwork {
  const network = new Network(time);
  return {
    transport: () => new InProcessTransport(network),
    cut: (a, b) => network.cut(a, b),
    heal: (a, b) => network.heal(a, b),
    delay: (a, b, ms) => network.delay(a, b, ms),
  };
}

/** Replicas are named by their nodeIds; a link is both directions between two of them. */
export interface InProcessNetwork {
  /** A transport for one replica. Once that replica has closed, another one may take its nodeId. */
  transport(): Transport;
  /** Breaks the channels between the two, what is in flight is lost, and lets no new ones through. */
  cut(a: string, b: string): void;
  /** Undoes `cut`, for one link, for all links of `a`, or for all. The replicas dial again in their own time. */
  heal(a?: string, b?: string): void;
  /**
   * From now on frames between the two take `ms` milliseconds one way; 0, the default, is "as soon as the event loop
   * comes round". The order is kept. Throws ReplicaError ERR_OPTION unless `ms` is finite and not negative.
   */
  delay(a: string, b: string, ms: number): void;
}

class InProcessTransport implements Transport {
  readonly #network: Network;
  readonly #dials = new Set<() => void>();
  #listener: Listener | undefined;
  #closed = false;

  constructor(network: Network) {
    this.#network = network;
  }

  async listen(host: TransportHost): Promise<readonly string[]> {
    if (this.#closed || this.#listener !== undefined) {
      throw new ReplicaError("ERR_LISTEN", "this transport has served its replica; take a new one from the network");
    }
    this.#listener = this.#network.add(host);
    return [this.#listener.address];
  }

  seeds(): Iterable<string> {
    return this.#network.addressesExcept(this.#listener);
  }

  async dial(address: string, signal: AbortSignal): Promise<Channel> {
    const from = this.#listener;
    if (from === undefined) throw unreachableAddress(address, "this transport is not open");
    signal.throwIfAborted();
    try {
      return await this.#connect(from, address, signal);
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    }
  }

  #connect(from: Listener, address: string, signal: AbortSignal): Promise<Channel> {
    return new Promise((resolve, reject) => {
      const connect = (): void => {
        settle();
        const to = this.#network.at(address);
        if (to === undefined) reject(unreachableAddress(address, "no replica listens there"));
        else if (this.#network.isCut(from, to)) reject(unreachableAddress(address, "the link is cut"));
        else resolve(this.#network.connect(from, to));
      };
      // There and back: a handshake costs what it would cost elsewhere.
      const cancel = this.#network.time.after(2 * this.#network.latencyMs(from, this.#network.at(address)), connect);
      const giveUp = (): void => {
        settle();
        cancel();
        reject(unreachableAddress(address, "the dial was given up"));
      };
      const settle = (): void => {
        signal.removeEventListener("abort", giveUp);
        this.#dials.delete(giveUp);
      };
      signal.addEventListener("abort", giveUp);
      this.#dials.add(giveUp);
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const giveUp of [...this.#dials]) giveUp();
    if (this.#listener !== undefined) this.#network.remove(this.#listener);
    this.#listener = undefined;
    // Our ends report `closed` in this turn of the event loop: afterwards nothing of ours is scheduled.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

interface Listener {
  readonly address: string;
  readonly nodeId: string;
  readonly host: TransportHost;
  readonly ends: Set<End>;
}

class Network {
  readonly time: Timers & WallClock;
  readonly #listeners = new Map<string, Listener>();
  readonly #cuts = new Map<string, readonly [string, string]>();
  readonly #delaysMs = new Map<string, number>();

  constructor(time: Timers & WallClock) {
    this.time = time;
  }

  add(host: TransportHost): Listener {
    // Two live replicas with one nodeId are a mistake that the protocol has to see, so they get an address each.
    let address = `in-process:${host.nodeId}`;
    for (let twin = 2; this.#listeners.has(address); twin++) address = `in-process:${host.nodeId}#${twin}`;
    const listener: Listener = { address, nodeId: host.nodeId, host, ends: new Set() };
    this.#listeners.set(address, listener);
    return listener;
  }

  remove(listener: Listener): void {
    this.#listeners.delete(listener.address);
    for (const end of [...listener.ends]) end.close();
  }

  at(address: string): Listener | undefined {
    return this.#listeners.get(address);
  }

  addressesExcept(listener: Listener | undefined): string[] {
    return [...this.#listeners.keys()].filter((address) => address !== listener?.address);
  }

  /** Hands one end to `to` and returns the other. */
  connect(from: Listener, to: Listener): Channel {
    const latencyMs = (): number => this.latencyMs(from, to);
    const ours = new End(to.address, from.ends, this.time, latencyMs);
    const theirs = new End(from.address, to.ends, this.time, latencyMs);
    ours.join(theirs);
    theirs.join(ours);
    // In a task of its own, so that what `accept` throws is not mistaken for a dial that failed.
    queueMicrotask(() => to.host.accept(theirs));
    return ours;
  }

  latencyMs(a: Listener, b: Listener | undefined): number {
    return b === undefined ? 0 : (this.#delaysMs.get(linkOf(a.nodeId, b.nodeId)) ?? 0);
  }

  isCut(a: Listener, b: Listener): boolean {
    return this.#cuts.has(linkOf(a.nodeId, b.nodeId));
  }

  cut(a: string, b: string): void {
    this.#cuts.set(linkOf(a, b), [a, b]);
    for (const { nodeId, ends } of this.#listeners.values()) {
      if (nodeId !== a && nodeId !== b) continue;
      const others = nodeId === a ? b : a;
      for (const end of [...ends]) if (this.at(end.remote)?.nodeId === others) end.sever("the link was cut");
    }
  }

  heal(a?: string, b?: string): void {
    for (const [link, pair] of this.#cuts) {
      if ((a === undefined || pair.includes(a)) && (b === undefined || pair.includes(b))) this.#cuts.delete(link);
    }
  }

  delay(a: string, b: string, ms: number): void {
    if (!Number.isFinite(ms) || ms < 0) {
      throw new ReplicaError("ERR_OPTION", `a delay is a number of milliseconds, 0 or more: got ${ms}`);
    }
    this.#delaysMs.set(linkOf(a, b), ms);
  }
}

/** What comes to one end: frames, and as the last thing the reason why the channel closed. */
interface Arrival {
  readonly dueMs: number;
  readonly what: Uint8Array | { readonly closed: string };
}

class End implements Channel {
  readonly remote: string;
  readonly #time: Timers & WallClock;
  readonly #latencyMs: () => number;
  readonly #siblings: Set<End>;
  #other: End | undefined;
  #receiver: ChannelReceiver | undefined;
  #inbox: Arrival[] = [];
  #cancelDelivery: (() => void) | undefined;
  #ended = false;

  constructor(remote: string, siblings: Set<End>, time: Timers & WallClock, latencyMs: () => number) {
    this.remote = remote;
    this.#time = time;
    this.#siblings = siblings;
    this.#latencyMs = latencyMs;
    siblings.add(this);
  }

  join(other: End): void {
    this.#other = other;
  }

  start(receiver: ChannelReceiver): void {
    this.#receiver = receiver;
    this.#schedule();
  }

  send(frame: Uint8Array): void {
    // A copy, as a network would make: neither side can reach into the memory of the other.
    this.#other?.arrive({ dueMs: this.#time.now() + this.#latencyMs(), what: frame.slice() });
  }

  close(): void {
    // Behind the frames that are on their way, and with the delay that they have.
    this.#other?.leave({ dueMs: this.#time.now() + this.#latencyMs(), what: { closed: "closed by the other end" } });
    this.end("closed by us");
  }

  /** Both ends close at once, and what is in flight is lost. */
  sever(reason: string): void {
    this.#other?.end(reason);
    this.end(reason);
  }

  leave(closing: Arrival): void {
    this.#other = undefined;
    this.arrive(closing);
  }

  /** Whatever was to come, only `closed` comes now. */
  end(reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#other = undefined;
    this.#siblings.delete(this);
    this.#cancelDelivery?.();
    this.#cancelDelivery = undefined;
    this.#inbox = [];
    this.arrive({ dueMs: 0, what: { closed: reason } });
  }

  arrive(arrival: Arrival): void {
    this.#inbox.push(arrival);
    this.#schedule();
  }

  /**
   * One delivery is scheduled at a time. setImmediate, not a microtask: two replicas that answer each other at once
   * would never let the event loop get to its timers and sockets.
   */
  #schedule(): void {
    const next = this.#inbox[0];
    if (next === undefined || this.#receiver === undefined || this.#cancelDelivery !== undefined) return;
    this.#cancelDelivery = this.#time.after(next.dueMs - this.#time.now(), () => {
      this.#cancelDelivery = undefined;
      this.#deliver();
      this.#schedule();
    });
  }

  /** Delivers what is here and due. What the receiver does meanwhile may change the inbox. */
  #deliver(): void {
    const nowMs = this.#time.now();
    for (let count = this.#inbox.length; count > 0; count--) {
      const next = this.#inbox[0];
      if (next === undefined || next.dueMs > nowMs) return;
      this.#inbox.shift();
      if (next.what instanceof Uint8Array) {
        this.#receiver?.frame(next.what);
      } else {
        this.#ended = true;
        this.#siblings.delete(this);
        this.#receiver?.closed(next.what.closed);
      }
    }
  }
}

function linkOf(a: string, b: string): string {
  return JSON.stringify([a, b].sort());
}

function unreachableAddress(address: string, why: string): Error {
  return new Error(`cannot reach ${address}: ${why}`);
}

/** Timers that keep the process alive as long as a frame is on its way, and call after this turn of the event loop. */
const realTime: Timers & WallClock = {
  now: () => performance.now(),
  after: (delayMs, callback) => {
    if (delayMs > 0) {
      const timer = setTimeout(callback, delayMs);
      return () => clearTimeout(timer);
    }
    const immediate = setImmediate(callback);
    return () => clearImmediate(immediate);
  },
};
