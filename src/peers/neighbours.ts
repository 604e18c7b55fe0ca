/**
 * A replica among others: announces itself, keeps the dialer told of who there is, and turns what happens
 * on connections into log lines, hooks and problems that `status()` shows.
 */
import type { Timers, WallClock } from "../clock.ts";
import { encodeMember, memberKey } from "../codec/members.ts";
import type { CoreState } from "../core/core-state.ts";
import type { Driver } from "../driver.ts";
import { isReplicaError, ReplicaError } from "../errors.ts";
import type { Hooks } from "../hooks.ts";
import { isMemberKey } from "../limits.ts";
import type { Logger } from "../options.ts";
import type { Random } from "../random.ts";
import type { Change, SessionEvent } from "../sync/committed.ts";
import type { Replicator } from "../sync/replicator.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import type { Transport } from "../transport.ts";
import { epochOf, type Millis, type NodeId, nodeIdOf } from "../types.ts";
import { VERSION } from "../version.ts";
import { Connections } from "./connections.ts";
import { MemberList } from "./member-list.ts";
import { Refusals } from "./refusals.ts";

/** A replica that takes part in the cluster, as it has announced itself. */
export interface Member {
  readonly nodeId: string;
  readonly addresses: readonly string[];
  readonly epoch: string;
  /** Of this library. */
  readonly version: string;
  /** How it merges, by prefix; has to be the same everywhere. */
  readonly merge: Readonly<Record<string, string>>;
}

export interface NeighboursOptions {
  readonly state: CoreState;
  readonly replicator: Replicator;
  readonly driver: Driver;
  readonly clusterId: string;
  readonly maxPeers: number;
  readonly transport: Transport | undefined;
  readonly clock: WallClock;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
  readonly hooks: Hooks;
  readonly telemetry: Telemetry;
  /** How we merge, by prefix: names of kinds. */
  readonly merge: Readonly<Record<string, string>>;
}

/** What a person has to set right, by the code with which sessions end. */
const REMEDIES: ReadonlyMap<string, string> = new Map([
  ["cluster-mismatch", "give both the same clusterId, or keep them from dialing each other"],
  ["identity-clash", "every replica needs a nodeId of its own"],
  ["protocol-version", "upgrade the older one"],
  ["unauthenticated", "give both the same secret, and a nodeId that is theirs"],
  ["too-many-peers", "give it a higher maxPeers, or this replica another seed"],
  ["bad-frame", "what runs there is none of ours, or broken, or the network damages what it carries"],
]);
/** Ends that belong to an ordinary day. */
const QUIET_ENDS: ReadonlySet<string> = new Set(["lost", "closing", "duplicate", "self", "new-epoch"]);
/** Longer than the dialer waits after a refusal, so that a problem that lasts stays in sight. */
const PROBLEM_MS = 600_000;
const PROBLEMS_MAX = 100;
const STRANGERS_MS = 60_000;
/** To be refused everywhere for so long is a problem; for a moment, it is how places are found. */
const REFUSED_MS = 5000;

export class Neighbours {
  readonly #options: NeighboursOptions;
  /** What is wrong, and when it was last seen. */
  readonly #problems = new Map<string, Millis>();
  /** When strangers that ended with a code were last told of. */
  readonly #toldOf = new Map<string, Millis>();
  readonly #toldOfMerge = new Set<string>();
  readonly #refusals = new Refusals();
  /** Since when nobody has had a place for us. */
  #refusedSince: Millis | undefined;
  #connections: Connections | undefined;
  readonly #members: MemberList;
  #addresses: readonly string[] = [];

  constructor(options: NeighboursOptions) {
    this.#options = options;
    this.#members = new MemberList(options.state);
  }

  /** Listens, announces this replica and starts to dial. @throws ReplicaError ERR_LISTEN */
  async open(): Promise<void> {
    const { transport, timers, random, state, clusterId, maxPeers, driver } = this.#options;
    if (transport !== undefined) {
      this.#connections = new Connections({
        transport,
        timers,
        random,
        nodeId: nodeIdOf(state.origin),
        clusterId,
        maxPeers,
        onChannel: (channel, dialed) => driver.attach(channel, dialed),
        onFailed: (address, error) => this.#reportFailure(address, error),
        onWarning: (message) => this.warn(message),
        onRefused: (reason, detail) => this.#reportRefusal(reason, detail),
      });
      this.#addresses = await this.#connections.open();
    }
    this.#announce();
    this.#retarget();
  }

  /** Stops listening and dialing. Idempotent. Fine when `open` failed. */
  async close(): Promise<void> {
    await this.#connections?.close();
  }

  /** All replicas that have announced themselves, this one included. */
  members(): readonly Member[] {
    return this.#members.all;
  }

  /** What went wrong lately and needs a person. */
  problems(): string[] {
    const since = this.#options.clock.now() - PROBLEM_MS;
    for (const [message, at] of this.#problems) if (at < since) this.#problems.delete(message);
    return [...this.#problems.keys(), ...this.#mergeProblems(this.members())];
  }

  /** Members that put values together in another way than we do: what they show of the same parts is not what we show. */
  #mergeProblems(members: readonly Member[]): string[] {
    const own = nodeIdOf(this.#options.state.origin);
    const ours = kindsOf(this.#options.merge);
    return members
      .filter((member) => member.nodeId !== own && kindsOf(member.merge) !== ours)
      .map(({ nodeId, merge }) => {
        const theirs = kindsOf(merge);
        return `"${nodeId}" merges (${theirs || "nothing"}), this replica (${ours || "nothing"}): give all the same option merge`;
      });
  }

  #warnOfMerge(members: readonly Member[]): void {
    for (const problem of this.#mergeProblems(members)) {
      if (this.#toldOfMerge.has(problem)) continue;
      this.#toldOfMerge.add(problem);
      this.warn(problem);
    }
  }

  /** How many connections came to nothing because one of the two ends did not want the other, by reason. */
  refused(): Record<string, number> {
    return this.#refusals.counts();
  }

  /** Durable changes, of any keys: of those that are records of members the dialer is told. */
  published(changes: readonly Change[]): void {
    let areMembersNew = false;
    for (const { entry, kind, dropped } of changes) {
      if (!isMemberKey(entry.key)) continue;
      areMembersNew = true;
      if (dropped === true || kind === "expire") this.#members.forget();
    }
    if (areMembersNew) this.#retarget();
  }

  #retarget(): void {
    this.#warnOfMerge(this.#members.takeNews());
    this.#connections?.setTargets(this.members());
  }

  onSession(event: Exclude<SessionEvent, { type: "progress" }>): void {
    if (event.type === "rotated") {
      this.warn(event.detail);
      this.#announce();
      return;
    }
    if (event.type === "overdue") return this.#evictOverdue(event.nodeId);
    if (event.type === "repaired") return this.#reportRepair(event);
    if (event.type === "up") this.#connections?.connected(event.session, event.nodeId);
    // Not when it is up: hellos cross, and only the next thing that comes may be the refusal.
    if (event.type === "live") this.#refusedSince = undefined;
    if (event.type === "end") {
      this.#connections?.ended(event.session, event.nodeId, event.code);
      this.#reportEnd(event);
    }
    if (event.nodeId === undefined || (event.type === "end" && !event.wasUp)) return;
    this.#options.hooks.emit("peer", { nodeId: event.nodeId, type: event.type === "end" ? "down" : event.type });
  }

  /** Tells the log and the hooks. */
  warn(message: string): void {
    this.#options.logger.warn(message);
    this.#options.hooks.emit("warning", message);
    this.#options.telemetry.warning(message);
  }

  /**
   * Forgets a member: what it has not seen is not kept for it any more. Resolves when the eviction is durable here;
   * it spreads like any write.
   *
   * @throws ReplicaError ERR_OPTION if there is no such member, or if it is connected: it would announce itself again
   */
  async evict(nodeId: string): Promise<void> {
    const { state, replicator, driver, clock } = this.#options;
    const member = this.members().find((one) => one.nodeId === nodeId);
    if (member === undefined) throw new ReplicaError("ERR_OPTION", `there is no member "${nodeId}"`);
    if (nodeId === nodeIdOf(state.origin)) throw new ReplicaError("ERR_OPTION", "a replica cannot evict itself");
    if ([...replicator.sessions].some((session) => session.peer?.nodeId === nodeId)) {
      throw new ReplicaError("ERR_OPTION", `"${nodeId}" is connected: close it first, or it announces itself again`);
    }
    replicator.write([{ key: memberKey(member.nodeId as NodeId), value: null, expiresAt: 0 }], clock.now());
    driver.wake();
    await driver.durable(state.lsn, undefined);
  }

  #evictOverdue(nodeId: string): void {
    if (this.members().every((member) => member.nodeId !== nodeId)) return;
    this.evict(nodeId).then(
      () => this.warn(`"${nodeId}" was not heard of for too long and is evicted`),
      // It has come back meanwhile, or the log has failed: that is told elsewhere.
      (error: unknown) => this.#options.logger.debug(`"${nodeId}" is not evicted: ${String(error)}`),
    );
  }

  #reportRepair({ nodeId, differences }: Extract<SessionEvent, { type: "repaired" }>): void {
    if (differences > 0) this.warn(`what "${nodeId}" holds had come to differ: ${differences} entries were settled`);
    else this.#options.logger.debug(`digests differ from those of "${nodeId}", but no entry does`);
  }

  #announce(): void {
    const { state, replicator, driver, clock } = this.#options;
    const { origin } = state;
    const record = { addresses: this.#addresses, epoch: epochOf(origin), version: VERSION, merge: this.#options.merge };
    const write = { key: memberKey(nodeIdOf(origin)), value: encodeMember(record) };
    replicator.announce(this.#addresses, write, clock.now());
    driver.wake();
  }

  #reportEnd({ code, detail, nodeId }: Extract<SessionEvent, { type: "end" }>): void {
    const who = nodeId === undefined ? "a connection" : `the connection to "${nodeId}"`;
    // Of connections that never had a name, and of refusals while there are others, nobody has to think.
    const isNameless = nodeId === undefined && (code === "too-many-peers" || code === "bad-frame");
    const isElsewhere = code === "too-many-peers" && nodeId !== undefined && this.#findsOthers();
    const remedy = isNameless || isElsewhere ? undefined : REMEDIES.get(code);
    const message = `${who} has ended (${code}): ${detail}${remedy === undefined ? "" : `; ${remedy}`}`;
    if (QUIET_ENDS.has(code) || isElsewhere) {
      this.#options.logger.debug(message);
      return;
    }
    this.#refusals.count(code);
    // The dialer tries again and again: said once, and shown by `status()` for as long as it lasts. Strangers that
    // come and go are told of once in a while.
    const isKnown = this.problems().includes(message) || (nodeId === undefined && !this.#isNews(code));
    if (remedy !== undefined) this.#note(message);
    if (isKnown) this.#options.logger.debug(message);
    else this.warn(message);
  }

  /** Who cannot be reached now is dialed again; what a person has to change first is told, and shown while it lasts. */
  #reportFailure(address: string, error: unknown): void {
    const message = isReplicaError(error) ? error.message : `cannot reach ${address}: ${String(error)}`;
    const isNew = isReplicaError(error) && error.code !== "ERR_CLOSED" && !this.problems().includes(message);
    if (isReplicaError(error) && error.code !== "ERR_CLOSED") this.#note(message);
    if (isReplicaError(error) && error.code === "ERR_AUTH") this.#refusals.count(reasonOf(error));
    if (isNew) this.warn(message);
    else this.#options.logger.debug(message);
  }

  /** Strangers come as often as they like: of each kind one is told of in a while. */
  #reportRefusal(reason: string, detail: string): void {
    this.#refusals.count(reason);
    const message = `a connection was refused (${reason}): ${detail}`;
    if (this.#isNews(reason)) this.warn(message);
    else this.#options.logger.debug(message);
  }

  /** Whether a refusal needs nobody's attention: there are others, or there may be soon. */
  #findsOthers(): boolean {
    for (const { peer } of this.#options.replicator.sessions) if (peer !== undefined) return true;
    const now = this.#options.clock.now();
    this.#refusedSince ??= now;
    return now - this.#refusedSince < REFUSED_MS;
  }

  #isNews(code: string): boolean {
    const now = this.#options.clock.now();
    if (now - (this.#toldOf.get(code) ?? Number.NEGATIVE_INFINITY) < STRANGERS_MS) return false;
    this.#toldOf.set(code, now);
    return true;
  }

  #note(problem: string): void {
    this.#problems.delete(problem);
    this.#problems.set(problem, this.#options.clock.now());
    for (const oldest of this.#problems.keys()) {
      if (this.#problems.size <= PROBLEMS_MAX) return;
      this.#problems.delete(oldest);
    }
  }
}

/** How a replica merges, in one text. */
function kindsOf(merge: Readonly<Record<string, string>>): string {
  return Object.entries(merge)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([prefix, kind]) => `${prefix} ${kind}`)
    .join(", ");
}

/** Why a dial was refused: the transport names it in the cause. */
function reasonOf({ cause }: ReplicaError): string {
  return typeof cause === "string" ? cause : "unauthenticated";
}
