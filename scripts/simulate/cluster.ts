/** A cluster of simulated hosts under a plan: the true history, the observers of all replicas, and the checks at rest. */
import { crc32 } from "node:zlib";
import { decodeMessage } from "../../src/codec/messages.ts";
import { beats } from "../../src/core/lww.ts";
import type { Replica } from "../../src/replica.ts";
import { MemoryDisk } from "../../src/storage/memory-disk.ts";
import type { Message } from "../../src/sync/messages.ts";
import type { Owner } from "../../src/testing/scheduler.ts";
import { SeededRandom } from "../../src/testing/seeded-random.ts";
import { type SimProcess, Simulation } from "../../src/testing/simulation.ts";
import type { Origin } from "../../src/types.ts";
import { Facts, factsOf } from "./facts.ts";
import { fail } from "./failure.ts";
import { describe, History, type Write } from "./history.ts";
import { Node } from "./node.ts";
import type { HostPlan, Plan } from "./plan.ts";
import type { Trace } from "./trace.ts";

/** What may be on its way at any time, bytes: a few windows. */
const UNDER_WAY_BYTES_MAX = 64 * 1024 * 1024;

export class Cluster {
  readonly plan: Plan;
  readonly world: Simulation;
  readonly random: SeededRandom;
  readonly history = new History();
  readonly facts = new Facts();
  readonly nodes: Node[];
  readonly trace: Trace | undefined;
  /** Disk faults that a step has armed, and until when a disk is full. */
  readonly faulty = new Set<Node>();
  /** The time of faults is over. */
  isHealing = false;
  #failure: Error | undefined;
  #nodeOf = new Map<Owner, Node>();

  constructor(plan: Plan, trace?: Trace) {
    this.plan = plan;
    this.trace = trace;
    this.world = new Simulation({ seed: plan.seed });
    this.random = new SeededRandom(plan.seed, "steps");
    Object.assign(this.world.network.conditions, plan.conditions);
    this.world.network.onFault = (fault) => this.facts.add(`frame: ${fault}`);
    this.world.network.onFrame = (from, to, frame) => {
      const message = this.#decode(frame);
      if (message === undefined) return () => undefined;
      this.guard(() => this.#sent(from, message));
      return this.trace?.frame(from.name, to.name, message) ?? (() => undefined);
    };
    this.world.scheduler.afterEvent = (owner) => this.#afterEvent(owner);
    this.nodes = plan.hosts.map((host) => this.addNode(host, host.name));
    this.heal();
  }

  get nowMs(): number {
    return this.world.nowMs;
  }

  /** A host that `plan` describes, under a name of its own. */
  addNode(plan: HostPlan, hostName: string): Node {
    const host = this.world.host(hostName);
    const node = new Node(this, plan, host);
    host.diskMs = plan.diskMs;
    host.clock.jump(plan.clockOffsetMs);
    const first = this.plan.hosts[0]?.name;
    const all = host.seeds;
    if (!plan.knowsAll && this.plan.isRing !== true && first !== undefined && first !== hostName) {
      // A seed that has gone for good is replaced in everybody's configuration.
      host.seeds = () => (this.nodes[0]?.hasLeft === true ? all() : [first]);
    }
    return node;
  }

  newDisk(): MemoryDisk {
    return new MemoryDisk();
  }

  /** Ends the run with this error. */
  fail(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new Error(String(error));
  }

  /** Ends all partitions: everybody reaches whom the plan lets them reach. */
  heal(): void {
    const { hosts, isRing = false } = this.plan;
    this.world.network.heal();
    if (!isRing || this.nodes.some(({ hasLeft }) => hasLeft)) return;
    const names = hosts.map(({ name }) => name);
    for (const [index, name] of names.entries()) {
      const isApart = (_: string, other: number): boolean =>
        ![0, 1, names.length - 1].includes(Math.abs(index - other));
      this.world.network.partition([name], names.filter(isApart));
    }
    this.facts.add("network: a ring");
  }

  /** Runs a check within a call of the library, which must not be where its objection lands. */
  guard(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.fail(error);
    }
  }

  throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Disks, clocks and hosts are as they should be from now on. */
  endFaults(): void {
    this.isHealing = true;
    for (const { replica } of this.nodes) this.#countRefusals(replica);
    for (const node of this.nodes) {
      const { host, plan, isTransient } = node;
      node.isAway = false;
      host.diskFault = () => undefined;
      host.disk.capacityBytes = Number.POSITIVE_INFINITY;
      host.diskMs = plan.diskMs;
      host.clock.correct();
      host.resume();
      if (isTransient) this.#stop(host.name);
    }
  }

  #countRefusals(replica: Replica | undefined): void {
    if (replica === undefined) return;
    for (const { rejects } of Object.values(replica.status().peers)) {
      for (const [reason, times] of Object.entries(rejects)) this.facts.add(`refused: ${reason}`, times);
    }
  }

  #stop(name: string): void {
    for (const node of this.nodes) {
      if (node.host.name !== name) continue;
      node.kill();
      node.hasLeft = true;
    }
  }

  /** Where everybody is, for a message. */
  describe(): string {
    const lines = this.nodes.map(({ host, state, replica, hasLeft }) => {
      if (hasLeft) return `${host.name} has left`;
      if (state === undefined) return `${host.name} is down`;
      const covered = [...state.covered].map(([origin, seq]) => `${origin}:${seq}`).join(" ");
      const peers =
        replica === undefined
          ? "not open"
          : Object.entries(replica.status().peers).map(([name, peer]) => `${name} ${peer.state}`);
      return `${host.name} digest ${state.table.digestRoot()} covers ${covered} peers ${String(peers)}`;
    });
    return lines.join("; ");
  }

  later(delayMs: number, run: () => void): void {
    this.world.scheduler.after(delayMs, undefined, "step", run);
  }

  opened(node: Node): void {
    this.trace?.event(node.host.name, "opened");
  }

  say(line: string, _node: Node, message: string): void {
    this.trace?.log(line);
    if (message.includes("goes on under a new epoch") && !message.includes("is a copy")) {
      this.facts.add("protocol: rotation while running");
    }
    if (message.includes("the directory is a copy")) this.facts.add("recovery: copied");
    if (message.includes("set aside: ") && !message.includes("set aside: nothing"))
      this.facts.add("recovery: set aside");
  }

  hasDiskFaults(node: Node): boolean {
    return this.faulty.has(node) || Number.isFinite(node.host.disk.capacityBytes);
  }

  timersOf(owner: SimProcess): number {
    return this.world.scheduler.pending(owner, "timer");
  }

  /** The write that a version names. One that has gone without a write of its own, has its version marked. */
  writeOf(name: string, key: string): Write | undefined {
    const version = name.startsWith("gone.") ? name.slice("gone.".length) : name;
    const [stamp = "", seq = ""] = version.split(".", 2);
    const origin = version.slice(stamp.length + seq.length + 2) as Origin;
    const known = this.history.find(origin, Number.parseInt(seq, 36));
    const isIt = (write: Write): boolean =>
      write.stamp === Number.parseInt(stamp, 36) && write.name === Buffer.from(key).toString("latin1");
    return known === undefined ? undefined : [known, ...known.twins].find(isIt);
  }

  /** How many hosts hold a write, or have said so once: a peer counts with what it covered when it was last seen. */
  holders(write: Write): number {
    const holds = ({ everClaimed, state, nodeId }: Node): boolean =>
      write.origin.startsWith(`${nodeId}/`) ||
      (everClaimed.get(write.origin) ?? 0) >= write.seq ||
      (state !== undefined && this.history.isDominated(state, write));
    return this.nodes.filter(holds).length;
  }

  /** Whether all replicas agree, and nothing is under way that they have not told each other. */
  isConverged(): boolean {
    let digest: string | undefined;
    const live = this.nodes.filter(({ hasLeft }) => !hasLeft);
    for (const { life, state, replica } of live) {
      if (life === undefined || state === undefined || replica === undefined) return false;
      digest ??= state.table.digestRoot();
      if (state.table.digestRoot() !== digest) return false;
    }
    const [first] = live;
    if (first?.state === undefined) return true;
    for (const { state } of live) {
      if (state === undefined || state.covered.size !== first.state.covered.size) return false;
      if (!state.covered.dominates(first.state.covered) || !first.state.covered.dominates(state.covered)) return false;
    }
    return true;
  }

  /** Lets everything that memory holds reach the disks, and the watchers. */
  async flush(withinMs: number): Promise<void> {
    let waiting = 0;
    for (const { replica } of this.nodes) {
      if (replica === undefined) continue;
      waiting += 1;
      const done = (): void => {
        waiting -= 1;
      };
      replica.flush().then(done, (error: unknown) => this.fail(error));
    }
    const isDone = await this.world.scheduler.run(() => waiting === 0, this.nowMs + withinMs);
    this.throwFailure();
    if (!isDone) fail("liveness", "a flush does not end");
  }

  /** What has to hold once everything has healed and come to rest. */
  checkAtRest(): void {
    const live = this.nodes.filter(({ hasLeft }) => !hasLeft);
    for (const node of live) {
      const { state, life } = node;
      if (state === undefined) return fail("liveness", `${node.host.name} is not up at the end`);
      life?.observer?.checkAll();
      if ((life?.observer?.collected() ?? 0) > 0) this.facts.add("protocol: tombstones collected");
      node.checkWatcher();
    }
    for (const other of live) {
      if (!other.isTrusted) continue;
      for (const { state, host } of live) {
        if (state === undefined) continue;
        for (const write of other.promises.writes) {
          if (this.history.isDominated(state, write)) continue;
          fail(
            "lost write",
            `${host.name} has nothing that dominates ${describe(write)}, which ${other.host.name} had promised`,
          );
        }
      }
    }
    this.#checkContents(live);
  }

  /** Byte by byte: every replica shows the same, and it is what was written. */
  #checkContents(live: readonly Node[]): void {
    let expected: string | undefined;
    for (const { replica, host } of live) {
      if (replica === undefined) continue;
      const versions: string[] = [];
      for (const key of replica.keys()) {
        const version = replica.entry(key)?.version ?? "";
        const write = this.writeOf(version, key);
        if (write === undefined)
          return fail("unknown write", `${host.name} shows "${key}" in version ${version}, which nobody has written`);
        versions.push(`${key} ${version}`);
      }
      expected ??= versions.join("\n");
      if (versions.join("\n") !== expected) fail("convergence", `${host.name} shows other keys than the first replica`);
    }
  }

  /** Of each key the newest version that anybody holds now. */
  newest(): Map<string, Write> {
    const newest = new Map<string, Write>();
    for (const { state } of this.nodes) {
      for (const entry of state?.table.range() ?? []) {
        const first = this.history.find(entry.origin, entry.seq);
        const write = first === undefined ? undefined : this.history.match(first, entry);
        const name = Buffer.from(entry.key).toString("latin1");
        const known = newest.get(name);
        if (write !== undefined && (known === undefined || beats(write, known))) newest.set(name, write);
      }
    }
    return newest;
  }

  #afterEvent(owner: Owner | undefined): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (owner === undefined) {
      for (const node of this.nodes) node.observe();
      return;
    }
    let node = this.#nodeOf.get(owner);
    if (node === undefined) {
      node = this.nodes.find(({ life }) => life?.process === owner);
      if (node === undefined) return;
      this.#nodeOf.set(owner, node);
    }
    if (node.life?.process === owner) node.observe();
  }

  #decode(frame: Uint8Array): Message | undefined {
    this.world.scheduler.note(crc32(frame));
    const decoded = decodeMessage(frame);
    return decoded.type === "message" ? decoded.message : undefined;
  }

  /** Everything that a process says is a promise: what it sends and claims is durable there. */
  #sent(from: Owner, message: Message): void {
    if (this.world.network.bytesUnderWay > UNDER_WAY_BYTES_MAX) {
      fail("bounds", "the network holds more than a few windows");
    }
    const node = this.nodes.find(({ life }) => life?.process === from);
    if (node === undefined) return;
    node.observe();
    factsOf(message, node.nodeId, (name) => this.facts.add(name));
    if (message.type === "hello" || message.type === "ack") {
      for (const [origin, seq] of message.vector) node.claim(origin, seq);
    }
    if (message.type !== "page") return;
    for (const [origin, seq] of message.mark ?? []) node.claim(origin, seq);
    const own = node.state?.origin;
    if (message.runTo > 0 && own !== undefined) node.claim(own, message.runTo);
    for (const entry of message.entries) {
      const write = node.written(entry);
      write.isSent = true;
      node.promise(write);
    }
  }
}
