/**
 * Several replicators joined by links whose every step the caller decides: which message is delivered,
 * when a record becomes durable, which link breaks. Messages are passed as values; frames, disks and
 * processes are not part of it. Knows the true history, so that it can check coverage (invariant I2).
 */
import { CoreState } from "../../src/core/core-state.ts";
import { beats } from "../../src/core/lww.ts";
import { NO_SLOT } from "../../src/core/table.ts";
import { type VectorPairs, VersionVector } from "../../src/core/version-vector.ts";
import type { Outgoing, Ready, SessionId } from "../../src/sync/committed.ts";
import type { FlowLimits } from "../../src/sync/flow.ts";
import type { Message } from "../../src/sync/messages.ts";
import { Replicator } from "../../src/sync/replicator.ts";
import type { LocalWrite } from "../../src/sync/state-writer.ts";
import { type Entry, type Epoch, makeOrigin, type NodeId } from "../../src/types.ts";

interface Link {
  readonly from: Node;
  readonly to: Node;
  readonly fromSession: SessionId;
  readonly toSession: SessionId;
  queue: Outgoing[];
  open: boolean;
}

export class Node {
  readonly name: NodeId;
  readonly state: CoreState;
  readonly replicator: Replicator;
  /** Taken, on its way to the disk. */
  writing: Ready | undefined;
  /** Entries in the order in which they were published, with their batch. */
  readonly published: { batch: string; entry: Entry }[] = [];
  skewMs = 0;
  /** Writes and coverage that are durable here. */
  readonly durable = new VersionVector();
  readonly durableWrites = new Set<string>();

  constructor(index: number, flow: FlowLimits | undefined) {
    this.name = `n${index}` as NodeId;
    this.state = new CoreState(makeOrigin(this.name, index.toString(16).padStart(16, "0") as Epoch));
    this.replicator = new Replicator({
      state: this.state,
      clusterId: "test",
      incarnation: index.toString(16).padStart(16, "f"),
      limits: { maxKeyBytes: 100, maxValueBytes: 100, maxKeys: 1e6, maxBytes: 1e9, maxDriftMs: 60_000 },
      isReadable: () => true,
      ...(flow === undefined ? {} : { flow }),
      nextEpoch: () => {
        throw new Error("no replica of this test loses its identity");
      },
    });
  }
}

export class Mesh {
  readonly nodes: Node[];
  readonly history: Entry[] = [];
  now = 1_700_000_000_000;
  delivered = 0;
  entriesDelivered = 0;
  #links: Link[] = [];
  #sessions = 0;

  constructor(count: number, flow?: FlowLimits) {
    this.nodes = Array.from({ length: count }, (_, index) => new Node(index, flow));
  }

  node(index: number): Node {
    return this.nodes[index % this.nodes.length]!;
  }

  /** Keys and values are small numbers; a negative value deletes. */
  write(index: number, writes: { key: number; value: number }[]): void {
    const node = this.node(index);
    const distinct = new Map(writes.map((write) => [write.key, write]));
    const local: LocalWrite[] = [...distinct.values()].map(({ key, value }) => ({
      key: Uint8Array.of(0x41 + key),
      value: value < 0 ? null : Uint8Array.of(value),
      expiresAt: 0,
    }));
    this.history.push(...node.replicator.write(local, this.now + node.skewMs));
    this.#collect(node);
  }

  isConnected(a: number, b: number): boolean {
    const [from, to] = [this.node(a), this.node(b)];
    return this.#links.some((link) => link.open && link.from === from && link.to === to);
  }

  connect(a: number, b: number): void {
    const [from, to] = [this.node(a), this.node(b)];
    if (from === to || this.isConnected(a, b)) return;
    const [fromSession, toSession] = [++this.#sessions, ++this.#sessions];
    this.#links.push({ from, to, fromSession, toSession, queue: [], open: true });
    this.#links.push({ from: to, to: from, fromSession: toSession, toSession: fromSession, queue: [], open: true });
    from.replicator.connect(fromSession, true, this.now + from.skewMs);
    to.replicator.connect(toSession, false, this.now + to.skewMs);
    this.#collect(from);
    this.#collect(to);
  }

  /** What is on its way is lost. */
  disconnect(a: number, b: number): void {
    const [from, to] = [this.node(a), this.node(b)];
    for (const link of this.#links) {
      if (!link.open || !((link.from === from && link.to === to) || (link.from === to && link.to === from))) continue;
      link.open = false;
      link.from.replicator.disconnect(link.fromSession, "cut");
      this.#collect(link.from);
    }
    this.#links = this.#links.filter(({ open }) => open);
  }

  /** Delivers the next message of some link; returns whether there was one. */
  deliver(choice: number): boolean {
    const waiting = this.#links.filter(({ queue }) => queue.length > 0);
    const link = waiting[choice % Math.max(1, waiting.length)];
    const outgoing = link?.queue.shift();
    if (link === undefined || outgoing === undefined) return false;
    this.delivered += 1;
    if (outgoing.message.type === "page") this.entriesDelivered += outgoing.message.entries.length;
    link.to.replicator.receive(link.toSession, outgoing.frame, outgoing.message, this.now + link.to.skewMs);
    this.#collect(link.to);
    return true;
  }

  /** Begins to write a record, or ends writing one. */
  commit(index: number): void {
    const node = this.node(index);
    if (node.writing === undefined) {
      node.writing = node.replicator.takeReady();
      return;
    }
    const ready = node.writing;
    node.writing = undefined;
    for (const op of ready.ops) {
      if (op.type === "cover") node.durable.raise(op.origin, op.seq);
      if (op.type !== "set") continue;
      node.durableWrites.add(`${op.entry.origin} ${op.entry.seq}`);
      if (op.entry.origin === node.state.origin) node.durable.raise(op.entry.origin, op.entry.seq);
    }
    node.replicator.persisted(ready);
    for (const { entry } of ready.changes) node.published.push({ batch: `${entry.stamp} ${entry.origin}`, entry });
    this.#collect(node);
  }

  tick(index: number): void {
    const node = this.node(index);
    node.replicator.tick(this.now + node.skewMs);
    this.#collect(node);
  }

  /** Until nothing moves any more: everything becomes durable and is delivered, and time passes. */
  settle(): void {
    for (let idle = 0, step = 0; idle < 12; step += 1) {
      if (step > 20_000) throw new Error("the mesh does not come to rest");
      let moved = false;
      for (const [index, node] of this.nodes.entries()) {
        while (node.replicator.hasReady || node.writing !== undefined) {
          this.commit(index);
          moved = true;
        }
      }
      while (this.deliver(0)) moved = true;
      for (const index of this.nodes.keys()) this.tick(index);
      idle = moved ? 0 : idle + 1;
    }
  }

  /** Invariant I2 against the true history. */
  checkCoverage(): void {
    for (const { name, state } of this.nodes) {
      for (const write of this.history) {
        if (!state.covered.covers(write.origin, write.seq)) continue;
        const slot = state.table.find(write.key);
        if (slot === NO_SLOT || beats(write, state.table.entryAt(slot))) {
          throw new Error(`${name} covers ${write.origin} ${write.seq} but holds nothing that dominates it`);
        }
      }
    }
  }

  /** All replicas hold what the history says, to the byte. */
  checkConverged(): void {
    const winners = new Map<number, Entry>();
    for (const write of this.history) {
      const best = winners.get(write.key[0]!);
      if (best === undefined || beats(write, best)) winners.set(write.key[0]!, write);
    }
    for (const { name, state } of this.nodes) {
      if (state.table.size !== winners.size)
        throw new Error(`${name} holds ${state.table.size} keys of ${winners.size}`);
      for (const winner of winners.values()) {
        const slot = state.table.find(winner.key);
        const held = slot === NO_SLOT ? undefined : state.table.entryAt(slot);
        if (held?.origin !== winner.origin || held.seq !== winner.seq) {
          throw new Error(`${name} holds ${held?.origin} ${held?.seq}, not ${winner.origin} ${winner.seq}`);
        }
      }
      for (const { origin, seq } of this.history) {
        if (!state.covered.covers(origin, seq)) throw new Error(`${name} does not cover ${origin} ${seq}`);
      }
    }
    const roots = new Set(this.nodes.map(({ state }) => state.table.digestRoot()));
    if (roots.size !== 1) throw new Error(`digests differ: ${[...roots].join(" ")}`);
  }

  /** Time as the wall clocks show it, without ticks. */
  pass(ms: number): void {
    this.now += ms;
  }

  #collect(node: Node): void {
    for (const outgoing of node.replicator.takeOutgoing()) {
      checkDurable(node, outgoing.message);
      const link = this.#links.find(({ from, fromSession }) => from === node && fromSession === outgoing.session);
      link?.queue.push(outgoing);
    }
    for (const event of node.replicator.takeEvents()) {
      if (event.type !== "end" || event.code === "lost") continue;
      const link = this.#links.find(({ fromSession }) => fromSession === event.session);
      if (link === undefined) continue;
      throw new Error(`${node.name} ended a session: ${event.code} ${event.detail}`);
    }
  }
}

/** Invariant I4: what leaves a replica, or is claimed by it, is durable there. */
function checkDurable(node: Node, message: Message): void {
  let claims: VectorPairs = [];
  if (message.type === "hello" || message.type === "ack") claims = message.vector;
  if (message.type === "page") {
    claims = message.runTo > 0 ? [...(message.mark ?? []), [node.state.origin, message.runTo]] : (message.mark ?? []);
    for (const { origin, seq } of message.entries) {
      if (!node.durableWrites.has(`${origin} ${seq}`)) throw new Error(`${node.name} sends ${origin} ${seq} too early`);
    }
  }
  for (const [origin, seq] of claims) {
    if (!node.durable.covers(origin, seq)) throw new Error(`${node.name} claims ${origin} ${seq} too early`);
  }
}
