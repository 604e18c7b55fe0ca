/**
 * Several replicators joined by links whose every step the caller decides: which message is delivered,
 * when a record becomes durable, which link breaks. Messages are passed as values; frames, disks and
 * processes are not part of it. Knows the true history, so that it can check coverage (invariant I2).
 */
import { CoreState } from "../../src/core/core-state.ts";
import { beats } from "../../src/core/lww.ts";
import type { StateOp } from "../../src/core/ops.ts";
import { NO_SLOT } from "../../src/core/table.ts";
import { type VectorPairs, VersionVector } from "../../src/core/version-vector.ts";
import type { Outgoing, Ready, SessionId } from "../../src/sync/committed.ts";
import type { FlowLimits } from "../../src/sync/flow.ts";
import type { Message } from "../../src/sync/messages.ts";
import { Replicator } from "../../src/sync/replicator.ts";
import type { LocalWrite } from "../../src/sync/state-writer.ts";
import { type Entry, type Epoch, type Lsn, makeOrigin, type NodeId, nodeIdOf } from "../../src/types.ts";

interface Link {
  readonly from: Node;
  readonly to: Node;
  readonly fromSession: SessionId;
  readonly toSession: SessionId;
  queue: Outgoing[];
  open: boolean;
}

/** What a node has on its disk. */
export interface DurableRecord {
  readonly ops: readonly StateOp[];
  readonly lsn: Lsn;
}

/** What a node is opened with. */
interface Opening {
  readonly index: number;
  /** Counts the openings of all nodes: makes epochs and incarnations that are new, and ascend. */
  readonly count: number;
  readonly flow: FlowLimits | undefined;
  readonly repairs: boolean;
  readonly members: (() => readonly NodeId[]) | undefined;
  readonly records: readonly DurableRecord[];
}

export class Node {
  readonly name: NodeId;
  readonly state: CoreState;
  readonly replicator: Replicator;
  readonly records: DurableRecord[] = [];
  /** Taken, on its way to the disk. */
  writing: Ready | undefined;
  /** Entries in the order in which they were published, with their batch. */
  readonly published: { batch: string; entry: Entry }[] = [];
  skewMs = 0;
  /** Writes and coverage that are durable here. */
  readonly durable = new VersionVector();
  readonly durableWrites = new Set<string>();

  constructor({ index, count, flow, repairs, members, records }: Opening) {
    this.name = `n${index}` as NodeId;
    const epoch = count.toString(16).padStart(16, "0") as Epoch;
    this.state = new CoreState(makeOrigin(this.name, (records.length > 0 ? "0".repeat(16) : epoch) as Epoch));
    for (const { ops, lsn } of records) {
      this.state.replay(ops, lsn);
      this.#persist({ ops, lsn });
    }
    if (records.length > 0) this.#rotate(epoch);
    this.replicator = new Replicator({
      state: this.state,
      clusterId: "test",
      incarnation: count.toString(16).padStart(16, "f"),
      ...(members === undefined ? {} : { members, roundMs: 100 }),
      limits: { maxKeyBytes: 100, maxValueBytes: 100, maxKeys: 1e6, maxBytes: 1e9, maxDriftMs: 60_000 },
      isReadable: () => true,
      repairs,
      ...(flow === undefined ? {} : { flow }),
      nextEpoch: () => {
        throw new Error("no replica of this test loses its identity");
      },
    });
  }

  /** The record is on the disk. */
  persisted(ready: Ready): void {
    this.#persist(ready);
    this.replicator.persisted(ready);
    for (const { entry } of ready.changes) this.published.push({ batch: `${entry.stamp} ${entry.origin}`, entry });
  }

  #persist({ ops, lsn }: DurableRecord): void {
    this.records.push({ ops, lsn });
    for (const op of ops) {
      if (op.type === "cover") this.durable.raise(op.origin, op.seq);
      if (op.type !== "set") continue;
      this.durableWrites.add(`${op.entry.origin} ${op.entry.seq}`);
      if (nodeIdOf(op.entry.origin) === this.name) this.durable.raise(op.entry.origin, op.entry.seq);
    }
  }

  /** Every stop of this test is an unclean one: see PROTOCOL.md, "Identity". */
  #rotate(epoch: Epoch): void {
    const record = { ops: [{ type: "rotate", epoch } as const], lsn: this.state.lsn };
    this.state.replay(record.ops, record.lsn);
    this.records.push(record);
  }
}

export interface MeshOptions {
  readonly flow?: FlowLimits | undefined;
  /** Whether tombstones are collected. Default: no. */
  readonly collects?: boolean;
  /** Whether replicas whose digests differ compare what they hold, and mend it. Default: yes. */
  readonly repairs?: boolean;
  /** Called with every message that is delivered. */
  readonly onDeliver?: (message: Message) => void;
}

export class Mesh {
  readonly nodes: Node[];
  readonly history: Entry[] = [];
  /** Those whom tombstones wait for. */
  readonly members = new Set<NodeId>();
  /** By write: those of its key that its author had seen, all of them. */
  readonly #seen = new Map<string, Set<string>>();
  readonly #options: MeshOptions;
  #openings = 0;
  now = 1_700_000_000_000;
  delivered = 0;
  entriesDelivered = 0;
  #links: Link[] = [];
  #sessions = 0;

  constructor(count: number, options: MeshOptions = {}) {
    this.#options = options;
    this.nodes = Array.from({ length: count }, (_, index) => this.#open(index, []));
    for (const { name } of this.nodes) this.members.add(name);
  }

  #open(index: number, records: readonly DurableRecord[]): Node {
    const { flow, collects = false, repairs = true } = this.#options;
    const members = collects ? (): NodeId[] => [...this.members] : undefined;
    const count = this.#openings++;
    return new Node({ index, count, flow, repairs, members, records });
  }

  /** Stops a node, and opens it again with what its disk holds, or with other records. What was not durable is lost. */
  restart(index: number, records: readonly DurableRecord[] = this.node(index).records): void {
    const at = index % this.nodes.length;
    for (let other = 0; other < this.nodes.length; other += 1) this.disconnect(at, other);
    const before = this.node(at);
    const lost = this.history.filter(
      ({ origin, seq }) => nodeIdOf(origin) === before.name && !before.durableWrites.has(`${origin} ${seq}`),
    );
    for (const write of lost) this.history.splice(this.history.indexOf(write), 1);
    this.nodes[at] = this.#open(at, [...records]);
  }

  node(index: number): Node {
    return this.nodes[index % this.nodes.length]!;
  }

  /** Keys and values are small numbers; a negative value deletes. `ttlMs` of 0: it does not expire. */
  write(index: number, writes: { key: number; value: number; ttlMs?: number }[]): void {
    const node = this.node(index);
    const distinct = new Map(writes.map((write) => [write.key, write]));
    const local: LocalWrite[] = [...distinct.values()].map(({ key, value, ttlMs = 0 }) => ({
      key: Uint8Array.of(0x41 + key),
      value: value < 0 ? null : Uint8Array.of(value),
      expiresAt: value < 0 || ttlMs === 0 ? 0 : this.now + ttlMs,
    }));
    const before = local.map(({ key }) => {
      const slot = node.state.table.find(key);
      return slot === NO_SLOT ? undefined : nameOf(node.state.table.entryAt(slot));
    });
    const entries = node.replicator.write(local, this.now + node.skewMs);
    entries.forEach((entry, at) => {
      const replaced = before[at];
      const seen = replaced === undefined ? [] : [replaced, ...(this.#seen.get(replaced) ?? [])];
      this.#seen.set(nameOf(entry), new Set(seen));
    });
    this.history.push(...entries);
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
    this.#options.onDeliver?.(outgoing.message);
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
    node.persisted(ready);
    this.#collect(node);
  }

  /** Writes all that is ready. */
  commitAll(index: number): void {
    const node = this.node(index);
    while (node.replicator.hasReady || node.writing !== undefined) this.commit(index);
  }

  /** Goes on with what was too much for one turn; returns whether there was something. */
  turn(index: number): boolean {
    const node = this.node(index);
    if (!node.replicator.wantsTurn) return false;
    node.replicator.turn(this.now + node.skewMs);
    this.#collect(node);
    return true;
  }

  tick(index: number): void {
    const node = this.node(index);
    node.replicator.tick(this.now + node.skewMs);
    this.#collect(node);
  }

  /** Until nothing moves any more: everything becomes durable and is delivered, and time passes. */
  settle(idleTicks = 12): void {
    for (let idle = 0, ticks = 0; idle < idleTicks; ticks += 1) {
      if (ticks > 5000) throw new Error("the mesh does not come to rest");
      const hasMoved = this.#moveAll();
      for (const index of this.nodes.keys()) this.tick(index);
      idle = hasMoved ? 0 : idle + 1;
    }
  }

  /** Everything becomes durable and is delivered for so many ticks. */
  run(ticks: number): void {
    for (let n = 0; n < ticks; n += 1) {
      this.#moveAll();
      for (const index of this.nodes.keys()) this.tick(index);
    }
    this.#moveAll();
  }

  #moveAll(): boolean {
    for (let moved = false, step = 0; ; moved = true, step += 1) {
      if (step > 20_000) throw new Error("the mesh does not come to rest");
      let isMoving = false;
      for (const [index, node] of this.nodes.entries()) {
        if (node.replicator.hasReady || node.writing !== undefined) isMoving = true;
        this.commitAll(index);
        if (this.turn(index)) isMoving = true;
      }
      while (this.deliver(0)) isMoving = true;
      if (!isMoving) return moved;
    }
  }

  /**
   * Invariant I2 against the true history.
   * @param hasFaults  whether replicas were evicted, restored or wiped
   */
  checkCoverage(hasFaults = false): void {
    for (const { name, state } of this.nodes) {
      for (const write of this.history) {
        if (!state.covered.covers(write.origin, write.seq)) continue;
        const slot = state.table.find(write.key);
        // What slips in later, from a replica that had been evicted, may be older than what was forgotten.
        if ((slot === NO_SLOT || hasFaults) && this.#wasDeleted(write)) continue;
        if (slot === NO_SLOT || beats(write, state.table.entryAt(slot))) {
          throw new Error(`${name} covers ${write.origin} ${write.seq} but holds nothing that dominates it`);
        }
      }
    }
  }

  /** Whether a tombstone that dominates `write` may have been collected. What expires becomes one. */
  #wasDeleted(write: Entry): boolean {
    const isTombstone = (other: Entry): boolean =>
      (other.value === null || other.expiresAt > 0) &&
      Buffer.compare(other.key, write.key) === 0 &&
      !beats(write, other);
    return this.#options.collects === true && this.history.some(isTombstone);
  }

  /** Invariant I5: who covers a delete shows nothing that its author had seen. */
  checkNoResurrection(): void {
    for (const { name, state } of this.nodes) {
      for (const { origin, seq, key, value } of this.history) {
        if (value !== null || !state.covered.covers(origin, seq)) continue;
        const slot = state.table.find(key);
        if (slot === NO_SLOT || state.table.isTombstone(slot)) continue;
        const shown = nameOf(state.table.entryAt(slot));
        if (this.#seen.get(`${origin} ${seq}`)?.has(shown) === true) {
          throw new Error(`${name} shows ${shown}, which ${origin} ${seq} had deleted`);
        }
      }
    }
  }

  /** All replicas show the same; nothing that was not written. */
  checkAlike(): void {
    const views = this.nodes.map(({ state }) =>
      [...state.table.range()].map((entry) => `${String(entry.key[0])} ${nameOf(entry)}`).join(", "),
    );
    if (new Set(views).size !== 1) throw new Error(`the replicas differ: ${views.join(" | ")}`);
  }

  /** All replicas show what the history says; without collection, they hold it to the byte. */
  checkConverged(): void {
    const winners = new Map<number, Entry>();
    for (const write of this.history) {
      const best = winners.get(write.key[0]!);
      if (best === undefined || beats(write, best)) winners.set(write.key[0]!, write);
    }
    for (const { name, state } of this.nodes) {
      for (const winner of winners.values()) {
        const slot = state.table.find(winner.key);
        const isGone = winner.value === null || winner.expiresAt > 0;
        if (this.#options.collects === true && isGone && slot === NO_SLOT) continue;
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

  /** Every node compares what it holds with its peers, needed or not. */
  repair(): void {
    for (const node of this.nodes) {
      node.replicator.repair();
      this.#collect(node);
    }
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

function nameOf({ origin, seq }: { origin: string; seq: number }): string {
  return `${origin} ${seq}`;
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
