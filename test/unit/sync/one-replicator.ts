/** One real replicator and a peer that is played by the test, message by message. */
import { CoreState } from "../../../src/core/core-state.ts";
import { NO_SLOT } from "../../../src/core/table.ts";
import { stampAt } from "../../../src/hybrid-logical-clock.ts";
import type { SessionEvent, SessionId } from "../../../src/sync/committed.ts";
import type { Hello, Message, Page } from "../../../src/sync/messages.ts";
import { Replicator, type ReplicatorOptions } from "../../../src/sync/replicator.ts";
import { type Entry, type Epoch, makeOrigin, type NodeId, type Origin } from "../../../src/types.ts";

export const NOW = 1_700_000_000_000;
export const OWN = makeOrigin("own" as NodeId, "00000000000000aa" as Epoch);
export const PEER = makeOrigin("peer" as NodeId, "00000000000000bb" as Epoch);
export const THIRD = makeOrigin("third" as NodeId, "00000000000000cc" as Epoch);

export function entry(key: string, seq: number, more: Partial<Entry> = {}): Entry {
  const stamp = stampAt(NOW) + seq;
  return { key: Buffer.from(key), value: Uint8Array.of(seq), stamp, origin: PEER, seq, expiresAt: 0, ...more };
}

export function hello(more: Partial<Hello> = {}): Hello {
  return {
    type: "hello",
    versionMin: 1,
    versionMax: 1,
    clusterId: "test",
    nodeId: "peer" as NodeId,
    epoch: "00000000000000bb" as Epoch,
    incarnation: "1111111111111111",
    vector: [],
    addresses: [],
    links: [],
    wallClock: NOW,
    frontier: [],
    features: 0,
    ...more,
  };
}

/** The hello of another peer, the author of THIRD. */
export function third(more: Partial<Hello> = {}): Hello {
  return hello({ nodeId: "third" as NodeId, epoch: "00000000000000cc" as Epoch, incarnation: "3".repeat(16), ...more });
}

export function page(entries: readonly Entry[], more: Partial<Page> = {}): Page {
  return { type: "page", entries, last: true, runFrom: 0, runTo: 0, mark: null, ackNow: false, ...more };
}

export class OneReplicator {
  readonly state = new CoreState(OWN);
  readonly replicator: Replicator;
  /** All that was sent, by session. */
  readonly sent = new Map<SessionId, Message[]>();
  readonly events: SessionEvent[] = [];
  now = NOW;
  readonly #frames = new Map<SessionId, number>();

  constructor(options: Partial<ReplicatorOptions> = {}) {
    this.replicator = new Replicator({
      state: this.state,
      clusterId: "test",
      incarnation: "9999999999999999",
      limits: { maxKeyBytes: 20, maxValueBytes: 1000, maxKeys: 1000, maxBytes: 1e6, maxDriftMs: 60_000 },
      isReadable: () => true,
      nextEpoch: () => "00000000000000ff" as Epoch,
      ...options,
    });
  }

  /** Opens a session and lets the played peer say hello. */
  meet(id: SessionId, greeting: Hello = hello(), dialed = true): void {
    this.replicator.connect(id, dialed, this.now);
    this.receive(id, greeting);
  }

  receive(id: SessionId, message: Message, frame = (this.#frames.get(id) ?? 0) + 1): void {
    this.#frames.set(id, frame);
    this.replicator.receive(id, frame, message, this.now);
    this.collect();
  }

  write(key: string, value: number | null): void {
    const bytes = value === null ? null : Uint8Array.of(value);
    this.replicator.write([{ key: Buffer.from(key), value: bytes, expiresAt: 0 }], this.now);
    this.collect();
  }

  /** Everything becomes durable. */
  commit(): void {
    for (let ready = this.replicator.takeReady(); ready !== undefined; ready = this.replicator.takeReady()) {
      this.replicator.persisted(ready);
    }
    this.collect();
  }

  tick(times = 1): void {
    for (let n = 0; n < times; n += 1) this.replicator.tick(this.now);
    this.collect();
  }

  collect(): void {
    for (const { session, message } of this.replicator.takeOutgoing()) {
      const messages = this.sent.get(session) ?? [];
      messages.push(message);
      this.sent.set(session, messages);
    }
    this.events.push(...this.replicator.takeEvents());
  }

  /** How many frames were sent. */
  frames(id: SessionId): number {
    return [...this.replicator.sessions].find((session) => session.id === id)?.framesSent ?? 0;
  }

  /** What was sent of one kind, and forgotten with this call. */
  take<Type extends Message["type"]>(id: SessionId, type: Type): Extract<Message, { type: Type }>[] {
    const messages = this.sent.get(id) ?? [];
    this.sent.set(
      id,
      messages.filter((message) => message.type !== type),
    );
    return messages.filter((message): message is Extract<Message, { type: Type }> => message.type === type);
  }

  valueOf(key: string): number | null | undefined {
    const slot = this.state.table.find(Buffer.from(key));
    if (slot === NO_SLOT) return undefined;
    return this.state.table.valueAt(slot)?.[0] ?? null;
  }

  ends(): string[] {
    return this.events.flatMap((event) => (event.type === "end" ? [event.code] : []));
  }

  covered(origin: Origin): number {
    return this.state.covered.get(origin);
  }
}
