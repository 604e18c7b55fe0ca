/**
 * The network of a simulation: channels that carry real frames, and lose, repeat, reorder, damage, delay and cut them
 * as told. What has not been asked for does not happen: by itself it is quick and in order, and loses nothing.
 */
import type { Channel, ChannelReceiver, Transport, TransportHost } from "../transport.ts";
import type { Millis } from "../types.ts";
import type { Owner, Scheduler } from "./scheduler.ts";
import type { SeededRandom } from "./seeded-random.ts";

/** What happens to frames, everywhere. Probabilities are per frame. */
export interface NetworkConditions {
  /** One way, without what `jitterMs` adds. Default 1. */
  latencyMs: Millis;
  /** At most so much more, evenly spread. Default 1. */
  jitterMs: Millis;
  /** The frame never comes, and the channel stays. Default 0, as the following. */
  loss: number;
  /** It comes twice. */
  duplicate: number;
  /** It may overtake others, or be overtaken. */
  reorder: number;
  /** One bit of it is wrong. */
  damage: number;
  /** The channel breaks, and what is under way is lost. */
  cut: number;
}

/** A process that takes part, on its host. */
export interface Station extends Owner {
  /** Name of the host. Its address is `sim:` and this. */
  readonly name: string;
}

const DIAL_TIMEOUT_MS = 3000;

export class SimNetwork {
  readonly conditions: NetworkConditions = {
    latencyMs: 1,
    jitterMs: 1,
    loss: 0,
    duplicate: 0,
    reorder: 0,
    damage: 0,
    cut: 0,
  };
  /** Sees every frame as it is sent, before anything happens to it. What it returns is called whenever the frame arrives. */
  onFrame: (from: Station, to: Station, frame: Uint8Array) => () => void = () => () => undefined;
  /** Told of everything that befalls a frame or a channel, by name. */
  onFault: (fault: string) => void = () => undefined;
  readonly #scheduler: Scheduler;
  readonly #random: SeededRandom;
  readonly #listeners = new Map<string, { readonly station: Station; readonly host: TransportHost }>();
  readonly #ends = new Set<End>();
  readonly #blocked = new Set<string>();
  readonly #bytesPerMs = new Map<string, number>();

  constructor(scheduler: Scheduler, random: SeededRandom) {
    this.#scheduler = scheduler;
    this.#random = random;
  }

  /** A transport for one replica of a process. @param seeds  names of the hosts that it dials first */
  transport(station: Station, seeds: () => readonly string[]): Transport {
    return new SimTransport(this, station, seeds);
  }

  /** From now on nothing passes from one host to another, silently: neither frames nor the news that a channel has closed. */
  block(from: string, to: string): void {
    this.#blocked.add(`${from} ${to}`);
  }

  /** Both ways between any host of `left` and any of `right`. */
  partition(left: readonly string[], right: readonly string[]): void {
    for (const a of left) {
      for (const b of right) {
        this.block(a, b);
        this.block(b, a);
      }
    }
  }

  /** Frames from one host to another share a line of this speed. `undefined`: no bound. */
  slow(from: string, to: string, bytesPerMs: number | undefined): void {
    if (bytesPerMs === undefined) this.#bytesPerMs.delete(`${from} ${to}`);
    else this.#bytesPerMs.set(`${from} ${to}`, bytesPerMs);
  }

  /** Breaks all channels between two hosts; both ends hear of it, if the way to them is free. */
  reset(a: string, b: string): void {
    for (const end of [...this.#ends]) if (end.isBetween(a, b)) end.sever("the connection was reset");
  }

  /** The channels between two hosts turn into half-open ones: `a` hears that they have closed, `b` hears nothing more. */
  halfOpen(a: string, b: string): void {
    for (const end of [...this.#ends]) {
      if (end.station.name === a && end.peer.name === b) end.vanish("the connection was reset");
    }
  }

  /** Ends partitions and slow lines. What `conditions` say stays. */
  heal(): void {
    this.#blocked.clear();
    this.#bytesPerMs.clear();
  }

  /** The process has ended. With `silent` the other ends hear of it only when the host is up again and they send something. */
  ended(station: Station, silent: boolean): void {
    const listener = this.#listeners.get(station.name);
    if (listener?.station === station) this.#listeners.delete(station.name);
    for (const end of [...this.#ends]) if (end.station === station) end.die(silent);
  }

  /** Bytes of the frames that are on their way. */
  get bytesUnderWay(): number {
    let bytes = 0;
    for (const end of this.#ends) bytes += end.bytesUnderWay;
    return bytes;
  }

  /** Ends of channels that are open. */
  get openEnds(): number {
    return this.#ends.size;
  }

  /** @internal */
  listen(station: Station, host: TransportHost): string {
    this.#listeners.set(station.name, { station, host });
    return addressOf(station.name);
  }

  /** @internal */
  leave(station: Station): void {
    const listener = this.#listeners.get(station.name);
    if (listener?.station === station) this.#listeners.delete(station.name);
    for (const end of [...this.#ends]) if (end.station === station) end.close();
  }

  /** @internal */
  dial(station: Station, address: string, signal: AbortSignal): Promise<Channel> {
    return new Promise((resolve, reject) => {
      const to = address.slice(ADDRESS_PREFIX.length);
      let cancel: () => void = () => undefined;
      const onAbort = (): void => {
        cancel();
        reject(signal.reason as Error);
      };
      const later = (delayMs: Millis, run: () => void): void => {
        cancel = this.#scheduler.after(delayMs, station, `dial ${station.name} ${to}`, run);
      };
      const done = (run: () => void) => () => {
        signal.removeEventListener("abort", onAbort);
        run();
      };
      if (signal.aborted) return reject(signal.reason as Error);
      signal.addEventListener("abort", onAbort);
      later(2 * this.latencyMs(), () => {
        const listener = this.#listeners.get(to);
        if (this.isBlocked(station.name, to) || this.isBlocked(to, station.name)) {
          return later(
            DIAL_TIMEOUT_MS,
            done(() => reject(new Error(`no answer from ${address}`))),
          );
        }
        if (listener === undefined || !address.startsWith(ADDRESS_PREFIX)) {
          return done(() => reject(new Error(`nobody listens at ${address}`)))();
        }
        done(() => resolve(this.#connect(station, listener.station, listener.host)))();
      });
    });
  }

  /** @internal */
  isBlocked(from: string, to: string): boolean {
    return this.#blocked.has(`${from} ${to}`);
  }

  /** @internal */
  isUp(name: string): boolean {
    return this.#listeners.has(name);
  }

  /** @internal */
  latencyMs(): Millis {
    return this.conditions.latencyMs + this.#random.fraction() * this.conditions.jitterMs;
  }

  /** @internal How many bytes a millisecond the line carries. */
  speedOf(from: string, to: string): number {
    return this.#bytesPerMs.get(`${from} ${to}`) ?? Number.POSITIVE_INFINITY;
  }

  #connect(from: Station, to: Station, host: TransportHost): Channel {
    const tools = { network: this, scheduler: this.#scheduler, random: this.#random, ends: this.#ends };
    const ours = new End(from, to, tools);
    const theirs = new End(to, from, tools);
    ours.join(theirs);
    theirs.join(ours);
    this.#scheduler.after(0, to, `accept ${to.name} ${from.name}`, () => host.accept(theirs));
    return ours;
  }
}

const ADDRESS_PREFIX = "sim:";

function addressOf(name: string): string {
  return ADDRESS_PREFIX + name;
}

class SimTransport implements Transport {
  readonly #network: SimNetwork;
  readonly #station: Station;
  readonly #seeds: () => readonly string[];
  readonly #dials = new Set<() => void>();
  #isClosed = false;

  constructor(network: SimNetwork, station: Station, seeds: () => readonly string[]) {
    this.#network = network;
    this.#station = station;
    this.#seeds = seeds;
  }

  async listen(host: TransportHost): Promise<readonly string[]> {
    return [this.#network.listen(this.#station, host)];
  }

  seeds(): Iterable<string> {
    return this.#seeds().map(addressOf);
  }

  async dial(address: string, signal: AbortSignal): Promise<Channel> {
    if (this.#isClosed) throw new Error("this transport is closed");
    // Not AbortSignal.any: when that lets go of its sources is up to the garbage collector.
    const controller = new AbortController();
    const giveUp = (): void => controller.abort(signal.aborted ? signal.reason : new Error("this transport is closed"));
    this.#dials.add(giveUp);
    signal.addEventListener("abort", giveUp);
    if (signal.aborted) giveUp();
    try {
      return await this.#network.dial(this.#station, address, controller.signal);
    } finally {
      this.#dials.delete(giveUp);
      signal.removeEventListener("abort", giveUp);
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const giveUp of [...this.#dials]) giveUp();
    this.#network.leave(this.#station);
  }
}

interface Tools {
  readonly network: SimNetwork;
  readonly scheduler: Scheduler;
  readonly random: SeededRandom;
  readonly ends: Set<End>;
}

/** One end of a channel. */
class End implements Channel {
  readonly remote: string;
  readonly station: Station;
  readonly peer: Station;
  /** Frames sent from here that have not arrived, bytes. */
  bytesUnderWay = 0;
  readonly #tools: Tools;
  #other: End | undefined;
  #receiver: ChannelReceiver | undefined;
  #inbox: Uint8Array[] = [];
  #closedReason: string | undefined;
  #isOpen = true;
  /** Frames keep their order: none arrives before this moment. */
  #lastDueMs: Millis = 0;
  #lineFreeMs: Millis = 0;
  /** Of the events that come for every frame: put together once. */
  readonly #frameLabel: string;

  constructor(station: Station, peer: Station, tools: Tools) {
    this.station = station;
    this.peer = peer;
    this.remote = addressOf(peer.name);
    this.#tools = tools;
    this.#frameLabel = this.#label("frame");
    tools.ends.add(this);
  }

  join(other: End): void {
    this.#other = other;
  }

  isBetween(a: string, b: string): boolean {
    const { station, peer } = this;
    return (station.name === a && peer.name === b) || (station.name === b && peer.name === a);
  }

  start(receiver: ChannelReceiver): void {
    this.#receiver = receiver;
    if (this.#inbox.length === 0 && this.#closedReason === undefined) return;
    this.#later(0, this, "start", () => {
      for (const frame of this.#inbox.splice(0)) if (this.#isOpen) receiver.frame(frame);
      this.#tellClosed();
    });
  }

  send(frame: Uint8Array): void {
    const { network, random } = this.#tools;
    if (!this.#isOpen) return;
    const onArrival = network.onFrame(this.station, this.peer, frame);
    const { loss, duplicate, reorder, damage, cut } = network.conditions;
    if (random.chance(cut)) {
      network.onFault("cut");
      return this.sever("the connection was cut");
    }
    const isBlocked = network.isBlocked(this.station.name, this.peer.name);
    if (isBlocked || random.chance(loss)) return network.onFault(isBlocked ? "blocked" : "loss");
    let bytes = frame.slice();
    if (random.chance(damage)) {
      network.onFault("damage");
      const at = random.below(bytes.length);
      bytes = bytes.with(at, (bytes[at] ?? 0) ^ (1 << random.below(8)));
    }
    const overtakes = random.chance(reorder);
    if (overtakes) network.onFault("reorder");
    this.#transmit(bytes, overtakes, onArrival);
    if (!random.chance(duplicate)) return;
    network.onFault("duplicate");
    this.#transmit(bytes.slice(), overtakes, onArrival);
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#endHere("closed by us");
    const other = this.#other;
    if (other === undefined || this.#tools.network.isBlocked(this.station.name, this.peer.name)) return;
    this.#later(this.#dueInMs(0, false), other, "close", () => other.endedByPeer("closed by the other end"));
  }

  /** Both ends break; what is under way is lost. */
  sever(reason: string): void {
    const { network } = this.#tools;
    const other = this.#other;
    this.vanish(reason);
    if (other === undefined || network.isBlocked(this.station.name, this.peer.name)) return;
    this.#later(network.latencyMs(), other, "reset", () => other.vanish(reason));
  }

  /** This end breaks, and the other one is not told. */
  vanish(reason: string): void {
    if (this.#isOpen) this.#endHere(reason);
  }

  endedByPeer(reason: string): void {
    this.vanish(reason);
  }

  /** The process of this end is gone. */
  die(silent: boolean): void {
    const { network, ends } = this.#tools;
    const other = this.#other;
    this.#isOpen = false;
    ends.delete(this);
    if (silent || other === undefined || network.isBlocked(this.station.name, this.peer.name)) return;
    this.#later(network.latencyMs(), other, "reset", () => other.vanish("the other end has died"));
  }

  arrive(frame: Uint8Array): void {
    const { network } = this.#tools;
    if (!this.station.alive) {
      // Nobody here knows this channel: a host that is up says so.
      const other = this.#other;
      if (other === undefined || !network.isUp(this.station.name)) return;
      this.#later(network.latencyMs(), other, "reset", () => other.vanish("the other end has forgotten it"));
      return;
    }
    if (!this.#isOpen) return;
    if (this.#receiver === undefined) this.#inbox.push(frame);
    else this.#receiver.frame(frame);
  }

  #transmit(bytes: Uint8Array, overtakes: boolean, onArrival: () => void): void {
    const other = this.#other;
    if (other === undefined) return;
    this.bytesUnderWay += bytes.length;
    // A frame to a process that has ended still reaches the host.
    const owner = other.station.alive ? other.station : undefined;
    this.#tools.scheduler.after(this.#dueInMs(bytes.length, overtakes), owner, this.#frameLabel, () => {
      this.bytesUnderWay -= bytes.length;
      onArrival();
      other.arrive(bytes);
    });
  }

  #dueInMs(bytes: number, overtakes: boolean): Millis {
    const { network, scheduler, random } = this.#tools;
    const { nowMs } = scheduler;
    const speed = network.speedOf(this.station.name, this.peer.name);
    this.#lineFreeMs = Math.max(this.#lineFreeMs, nowMs) + bytes / speed;
    let dueMs = this.#lineFreeMs + network.latencyMs();
    if (overtakes) return dueMs - nowMs + random.fraction() * 20;
    dueMs = Math.max(dueMs, this.#lastDueMs);
    this.#lastDueMs = dueMs;
    return dueMs - nowMs;
  }

  /** Ends this side, and tells its receiver, in a turn of its own. */
  #endHere(reason: string): void {
    this.#isOpen = false;
    this.#inbox = [];
    this.#closedReason = reason;
    this.#tools.ends.delete(this);
    if (this.#receiver !== undefined) this.#later(0, this, "closed", () => this.#tellClosed());
  }

  #tellClosed(): void {
    const reason = this.#closedReason;
    if (reason === undefined || this.#receiver === undefined) return;
    this.#closedReason = undefined;
    this.#receiver.closed(reason);
  }

  #later(delayMs: Millis, end: End, what: string, run: () => void): void {
    this.#tools.scheduler.after(delayMs, end.station, this.#label(what), run);
  }

  #label(what: string): string {
    return `${what} ${this.station.name} ${this.peer.name}`;
  }
}
