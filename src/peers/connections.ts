/**
 * Who dials whom, and when. Keeps the replica connected: dials the seeds of its transport and the addresses that
 * other replicas have announced, up to a degree, and backs off from those that fail.
 *
 * In small clusters everyone is connected to everyone. In large ones each replica keeps so many connections, and relays
 * do the rest:
 *
 * - to its successor in the circle of names: the next one that can be reached. That alone makes a connected graph of
 *   all who can reach one another, whoever comes, goes or was cut off meanwhile;
 * - to others chosen at random, up to the degree, whoever dialed: so that the way to anybody is short, and many may fail at once;
 * - to one that is changed from time to time, the less often the more there are. Where not everybody can reach everybody a
 *   bridge may be nobody's successor, and a seed may lead to replicas that nobody here has heard of.
 */
import type { Timers } from "../clock.ts";
import { isReplicaError, ReplicaError } from "../errors.ts";
import { present } from "../invariant.ts";
import { FRAME_BYTES_MAX, PEERS_SOUGHT, PEERS_STANDARD } from "../limits.ts";
import type { Random } from "../random.ts";
import type { SessionId } from "../sync/committed.ts";
import { isNearer } from "../sync/room.ts";
import type { Channel, Transport, TransportHost } from "../transport.ts";
import type { NodeId } from "../types.ts";
import { isBusy, jittered, nothing, type Remote, Remotes, type Target } from "./remotes.ts";

export interface ConnectionsOptions {
  readonly transport: Transport;
  readonly timers: Timers;
  readonly random: Random;
  readonly nodeId: NodeId;
  readonly clusterId: string;
  /** Connections to keep; while there are fewer we dial. Default 8. */
  readonly degree?: number;
  /** Connections that the replica takes. At least 3. Default 64. */
  readonly maxPeers?: number;
  /** Takes over a channel, and names it: `connected` and `ended` speak of it by that name. */
  readonly onChannel: (channel: Channel, dialed: boolean) => SessionId;
  /** For the log. The address is dialed again later. */
  readonly onFailed?: (address: string, error: unknown) => void;
  /** See {@link TransportHost}. */
  readonly onWarning?: (message: string) => void;
  readonly onRefused?: (reason: string, detail: string) => void;
}

/** How often seeds are asked for, and waiting peers are looked at; most of the time events are quicker. */
const ROUND_MS = 2000;
const ROAM_MS = 60_000;
/** With more replicas than these each roams less often, so that all together do as often: what one of them finds, all hear of. */
const ROAMERS = 100;
const DIAL_MS_MAX = 10_000;
/** A session that lasted this long was a success; a shorter one counts as a failed attempt. */
const STABLE_MS = 5000;

const REFUSALS: readonly string[] = ["cluster-mismatch", "protocol-version", "unauthenticated"];

interface Session {
  /** Set if we dialed. */
  readonly remote: Remote | undefined;
  nodeId: string | undefined;
  cancelStable: () => void;
}

/** Transports that serve a replica: a second one must not get hold of it, nor close it when it is refused. */
const inService = new WeakSet<Transport>();

export class Connections {
  readonly #options: ConnectionsOptions;
  #hasTransport = false;
  readonly #remotes: Remotes;
  readonly #sessions = new Map<SessionId, Session>();
  /** The ends of sessions that came while `onChannel` was still to return their name. */
  readonly #endedEarly = new Map<SessionId, { nodeId: string | undefined; code: string }>();
  readonly #own = new Set<string>();
  #targets: readonly Target[] = [];
  #handingOver = false;
  #cancelRound: () => void = nothing;
  #cancelSoon: (() => void) | undefined;
  #cancelRoam: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    const { timers, random, nodeId } = options;
    this.#remotes = new Remotes({ timers, random, nodeId, own: this.#own, onIdle: () => this.#soon() });
  }

  /**
   * Listens, and starts to dial.
   *
   * @returns the addresses of this replica
   * @throws ReplicaError ERR_LISTEN if the transport cannot listen
   */
  async open(): Promise<readonly string[]> {
    const { transport, nodeId, clusterId } = this.#options;
    if (inService.has(transport)) {
      throw new ReplicaError("ERR_LISTEN", "this transport serves another replica; make one for each");
    }
    inService.add(transport);
    this.#hasTransport = true;
    const accept = (channel: Channel): void => this.#handOver(channel, undefined);
    const host: TransportHost = {
      nodeId,
      clusterId,
      maxFrameBytes: FRAME_BYTES_MAX,
      accept,
      warn: (message) => this.#options.onWarning?.(message),
      refused: (reason, detail) => this.#options.onRefused?.(reason, detail),
    };
    const addresses = await transport.listen(host).catch((cause: unknown) => {
      if (isReplicaError(cause)) throw cause;
      throw new ReplicaError("ERR_LISTEN", `the transport cannot listen: ${String(cause)}`, { cause });
    });
    for (const address of addresses) this.#own.add(address);
    if (this.#closing === undefined) this.#round();
    return addresses;
  }

  /**
   * Everybody we know of, ourselves or not: replaces what was said before. Those who are gone are no longer dialed, but not
   * cut off. Who has connections enough looks at newcomers with the next round: to a large cluster they come all the time.
   */
  setTargets(targets: readonly Target[]): void {
    this.#targets = targets;
    const { degree = PEERS_SOUGHT } = this.#options;
    if (this.#sessions.size <= degree) this.#soon();
  }

  /** The session is up: `nodeId` is at the other end, and need not be dialed. */
  connected(session: SessionId, nodeId: string): void {
    if (this.#closing !== undefined) return;
    const entry = this.#sessions.get(session) ?? this.#track(session, undefined);
    entry.nodeId = nodeId;
    if (entry.remote !== undefined) entry.remote.nodeId = nodeId;
    const ofIt = [...this.#remotes].filter((remote) => remote.nodeId === nodeId);
    if (ofIt.some(({ failures }) => failures > 0)) this.#remotes.hurry();
    entry.cancelStable();
    entry.cancelStable = this.#options.timers.after(STABLE_MS, () => {
      for (const remote of this.#remotes) if (remote.nodeId === nodeId) remote.failures = 0;
    });
  }

  /**
   * The session is over.
   *
   * @param nodeId  who was at the other end, if that became known
   * @param code    why: a ByeCode, or "lost"
   */
  ended(session: SessionId, nodeId: string | undefined, code: string): void {
    const entry = this.#sessions.get(session);
    if (entry === undefined) {
      if (this.#handingOver) this.#endedEarly.set(session, { nodeId, code });
      return;
    }
    this.#sessions.delete(session);
    entry.cancelStable();
    if (this.#closing !== undefined) return;
    if (entry.remote !== undefined) {
      entry.remote.nodeId = nodeId ?? entry.remote.nodeId;
      this.#leave(entry.remote, code);
    } else if (!this.#isConnected(nodeId)) {
      // The other side dials again too: not both at the same moment.
      for (const remote of this.#remotes) {
        if (remote.state === "idle" && nodeId !== undefined && remote.nodeId === nodeId) this.#remotes.backOff(remote);
      }
    }
    this.#soon();
  }

  /** Stops dialing and closes the transport, with all its channels. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#cancelRound();
    this.#cancelSoon?.();
    this.#cancelRoam?.();
    for (const { cancelStable } of this.#sessions.values()) cancelStable();
    this.#remotes.close();
    if (!this.#hasTransport) return;
    await this.#options.transport.close();
    inService.delete(this.#options.transport);
  }

  /** Looks at everybody, now and from time to time. */
  #round(): void {
    this.#reconcile();
    this.#cancelRound = this.#options.timers.after(jittered(ROUND_MS, this.#options.random), () => this.#round());
  }

  /** Looks at everybody once this turn is over, however often it is asked to. */
  #soon(): void {
    if (this.#closing !== undefined) return;
    this.#cancelSoon ??= this.#options.timers.after(0, () => {
      this.#cancelSoon = undefined;
      this.#reconcile();
    });
  }

  #reconcile(): void {
    this.#remotes.learn(this.#targets, [...this.#options.transport.seeds()]);
    const candidates = this.#candidates();
    const successor = this.#successor(candidates);
    if (successor?.state === "idle") this.#dial(takeAt(candidates, candidates.indexOf(successor)), false);
    const { degree = PEERS_SOUGHT } = this.#options;
    // One place stays free, for whoever needs it.
    let free = Math.min(degree, this.#maxPeers - 1) - this.#count();
    for (const remote of this.#remotes) {
      if (remote.roaming && (free > 0 || remote === successor)) {
        remote.roaming = false;
        free -= 1;
      }
    }
    for (; free > 0 && candidates.length > 0; free--) this.#dial(this.#draw(candidates), false);
    if (candidates.length > 0) {
      this.#cancelRoam ??= this.#options.timers.after(jittered(this.#roamMs, this.#options.random), () => {
        this.#cancelRoam = undefined;
        this.#roam();
      });
    }
  }

  /** Moves the channel beyond the degree to somebody else. */
  #roam(): void {
    const candidates = this.#candidates();
    for (const remote of this.#remotes) if (remote.roaming && remote.state === "open") remote.stop();
    if (candidates.length > 0 && this.#count() < this.#maxPeers) this.#dial(this.#draw(candidates), true);
    this.#soon();
  }

  /** The replica behind our name in the circle, of those that are connected or can be dialed now. */
  #successor(candidates: readonly Remote[]): Remote | undefined {
    const { nodeId: own } = this.#options;
    let nearest: { readonly nodeId: string; readonly remote: Remote | undefined } | undefined;
    const consider = (nodeId: string | undefined, remote: Remote | undefined): void => {
      if (nodeId === undefined) return;
      if (nearest === undefined || isNearer(own, nodeId, nearest.nodeId, 1)) nearest = { nodeId, remote };
    };
    for (const { nodeId, remote } of this.#sessions.values()) consider(nodeId, remote);
    for (const remote of this.#remotes) if (isBusy(remote)) consider(remote.nodeId, remote);
    for (const remote of candidates) consider(remote.nodeId, remote);
    return nearest?.remote;
  }

  /** One address for each replica that is worth a dial now. */
  #candidates(): Remote[] {
    const taken = new Set<string | undefined>();
    for (const { nodeId } of this.#sessions.values()) taken.add(nodeId);
    for (const remote of this.#remotes) if (isBusy(remote)) taken.add(remote.nodeId);
    // Of the addresses whose replica is not known yet, each may be another one.
    taken.delete(undefined);
    const candidates: Remote[] = [];
    for (const remote of this.#remotes) {
      if (remote.state !== "idle" || taken.has(remote.nodeId)) continue;
      candidates.push(remote);
      if (remote.nodeId !== undefined) taken.add(remote.nodeId);
    }
    return candidates;
  }

  #draw(candidates: Remote[]): Remote {
    return takeAt(candidates, Math.floor(this.#options.random.fraction() * candidates.length));
  }

  #dial(remote: Remote, roaming: boolean): void {
    const controller = new AbortController();
    let settled = false;
    const settle = (): boolean => {
      if (settled) return false;
      settled = true;
      cancelDeadline();
      return true;
    };
    const fail = (error: unknown): void => {
      if (!settle()) return;
      this.#options.onFailed?.(remote.address, error);
      this.#leave(remote, isReplicaError(error) && error.code === "ERR_AUTH" ? "unauthenticated" : "lost");
      this.#soon();
    };
    const cancelDeadline = this.#options.timers.after(DIAL_MS_MAX, () => {
      fail(new Error(`no answer within ${DIAL_MS_MAX} ms`));
      controller.abort();
    });
    remote.state = "dialing";
    remote.roaming = roaming;
    remote.stop = () => {
      settle();
      controller.abort();
    };
    this.#options.transport.dial(remote.address, controller.signal).then((channel) => {
      // A transport may be slow to notice that it should have stopped.
      if (settle()) this.#handOver(channel, remote);
      else channel.close();
    }, fail);
  }

  #handOver(channel: Channel, remote: Remote | undefined): void {
    if (this.#closing !== undefined) return channel.close();
    if (remote !== undefined) {
      remote.state = "open";
      remote.stop = () => channel.close();
    }
    this.#handingOver = true;
    const session = this.#options.onChannel(channel, remote !== undefined);
    this.#handingOver = false;
    this.#track(session, remote);
    const end = this.#endedEarly.get(session);
    this.#endedEarly.clear();
    if (end !== undefined) this.ended(session, end.nodeId, end.code);
  }

  #track(session: SessionId, remote: Remote | undefined): Session {
    const entry: Session = { remote, nodeId: undefined, cancelStable: nothing };
    this.#sessions.set(session, entry);
    return entry;
  }

  /** An attempt or a session at an address we dialed is over. */
  #leave(remote: Remote, code: string): void {
    remote.roaming = false;
    remote.stop = nothing;
    // Where we have found ourselves ("self") others may be the next time: behind the address of a balancer.
    if (REFUSALS.includes(code)) this.#remotes.refused(remote);
    else this.#remotes.backOff(remote);
  }

  #isConnected(nodeId: string | undefined): boolean {
    for (const session of this.#sessions.values()) if (session.nodeId === nodeId) return true;
    return false;
  }

  /** Connections, and dials under way. Without the one that roams, and without those of others that have no name yet. */
  #count(): number {
    let count = 0;
    for (const remote of this.#remotes) if (isBusy(remote) && !remote.roaming) count += 1;
    for (const { remote, nodeId } of this.#sessions.values())
      if (remote === undefined && nodeId !== undefined) count += 1;
    return count;
  }

  get #maxPeers(): number {
    return this.#options.maxPeers ?? PEERS_STANDARD;
  }

  /** Each time the two tell each other all that they cover, which is as long as there are replicas. */
  get #roamMs(): number {
    return ROAM_MS * Math.max(1, this.#targets.length / ROAMERS);
  }
}

/** Takes a candidate out of the list. */
function takeAt(candidates: Remote[], index: number): Remote {
  return present(candidates.splice(index, 1)[0], "a candidate is taken from some");
}
