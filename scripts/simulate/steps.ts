/** Does what a step of a plan says: work of users, and faults. */

import { encodeMessage } from "../../src/codec/messages.ts";
import type { BatchOperation } from "../../src/data/local-writes.ts";
import type { WriteToken } from "../../src/data/write-tokens.ts";
import { isReplicaError } from "../../src/errors.ts";
import type { Replica } from "../../src/replica.ts";
import type { Hello } from "../../src/sync/messages.ts";
import type { DiskCall, DiskFault } from "../../src/testing/sim-disk.ts";
import type { Channel } from "../../src/transport.ts";
import type { Epoch, NodeId } from "../../src/types.ts";
import type { Cluster } from "./cluster.ts";
import { fail } from "./failure.ts";
import type { Write } from "./history.ts";
import type { Node } from "./node.ts";
import type { Step } from "./plan.ts";

const OPERATIONS_AT_OPEN: readonly string[] = ["open", "list", "read"];
/** Codes with which a write may be rejected while the disk is at fault, or the replica closes. */
const REJECTIONS: readonly string[] = ["ERR_STORAGE_FAILED", "ERR_STORAGE_FULL", "ERR_CLOSED", "ERR_LIMIT"];

export class Steps {
  readonly #cluster: Cluster;
  #values = 0;
  #tokens = new Map<Node, { token: WriteToken; write: Write }>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  do(step: Step): void {
    const { nodes, facts } = this.#cluster;
    const node = "host" in step ? nodes[step.host % nodes.length] : nodes[0];
    if (node === undefined || node.hasLeft) return;
    this.#cluster.trace?.fault(node.host.name, JSON.stringify(step));
    if (this.#work(step, node)) return;
    facts.add(`fault: ${step.type === "frames" ? step.what : step.type}`);
    this.#fault(step, node);
  }

  // ---- work ----------------------------------------------------------------------------------

  /** @returns whether the step is work */
  #work(step: Step, node: Node): boolean {
    const { replica } = node;
    const { facts } = this.#cluster;
    // Two of them find out before anything is sent.
    const isQuiet =
      this.#cluster.nodes.length > 2 && node.quietOrigin !== undefined && node.state?.origin === node.quietOrigin;
    const write = (
      name: string,
      names: readonly string[],
      run: (replica: Replica) => Promise<WriteToken>,
      acks = 1,
    ): true => {
      if (replica !== undefined && !isQuiet) {
        facts.add(`work: ${name}`);
        this.#write(node, names, () => run(replica), acks);
      }
      return true;
    };
    switch (step.type) {
      case "put": {
        const { ttlMs, acks } = step;
        const name = ttlMs !== undefined ? "put with ttl" : acks !== undefined ? "put with acks" : "put";
        const options = { ...(ttlMs === undefined ? {} : { ttlMs }), ...(acks === undefined ? {} : { acks }) };
        return write(name, [step.key], (r) => r.put(step.key, this.#value(step.bytes), options), acks);
      }
      case "delete":
        return write("delete", [step.key], (r) => r.delete(step.key));
      case "batch": {
        const operations: BatchOperation[] = [
          ...step.keys.map((key) => ({ type: "put" as const, key, value: this.#value(step.bytes) })),
          ...step.deletes.map((key) => ({ type: "del" as const, key })),
        ];
        return write("batch", [...step.keys, ...step.deletes], (r) => r.batch(operations));
      }
      case "burst":
        for (let n = 0; n < step.count; n++) {
          this.#cluster.later(n * step.everyMs, () => {
            if (node.hasLeft || this.#cluster.isHealing) return;
            const key = `k${this.#cluster.random.below(4)}`;
            this.#cluster.guard(() => this.#work({ atMs: 0, type: "put", host: step.host, key, bytes: 5 }, node));
          });
        }
        facts.add("work: burst");
        return true;
      case "clear":
        return write("clear", replica === undefined ? [] : [...replica.keys({ prefix: step.prefix })], (r) =>
          r.clear({ prefix: step.prefix }),
        );
      case "checkpoint":
      case "flush":
      case "backup":
      case "verify":
      case "settled":
      case "reached":
        if (replica !== undefined && !node.plan.isMemoryOnly) this.#call(step, node, replica);
        return true;
      default:
        return false;
    }
  }

  #value(bytes: number): string {
    this.#values += 1;
    return `${this.#values} ${"x".repeat(bytes)}`;
  }

  /** Writes, notes in the history what was written, and what it means when the promise resolves. */
  #write(node: Node, names: readonly string[], run: () => Promise<WriteToken>, acks: number): void {
    const { state, life } = node;
    if (state === undefined || life === undefined) return;
    const { history, facts } = this.#cluster;
    const before = state.nextSeq;
    const { origin } = state;
    const promise = run();
    // The observer sees the change log before anything else happens, and learns what was written.
    node.observe();
    const written = [...history.writes(origin, before - 1, state.nextSeq - 1)];
    if (written.length > names.length) fail("interface", `${written.length} writes came of ${names.length}`);
    promise.then(
      (token) => {
        if (node.life !== life) return;
        for (const write of written) {
          node.promise(write);
          if (acks > 1 && this.#cluster.holders(write) < acks) {
            this.#cluster.fail(
              new Error(`a write with acks ${acks} resolved with ${this.#cluster.holders(write)} holders`),
            );
          }
        }
        const last = written.at(-1);
        if (last !== undefined) this.#tokens.set(node, { token, write: last });
      },
      (error: unknown) => {
        if (!isReplicaError(error) || !REJECTIONS.includes(error.code)) return this.#cluster.fail(error);
        facts.add(`write rejected: ${error.code}`);
      },
    );
  }

  #call(step: Step & { type: string }, node: Node, replica: Replica): void {
    const { life } = node;
    const cluster = this.#cluster;
    const done = (promise: Promise<unknown>, check: (value: unknown) => void = () => undefined): void => {
      cluster.facts.add(`work: ${step.type}`);
      promise.then(
        (value) => {
          if (node.life === life) cluster.guard(() => check(value));
        },
        (error: unknown) => {
          if (!isReplicaError(error)) cluster.fail(error);
          else if (!cluster.hasDiskFaults(node) && error.code !== "ERR_CLOSED" && node.isTrusted) cluster.fail(error);
        },
      );
    };
    if (step.type === "checkpoint") return done(replica.checkpoint());
    if (step.type === "flush") return done(replica.flush());
    if (step.type === "backup")
      return done(replica.backup(`backup ${Math.round(cluster.nowMs)} ${cluster.random.uint32()}`));
    if (step.type === "verify") {
      return done(replica.verify(), (report) => {
        const { ok, problems } = report as { ok: boolean; problems: readonly string[] };
        if (!ok && node.isTrusted && !cluster.hasDiskFaults(node))
          fail("interface", `verify objects: ${problems.join("; ")}`);
      });
    }
    if (step.type === "settled") return done(replica.settled());
    const other = step.type === "reached" ? cluster.nodes[step.other % cluster.nodes.length] : undefined;
    const known = other === undefined ? undefined : this.#tokens.get(other);
    if (known === undefined) return;
    done(replica.reached(known.token), () => {
      const { state } = node;
      if (state === undefined || cluster.history.isDominated(state, known.write)) return;
      fail("interface", `reached() resolved on ${node.host.name}, which does not have the write`);
    });
  }

  // ---- faults --------------------------------------------------------------------------------

  #fault(step: Step, node: Node): void {
    const cluster = this.#cluster;
    const { network } = cluster.world;
    const name = (index: number): string => cluster.nodes[index % cluster.plan.hosts.length]?.host.name ?? "";
    const undo = (forMs: number, run: () => void): void => cluster.later(forMs, run);
    switch (step.type) {
      case "kill":
      case "power":
        node.crashesWhileOpening = step.again;
        if (step.type === "kill") node.kill();
        else node.powerLoss();
        if (step.powerAfterMs !== undefined) this.#powerLater(node, step.downMs + step.powerAfterMs);
        return undo(step.downMs, () => node.start());
      case "reopen":
        return node.close(() => cluster.later(step.downMs, () => node.start()));
      case "leave":
        // A cluster of nobody proves nothing.
        if (cluster.nodes.filter(({ hasLeft }) => !hasLeft).length <= 2) return;
        return node.close(() => {
          node.hasLeft = true;
          node.promises.forget();
          // What was a ring would be torn apart by the next one that leaves.
          if (cluster.plan.isRing === true) cluster.heal();
        });
      case "pause":
        return node.host.pause(step.forMs);
      case "partition": {
        const left = step.left.map(name);
        const right = cluster.nodes.map(({ host }) => host.name).filter((other) => !left.includes(other));
        network.partition(left, right);
        return undo(step.forMs, () => cluster.heal());
      }
      case "oneWay":
        network.block(name(step.from), name(step.to));
        return undo(step.forMs, () => cluster.heal());
      case "reset":
        return network.reset(name(step.a), name(step.b));
      case "bounce":
        for (let n = 0; n < step.times; n++) {
          undo(n * step.everyMs, () => network.reset(name(step.a), name(step.b)));
        }
        return;
      case "halfOpen":
        return network.halfOpen(name(step.a), name(step.b));
      case "slow":
        network.slow(name(step.from), name(step.to), step.bytesPerMs);
        return undo(step.forMs, () => network.slow(name(step.from), name(step.to), undefined));
      case "frames":
        network.conditions[step.what] = step.rate;
        return undo(step.forMs, () => {
          network.conditions[step.what] = 0;
        });
      case "latency":
        Object.assign(network.conditions, { latencyMs: step.ms, jitterMs: step.jitterMs });
        return undo(step.forMs, () => {
          const { latencyMs, jitterMs } = cluster.plan.conditions;
          Object.assign(network.conditions, { latencyMs, jitterMs });
        });
      case "clockJump":
        return node.host.clock.jump(step.ms);
      case "clockFreeze":
        node.host.clock.freeze();
        return undo(step.forMs, () => node.host.clock.jump(0));
      case "clockDrift":
        return node.host.clock.drift(step.rate);
      default:
        return this.#diskFault(step, node);
    }
  }

  #diskFault(step: Step, node: Node): void {
    const cluster = this.#cluster;
    const { host } = node;
    switch (step.type) {
      case "diskError":
        cluster.faulty.add(node);
        if (OPERATIONS_AT_OPEN.includes(step.operation)) {
          // To be met, they need somebody who opens.
          this.#once(node, ({ operation }) => operation === step.operation, { type: "error", code: step.code });
          node.kill();
          return cluster.later(1, () => node.start());
        }
        return this.#once(
          node,
          ({ operation }) => operation === step.operation,
          { type: "error", code: step.code },
          () => {
            if (step.powerAfterMs !== undefined) this.#powerLater(node, step.powerAfterMs);
          },
        );
      case "diskFull":
        cluster.faulty.add(node);
        host.disk.capacityBytes = host.disk.usedBytes + cluster.random.below(300);
        return cluster.later(step.forMs, () => {
          host.disk.capacityBytes = Number.POSITIVE_INFINITY;
        });
      case "diskSlow":
        host.diskMs = step.ms;
        return cluster.later(step.forMs, () => {
          host.diskMs = node.plan.diskMs;
        });
      case "misdirected":
        return this.#damageOnce(node, "write", { type: "misdirected", byBytes: cluster.random.between(1, 600) });
      case "flippedWrite":
        return this.#damageOnce(node, "write", { type: "flipped" });
      case "flippedRead":
        this.#damageOnce(node, "read", { type: "flipped" });
        node.kill();
        return cluster.later(1, () => node.start());
      case "bitRot":
        node.powerLoss();
        node.distrust();
        this.#rot(node);
        return cluster.later(step.downMs, () => node.start());
      case "wipe":
        node.powerLoss();
        node.wipe();
        return cluster.later(step.downMs, () => node.start());
      case "oldBackup":
        // The first time a copy is made, later it is put in place: it has other fingerprints, as copies of files have.
        if (node.backup === undefined) {
          node.backup = host.disk.clone();
          return;
        }
        node.powerLoss();
        node.promises.forget();
        host.disk = node.backup.clone();
        return cluster.later(step.downMs, () => node.start());
      case "rollback":
        return this.#rollBack(node, step.downMs);
      case "away":
        if (node.isAway) {
          node.isAway = false;
          return node.start();
        }
        return node.close(() => {
          node.isAway = !cluster.isHealing;
        });
      case "evict":
        return this.#evict(node, cluster.nodes[step.other % cluster.nodes.length]);
      case "clone":
        return this.#clone(node, step.forMs);
      case "stranger":
        return this.#stranger(node, step.says);
      default:
        return;
    }
  }

  /** The power goes after so long, and comes back at once. */
  #powerLater(node: Node, delayMs: number): void {
    const cluster = this.#cluster;
    cluster.later(delayMs, () => {
      if (cluster.isHealing || node.hasLeft || node.isAway || !node.isUp) return;
      node.powerLoss();
      node.start();
    });
  }

  #once(node: Node, matches: (call: DiskCall) => boolean, fault: DiskFault, onHit: () => void = () => undefined): void {
    const { host } = node;
    const before = host.diskFault;
    let isDone = false;
    host.diskFault = (call) => {
      const earlier = before(call);
      if (isDone || earlier !== undefined || !matches(call)) return earlier;
      isDone = true;
      onHit();
      return fault;
    };
  }

  #damageOnce(node: Node, operation: string, fault: DiskFault): void {
    this.#cluster.faulty.add(node);
    this.#once(
      node,
      (call) => call.operation === operation,
      fault,
      () => node.distrust(),
    );
  }

  /** One bit of one file is wrong from now on. */
  #rot({ host }: Node): void {
    const { random } = this.#cluster;
    const names = host.disk.fileNames();
    if (names.length === 0) return;
    const name = random.pick(names);
    const bytes = host.disk.bytesOf(name).slice();
    if (bytes.length === 0) return;
    const at = random.below(bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
    host.disk.put(name, bytes);
  }

  /** Forgets a member, which is possible while it is not connected. It does not know, and may come back. */
  #evict({ replica }: Node, other: Node | undefined): void {
    const cluster = this.#cluster;
    if (replica === undefined || other === undefined) return;
    replica.evict(other.nodeId).then(
      () => {
        cluster.history.hasOutsiders = true;
        cluster.facts.add("work: evict");
      },
      (error: unknown) => {
        if (!isReplicaError(error) || ![...REJECTIONS, "ERR_OPTION"].includes(error.code)) cluster.fail(error);
      },
    );
    // From the call on: it may be durable without us hearing of it.
    cluster.history.hasOutsiders = true;
  }

  /** The first time it is closed and a picture of its disk kept, later the disk is set back to that, to the last inode. */
  #rollBack(node: Node, downMs: number): void {
    const { closedImage, host } = node;
    const origin = node.state?.origin;
    const start = (): void => this.#cluster.later(downMs, () => node.start());
    if (closedImage === undefined) {
      return node.close(() => {
        node.closedImage = host.disk.clone(true);
        node.closedOrigin = origin;
        start();
      });
    }
    node.powerLoss();
    node.promises.forget();
    host.disk = closedImage.clone(true);
    if (node.closedOrigin !== undefined) this.#cluster.history.forgetUnsent(node.closedOrigin);
    // Of three, one may take what a user writes now without knowing that its numbers are taken: a documented limit.
    node.quietOrigin = node.closedOrigin;
    start();
  }

  /** A copy of the directory is opened beside the original, under the same name. */
  #clone(node: Node, forMs: number): void {
    const cluster = this.#cluster;
    if (node.plan.isMemoryOnly || node.host.name.endsWith("2")) return;
    const clone = cluster.addNode(node.plan, `${node.host.name}2`);
    if (clone.isUp) return;
    clone.host.disk = node.host.disk.clone();
    clone.distrust();
    clone.isTransient = true;
    cluster.nodes.push(clone);
    clone.start();
    cluster.later(forMs, () => {
      clone.kill();
      clone.hasLeft = true;
    });
  }

  /** Somebody who is no replica of this cluster connects. */
  #stranger(node: Node, says: "garbage" | "otherVersion" | "otherCluster" | "nothing"): void {
    const cluster = this.#cluster;
    const stranger = { name: `stranger ${cluster.random.uint32()}`, alive: true, pausedUntilMs: 0 };
    const version = says === "otherVersion" ? 99 : 1;
    const hello: Hello = {
      type: "hello",
      versionMin: version,
      versionMax: version,
      clusterId: says === "otherCluster" ? "another" : "default",
      nodeId: "stranger" as NodeId,
      epoch: "00000000000000aa" as Epoch,
      incarnation: "00000000000000aa",
      vector: [],
      addresses: [],
      links: [],
      wallClock: 0,
      frontier: [],
      features: 0,
    };
    const talk = (channel: Channel): void => {
      channel.start({ frame: () => undefined, closed: () => undefined });
      if (says === "garbage") channel.send(Uint8Array.from({ length: 40 }, () => cluster.random.below(256)));
      else if (says !== "nothing") channel.send(encodeMessage(hello, 1));
    };
    const signal = new AbortController().signal;
    cluster.world.network.dial(stranger, `sim:${node.host.name}`, signal).then(talk, () => undefined);
  }
}
