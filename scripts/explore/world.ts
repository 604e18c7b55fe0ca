/**
 * A few replicas of the real core, every step of which somebody chooses: what is written, which record becomes durable,
 * which message is delivered, which connection breaks, who crashes. Knows the true history and objects to what must not be.
 */

import type { CoreState } from "../../src/core/core-state.ts";
import { beats } from "../../src/core/lww.ts";
import type { StateOp } from "../../src/core/ops.ts";
import type { Outgoing, Ready, SessionId } from "../../src/sync/committed.ts";
import type { FlowLimits } from "../../src/sync/flow.ts";
import type { Message } from "../../src/sync/messages.ts";
import type { Replicator } from "../../src/sync/replicator.ts";
import { type Entry, type Epoch, type Lsn, makeOrigin, type NodeId } from "../../src/types.ts";
import { fingerprint } from "./fingerprint.ts";
import type { OpenCore } from "./open-core.ts";

/** How much of what may happen. */
export interface Scope {
  readonly replicas: number;
  readonly keys: number;
  readonly writes: number;
  /** Connections that break. They are dialed again at any time. */
  readonly cuts: number;
  readonly crashes: number;
  /** How often so much time passes that waits for authors end. */
  readonly waits: number;
  /** How often a replica ticks. With ticks, tombstones are collected: rounds take a few of them. */
  readonly ticks: number;
  /** Whether the search begins before the first hello; else once all are connected and nothing is under way. */
  readonly fromHello: boolean;
  /** Whether all hold the first key by then, so that there is something to delete. */
  readonly seeded: boolean;
  /** Pairs that are connected. */
  readonly links: readonly (readonly [number, number])[];
  /** Two keys are written as one batch. */
  readonly batches: boolean;
  /** Deletes only: what collection is about. */
  readonly deletesOnly: boolean;
  readonly flow?: FlowLimits;
}

/** One step, as text: what the search stores, replays and prints. */
export type Action = string;

interface Replica {
  readonly name: NodeId;
  core: CoreState;
  sync: Replicator;
  /** Taken and not yet durable. */
  writing: Ready | undefined;
  /** What is on the disk. */
  readonly log: { readonly ops: readonly StateOp[]; readonly lsn: Lsn }[];
  lives: number;
  tick: number;
}

interface Link {
  readonly from: number;
  readonly to: number;
  readonly session: SessionId;
  readonly remote: SessionId;
  readonly queue: Outgoing[];
}

const NOW = 1_700_000_000_000;
/** Ticks after which a relay waits no longer. */
const WAIT_TICKS = 7;
const FIRST_KEY = 0x41;
const SETTLE_STEPS_MAX = 5000;

export class World {
  readonly #core: OpenCore;
  readonly #scope: Scope;
  readonly #replicas: Replica[];
  #links: Link[] = [];
  readonly #history: Entry[] = [];
  #left: { writes: number; cuts: number; crashes: number; waits: number; ticks: number };
  #sessions = 0;

  constructor(core: OpenCore, scope: Scope) {
    this.#core = core;
    this.#scope = scope;
    const { writes, cuts, crashes, waits, ticks } = scope;
    this.#left = { writes, cuts, crashes, waits, ticks };
    this.#replicas = Array.from({ length: scope.replicas }, (_, index) => this.#newReplica(index));
    for (const [a, b] of scope.links) this.#connect(a, b);
    if (scope.seeded) {
      this.#write(0, [{ key: 0, isDelete: false }]);
      this.#left.writes += 1;
    }
    if (!scope.fromHello) this.#comeToRest();
  }

  /** Everything that may happen next. */
  actions(): Action[] {
    const actions: Action[] = [];
    const { writes, cuts, crashes, waits, ticks } = this.#left;
    for (const [index, { writing, sync }] of this.#replicas.entries()) {
      if (writing !== undefined) actions.push(`durable ${index}`);
      else if (sync.hasReady) actions.push(`append ${index}`);
      if (crashes > 0) actions.push(`crash ${index}`);
      if (waits > 0) actions.push(`wait ${index}`);
      if (ticks > 0) actions.push(`tick ${index}`);
      if (writes === 0) continue;
      for (let key = 0; key < this.#scope.keys; key++) {
        if (!this.#scope.deletesOnly) actions.push(`put ${index} ${key}`);
        actions.push(`del ${index} ${key}`);
      }
      if (this.#scope.batches) actions.push(`batch ${index}`);
    }
    for (const { from, to, queue } of this.#links) {
      if (queue.length > 0) actions.push(`deliver ${from} ${to}`);
      if (cuts > 0 && from < to) actions.push(`cut ${from} ${to}`);
    }
    for (const [a, b] of this.#scope.links) if (!this.#isConnected(a, b)) actions.push(`connect ${a} ${b}`);
    return actions;
  }

  /** @throws when something holds that must not */
  do(action: Action): void {
    const [name = "", first = "0", second = "0"] = action.split(" ");
    const [a, b] = [Number(first), Number(second)];
    switch (name) {
      case "put":
        return this.#write(a, [{ key: b, isDelete: false }]);
      case "del":
        return this.#write(a, [{ key: b, isDelete: true }]);
      case "batch":
        return this.#write(a, [
          { key: 0, isDelete: false },
          { key: 1, isDelete: false },
        ]);
      case "append":
        this.#at(a).writing = this.#at(a).sync.takeReady();
        return;
      case "durable":
        return this.#durable(a);
      case "deliver":
        return this.#deliver(a, b);
      case "cut":
        this.#left.cuts -= 1;
        return this.#cut(a, b, true);
      case "connect":
        return this.#connect(a, b);
      case "wait":
        this.#left.waits -= 1;
        return this.#wait(a, WAIT_TICKS);
      case "tick":
        this.#left.ticks -= 1;
        return this.#wait(a, 1);
      case "crash":
        this.#left.crashes -= 1;
        return this.#crash(a);
      default:
        throw new Error(`there is no action ${action}`);
    }
  }

  /** Equal for two worlds from which the same may follow. */
  fingerprint(): string {
    const { keys } = this.#scope;
    const plain = this.#fingerprint();
    if (keys !== 2) return plain;
    // The names of two keys do not matter.
    const swapped = this.#fingerprint([FIRST_KEY, FIRST_KEY + 1]);
    return plain < swapped ? plain : swapped;
  }

  /** Some tombstone has been collected. */
  get hasCollected(): boolean {
    return this.#replicas.some(({ core }) => core.frontier.size > 0);
  }

  /** Nothing is under way. */
  get isQuiet(): boolean {
    return (
      this.#replicas.every(({ writing, sync }) => writing === undefined && !sync.hasReady) &&
      this.#links.every(({ queue }) => queue.length === 0)
    );
  }

  /** Lets everything heal and come to rest, and compares. Nothing may be done afterwards. @throws */
  settle(): void {
    for (let idle = 0, step = 0; idle < 3; step++) {
      if (step > SETTLE_STEPS_MAX) throw new Error("it does not come to rest");
      for (const [a, b] of this.#scope.links) this.#connect(a, b);
      idle = this.#comeToRest() ? 0 : idle + 1;
      for (const index of this.#replicas.keys()) this.#wait(index, WAIT_TICKS);
    }
    this.#comeToRest();
    this.#checkConverged();
  }

  /** Writes and delivers until there is nothing left to do; returns whether there was. */
  #comeToRest(): boolean {
    let hasMoved = false;
    for (let moved = true, step = 0; moved; step++) {
      if (step > SETTLE_STEPS_MAX) throw new Error("messages do not come to an end");
      moved = false;
      for (const [index, replica] of this.#replicas.entries()) {
        while (replica.writing !== undefined || replica.sync.hasReady) {
          moved = true;
          replica.writing ??= replica.sync.takeReady();
          this.#durable(index);
        }
      }
      for (const link of [...this.#links]) {
        while (link.queue.length > 0 && this.#links.includes(link)) {
          moved = true;
          this.#deliver(link.from, link.to);
        }
      }
      hasMoved ||= moved;
    }
    return hasMoved;
  }

  // ---- steps ---------------------------------------------------------------------------------

  #newReplica(index: number): Replica {
    const name = `n${index}` as NodeId;
    const replica: Replica = {
      name,
      core: new this.#core.CoreState(makeOrigin(name, epochOfLife(0))),
      sync: undefined as unknown as Replicator,
      writing: undefined,
      log: [],
      lives: 0,
      tick: 0,
    };
    replica.sync = this.#newReplicator(replica);
    return replica;
  }

  #newReplicator(replica: Replica): Replicator {
    const { flow, ticks } = this.#scope;
    return new this.#core.Replicator({
      state: replica.core,
      clusterId: "explore",
      incarnation: `${replica.name}${replica.lives}`.padStart(16, "0"),
      limits: { maxKeyBytes: 100, maxValueBytes: 100, maxKeys: 1e6, maxBytes: 1e9, maxDriftMs: 60_000 },
      isReadable: () => true,
      nextEpoch: () => {
        throw new Error("a replica takes a new epoch, and nothing has given it a reason");
      },
      ...(flow === undefined ? {} : { flow }),
      // A new round may begin with every tick.
      ...(ticks === 0 ? {} : { members: () => this.#replicas.map(({ name }) => name), roundMs: 1 }),
    });
  }

  #write(index: number, writes: readonly { readonly key: number; readonly isDelete: boolean }[]): void {
    this.#left.writes -= 1;
    const value = Uint8Array.of(this.#left.writes + 1);
    const local = writes.map(({ key, isDelete }) => ({
      key: Uint8Array.of(FIRST_KEY + key),
      value: isDelete ? null : value,
      expiresAt: 0,
    }));
    this.#history.push(...this.#at(index).sync.write(local, NOW));
    this.#collect(index);
  }

  #durable(index: number): void {
    const replica = this.#at(index);
    const ready = replica.writing;
    if (ready === undefined) return;
    replica.writing = undefined;
    if (ready.ops.length > 0) replica.log.push({ ops: ready.ops, lsn: ready.lsn });
    replica.sync.persisted(ready);
    this.#collect(index);
  }

  #deliver(from: number, to: number): void {
    const link = this.#link(from, to);
    const outgoing = link?.queue.shift();
    if (link === undefined || outgoing === undefined) return;
    this.#at(to).sync.receive(link.remote, outgoing.frame, outgoing.message, NOW);
    this.#collect(to);
  }

  #wait(index: number, ticks: number): void {
    const replica = this.#at(index);
    for (let n = 0; n < ticks; n++) replica.sync.tick(NOW);
    replica.tick += ticks;
    this.#collect(index);
  }

  #connect(a: number, b: number): void {
    if (this.#isConnected(a, b)) return;
    const [session, remote] = [++this.#sessions, ++this.#sessions];
    this.#links.push({ from: a, to: b, session, remote, queue: [] });
    this.#links.push({ from: b, to: a, session: remote, remote: session, queue: [] });
    this.#at(a).sync.connect(session, true, NOW);
    this.#at(b).sync.connect(remote, false, NOW);
    this.#collect(a);
    this.#collect(b);
  }

  /** @param tells  both ends hear of it; else only `b` does, `a` has crashed */
  #cut(a: number, b: number, tells: boolean): void {
    const ends = [this.#link(a, b), this.#link(b, a)];
    this.#links = this.#links.filter((link) => !ends.includes(link));
    for (const end of ends) {
      if (end === undefined || (end.from === a && !tells)) continue;
      this.#at(end.from).sync.disconnect(end.session, "cut");
      this.#collect(end.from);
    }
  }

  /** What was not durable is gone; the replica starts again on its log, under a new epoch, as `storage/open.ts` has it. */
  #crash(index: number): void {
    const replica = this.#at(index);
    for (const other of this.#replicas.keys()) if (other !== index) this.#cut(index, other, false);
    replica.lives += 1;
    replica.writing = undefined;
    replica.core = new this.#core.CoreState(makeOrigin(replica.name, epochOfLife(0)));
    for (const { ops, lsn } of replica.log) replica.core.replay(ops, lsn);
    const rotate = { type: "rotate", epoch: epochOfLife(replica.lives) } as const;
    replica.log.push({ ops: [rotate], lsn: replica.core.lsn });
    replica.core.execute(rotate);
    replica.sync = this.#newReplicator(replica);
    this.#checkCoverage(replica);
  }

  /** Takes what a replica has to say, after every step of its own. */
  #collect(index: number): void {
    const replica = this.#at(index);
    for (const outgoing of replica.sync.takeOutgoing()) {
      this.#checkDurable(replica, outgoing.message);
      this.#links.find(({ from, session }) => from === index && session === outgoing.session)?.queue.push(outgoing);
    }
    for (const event of replica.sync.takeEvents()) {
      if (event.type !== "end" || event.code === "lost") continue;
      if (event.code !== "new-epoch" && event.code !== "duplicate") {
        throw new Error(`${replica.name} ended a session: ${event.code} ${event.detail}`);
      }
    }
    this.#checkCoverage(replica);
  }

  // ---- checks --------------------------------------------------------------------------------

  #checkCoverage({ name, core }: Replica): void {
    for (const write of this.#history) {
      if (!core.covered.covers(write.origin, write.seq) || this.#isDominated(core, write)) continue;
      throw new Error(`${name} covers ${write.origin} ${write.seq} and holds nothing that dominates it`);
    }
  }

  #isDominated({ table }: CoreState, write: Entry): boolean {
    const slot = table.find(write.key);
    if (slot !== -1) return !beats(write, table.entryAt(slot));
    // Absent: some tombstone that beats it, or it itself, was collected.
    return this.#history.some((other) => other.value === null && other.key[0] === write.key[0] && !beats(write, other));
  }

  /** What leaves a replica, or is claimed by it, is on its disk. */
  #checkDurable({ name, log, core }: Replica, message: Message): void {
    if (message.type !== "page" && message.type !== "hello" && message.type !== "ack") return;
    const ops = log.flatMap((record) => record.ops);
    const isDurable = (origin: string, seq: number): boolean =>
      ops.some(
        (op) =>
          (op.type === "cover" && op.origin === origin && op.seq >= seq) ||
          (op.type === "set" &&
            op.entry.origin === origin &&
            (op.entry.seq === seq || (origin.startsWith(`${name}/`) && op.entry.seq >= seq))),
      );
    const claims = message.type === "page" ? (message.mark ?? []) : message.vector;
    for (const [origin, seq] of claims) {
      if (!isDurable(origin, seq)) throw new Error(`${name} claims ${origin} ${seq} too early`);
    }
    if (message.type !== "page") return;
    if (message.runTo > 0 && !isDurable(core.origin, message.runTo))
      throw new Error(`${name} claims its run too early`);
    for (const { origin, seq } of message.entries) {
      if (!isDurable(origin, seq)) throw new Error(`${name} sends ${origin} ${seq} too early`);
    }
  }

  /** All hold the same, and it is the winner of what any of them still has. */
  #checkConverged(): void {
    const [first, ...others] = this.#replicas;
    if (first === undefined) return;
    for (const other of others) {
      if (other.core.table.digestRoot() !== first.core.table.digestRoot()) {
        throw new Error(`${other.name} and ${first.name} hold different entries at rest`);
      }
      if (!other.core.covered.dominates(first.core.covered) || !first.core.covered.dominates(other.core.covered)) {
        throw new Error(`${other.name} and ${first.name} cover different writes at rest`);
      }
    }
    for (const { name, log } of this.#replicas) {
      for (const { ops } of log) {
        for (const op of ops) {
          if (op.type !== "set" || this.#isDominated(first.core, op.entry)) continue;
          throw new Error(`${first.name} has lost ${op.entry.origin} ${op.entry.seq}, which is on the disk of ${name}`);
        }
      }
    }
  }

  // ---- small things --------------------------------------------------------------------------

  #at(index: number): Replica {
    const replica = this.#replicas[index];
    if (replica === undefined) throw new RangeError(`there is no replica ${index}`);
    return replica;
  }

  #link(from: number, to: number): Link | undefined {
    return this.#links.find((link) => link.from === from && link.to === to);
  }

  #isConnected(a: number, b: number): boolean {
    return this.#link(a, b) !== undefined;
  }

  #fingerprint(swap?: readonly [number, number]): string {
    const names = new Map<number, number>();
    const rename = (session: number): number => {
      const known = names.get(session) ?? names.size;
      names.set(session, known);
      return known;
    };
    const parts = this.#replicas.map(({ core, sync, writing, log, lives, tick }) =>
      fingerprint([core, sync, writing, log, lives], tick, swap),
    );
    const links = this.#links.map(({ from, to, session, queue }) =>
      [from, to, rename(session), fingerprint(queue, 0, swap)].join(" "),
    );
    return [...parts, ...links.sort(), Object.values(this.#left).join(" ")].join("\n");
  }
}

function epochOfLife(lives: number): Epoch {
  return lives.toString(16).padStart(16, "0") as Epoch;
}
