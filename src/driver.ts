/**
 * The loop in which the pure core meets the disk and the peers: it makes what the replicator has ready
 * durable as one record, then sends, then publishes, then resolves. One record is in flight at a time;
 * whatever is written meanwhile becomes the next one (group commit).
 */
import type { Timers, WallClock } from "./clock.ts";
import { decodeMessage, encodeBody, frameOf } from "./codec/messages.ts";
import { CommitWaits } from "./commit-waits.ts";
import type { StateOp } from "./core/ops.ts";
import type { ReplicaError } from "./errors.ts";
import { type Arrival, Inbox } from "./inbox.ts";
import type { Change, Ready, SessionEvent, SessionId } from "./sync/committed.ts";
import type { Message } from "./sync/messages.ts";
import { type Replicator, TICK_MS } from "./sync/replicator.ts";
import type { Telemetry } from "./telemetry/telemetry.ts";
import type { Channel } from "./transport.ts";
import type { Lsn } from "./types.ts";

/** Where records go. */
export interface Log {
  /** Resolves when the record has the configured durability. */
  append(ops: readonly StateOp[], lsn: Lsn): Promise<void>;
}

export interface DriverOptions {
  readonly replicator: Replicator;
  /** `undefined`: memory only, everything is durable at once. */
  readonly log: Log | undefined;
  readonly clock: WallClock;
  readonly timers: Timers;
  readonly telemetry: Telemetry;
  /** Durable changes, in commit order. Must not throw. */
  readonly publish: (changes: readonly Change[]) => void;
  readonly onEvent: (event: SessionEvent) => void;
  /** The log has failed: nothing more becomes durable, the replica serves reads only. Called once. */
  readonly onFailure: (error: ReplicaError) => void;
  /** Whether anybody is called back with changes. If not, and with no peer, a write in memory is published within its call. */
  readonly hasListeners: () => boolean;
  /** Called after every step: something may have become durable, here or at a peer. */
  readonly onStep: () => void;
}

export interface ChannelBytes {
  in: number;
  out: number;
}

export class Driver {
  readonly #options: DriverOptions;
  readonly #replicator: Replicator;
  readonly #inbox: Inbox;
  readonly #channels = new Map<SessionId, { readonly channel: Channel; readonly bytes: ChannelBytes }>();
  readonly #waits: CommitWaits;
  #nextSession: SessionId = 1;
  #committing = false;
  #failure: ReplicaError | undefined;
  #cancelTick: () => void = () => undefined;
  #isTurnDue = false;
  #stopped = false;
  #onIdle: () => void = () => undefined;

  constructor(options: DriverOptions) {
    this.#options = options;
    this.#replicator = options.replicator;
    this.#waits = new CommitWaits(options.timers, () => this.wake());
    this.#inbox = new Inbox({
      handle: (session, arrival) => this.#arrived(session, arrival),
      overflow: (session) => {
        this.#replicator.receiveBad(session, "it sends on and on, whatever it is answered");
        this.wake();
      },
    });
    this.#scheduleTick();
  }

  /** Why nothing can be made durable any more. */
  get failure(): ReplicaError | undefined {
    return this.#failure;
  }

  /** Calls that wait for something to become durable. */
  get waiting(): number {
    return this.#waits.size;
  }

  /** Bytes that a session has moved. */
  bytesOf(session: SessionId): ChannelBytes {
    return this.#channels.get(session)?.bytes ?? { in: 0, out: 0 };
  }

  remoteOf(session: SessionId): string | undefined {
    return this.#channels.get(session)?.channel.remote;
  }

  /** Takes over a channel to some replica. */
  attach(channel: Channel, dialed: boolean): SessionId {
    const session = this.#nextSession++;
    const bytes = { in: 0, out: 0 };
    this.#channels.set(session, { channel, bytes });
    this.#replicator.connect(session, dialed, this.#options.clock.now(), channel.peerNodeId);
    channel.start({
      frame: (frame) => {
        bytes.in += frame.length;
        this.#arrive(session, frame);
      },
      closed: (reason) => this.#arrive(session, reason),
    });
    this.wake();
    return session;
  }

  /** To be called after anything was done to the replicator: sends what may leave and commits what is ready. */
  wake(): void {
    this.#send();
    for (const event of this.#replicator.takeEvents()) this.#handle(event);
    this.#options.onStep();
    this.#takeTurn();
    if (this.#committing || this.#waits.isAnswering) return;
    if (!this.#replicator.hasReady || this.#failure !== undefined) return;
    if (this.#options.log === undefined && this.#channels.size === 0 && !this.#options.hasListeners())
      this.#commitAtOnce();
    else void this.#commit();
  }

  /**
   * Resolves with `value` when everything up to `lsn` is durable, in the order of the calls.
   * @throws why it will not be
   */
  durable<T>(lsn: Lsn, value: T): Promise<T> {
    const isDurable = lsn <= this.#replicator.durable.lsn;
    if (this.#failure !== undefined) return isDurable ? Promise.resolve(value) : Promise.reject(this.#failure);
    if (isDurable && !this.#committing && this.#waits.size === 0) return Promise.resolve(value);
    return this.#waits.add(lsn, value);
  }

  /** Resolves when no record is on its way. */
  async idle(): Promise<void> {
    if (this.#committing && this.#failure === undefined) await new Promise<void>((resolve) => (this.#onIdle = resolve));
  }

  /** Fail-stop: memory is ahead of the disk, so no peer may hear from us any more. The first failure counts. */
  fail(error: ReplicaError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#onIdle();
    this.#waits.fail(this.#replicator.durable.lsn, error);
    this.#cancelTick();
    for (const { channel } of this.#channels.values()) channel.close();
    this.#options.onFailure(error);
  }

  /** Ends all sessions and the ticking. What is being committed goes on: await `durable` first. */
  stop(): void {
    this.#stopped = true;
    this.#cancelTick();
    this.#replicator.closeSessions();
    this.wake();
  }

  #arrive(session: SessionId, arrival: Arrival): void {
    this.#inbox.arrive(session, arrival);
    this.#takeTurn();
  }

  /** @returns how many entries it brought */
  #arrived(session: SessionId, arrival: Arrival): number {
    if (typeof arrival !== "string") return this.#receive(session, arrival);
    this.#replicator.disconnect(session, arrival);
    this.wake();
    return 0;
  }

  #receive(session: SessionId, frame: Uint8Array): number {
    if (!this.#channels.has(session) || this.#failure !== undefined) return 0;
    const now = this.#options.clock.now();
    const decoded = decodeMessage(frame, this.#replicator.isGreeted(session));
    const { telemetry } = this.#options;
    if (decoded.type === "message") telemetry.messageReceived(decoded.message, frame.length);
    else telemetry.unknownReceived(frame.length);
    if (decoded.type === "message") this.#replicator.receive(session, decoded.number, decoded.message, now);
    else if (decoded.type === "unknown") this.#replicator.receiveUnknown(session, decoded.number, now);
    else this.#replicator.receiveBad(session, decoded.reason, decoded.code);
    this.wake();
    return decoded.type === "message" && decoded.message.type === "page" ? decoded.message.entries.length : 0;
  }

  /** Memory only, and nobody to tell: what is ready is durable, with no promise between. */
  #commitAtOnce(): void {
    this.#committing = true;
    for (let ready = this.#replicator.takeReady(); ready !== undefined; ready = this.#replicator.takeReady()) {
      this.#settle(ready, undefined);
    }
    this.#committing = false;
  }

  /** One record after the other, until nothing is ready. Starts in a microtask: writes of one turn share a record. */
  async #commit(): Promise<void> {
    this.#committing = true;
    await Promise.resolve();
    for (let ready = this.#takeReady(); ready !== undefined; ready = this.#takeReady()) {
      const { log, telemetry } = this.#options;
      const began = log === undefined ? 0 : telemetry.now();
      try {
        await log?.append(ready.ops, ready.lsn);
      } catch (error) {
        this.fail(error as ReplicaError);
      }
      if (this.#failure !== undefined) return;
      this.#settle(ready, log === undefined ? undefined : telemetry.now() - began);
    }
    this.#committing = false;
    this.#onIdle();
    // A wait for what is durable already, issued while the last record was on its way.
    this.#waits.answer(this.#replicator.durable.lsn);
  }

  /** What becomes the next record, unless some are still to be answered, who may write first. */
  #takeReady(): Ready | undefined {
    return this.#waits.isAnswering ? undefined : this.#replicator.takeReady();
  }

  /** @param durationMs  that the log took for it, if there is one */
  #settle(ready: Ready, durationMs: number | undefined): void {
    this.#options.telemetry.committed(ready, durationMs);
    this.#replicator.persisted(ready);
    this.#send();
    this.#options.publish(ready.changes);
    this.#waits.answer(this.#replicator.durable.lsn);
    for (const event of this.#replicator.takeEvents()) this.#handle(event);
    this.#options.onStep();
    // What waited for the disk.
    this.#takeTurn();
  }

  #send(): void {
    let body: { message: Message; bytes: Uint8Array } | undefined;
    for (const { session, frame, message } of this.#replicator.takeOutgoing()) {
      const open = this.#channels.get(session);
      if (open === undefined || this.#failure !== undefined) continue;
      if (body?.message !== message) body = { message, bytes: encodeBody(message) };
      const bytes = frameOf(body.bytes, frame);
      open.bytes.out += bytes.length;
      this.#options.telemetry.messageSent(message, bytes.length);
      open.channel.send(bytes);
    }
  }

  #handle(event: SessionEvent): void {
    if (event.type === "end") {
      const open = this.#channels.get(event.session);
      if (open === undefined) return;
      // The event first: whoever hears of it may still ask for the channel.
      this.#options.onEvent(event);
      this.#channels.delete(event.session);
      open.channel.close();
      return;
    }
    this.#options.onEvent(event);
  }

  /** What is left of this turn is for others; in the next one goes on what had to be left. */
  #takeTurn(): void {
    if (this.#isTurnDue || !(this.#inbox.wantsTurn || this.#isReplicatorBehind)) return;
    this.#isTurnDue = true;
    this.#options.timers.after(0, () => {
      this.#isTurnDue = false;
      this.#inbox.turn();
      if (this.#isReplicatorBehind) this.#replicator.turn(this.#options.clock.now());
      this.wake();
    });
  }

  get #isReplicatorBehind(): boolean {
    return this.#replicator.wantsTurn && !this.#stopped && this.#failure === undefined;
  }

  #scheduleTick(): void {
    this.#cancelTick = this.#options.timers.after(TICK_MS, () => {
      if (this.#stopped || this.#failure !== undefined) return;
      this.#scheduleTick();
      this.#replicator.tick(this.#options.clock.now());
      this.wake();
    });
  }
}
