/**
 * Many replicas of which only the choice of neighbours is real: `Connections` and the rule for places. Channels, hellos
 * and the spreading of member records are played, in virtual time; so a hundred of them fit into a test.
 */

import { PEERS_CROWDED } from "../../src/limits.ts";
import { Connections } from "../../src/peers/connections.ts";
import type { Target } from "../../src/peers/remotes.ts";
import type { Random } from "../../src/random.ts";
import { type Seated, whoIsSpare, whoMakesRoom } from "../../src/sync/room.ts";
import type { Channel, ChannelReceiver, Transport, TransportHost } from "../../src/transport.ts";
import type { NodeId } from "../../src/types.ts";
import { seededRandom } from "./virtual-cluster.ts";
import { VirtualTime } from "./virtual-time.ts";

const LATENCY_MS = 5;

export interface DialingMeshOptions {
  readonly seed: number;
  /** Places of each. Default: those of the library. */
  readonly maxPeers?: number;
  readonly degree?: number;
  /** Addresses that everybody is told at the start. */
  readonly seeds: readonly string[];
}

export class DialingMesh {
  readonly time = new VirtualTime();
  readonly nodes = new Map<string, DialingNode>();
  readonly random: Random;
  readonly options: DialingMeshOptions;
  #isCut: (a: string, b: string) => boolean = () => false;
  /** The most that anybody was ever connected to. */
  highestDegree = 0;
  /** Dials of one replica by another. */
  dials = 0;

  constructor(options: DialingMeshOptions) {
    this.options = options;
    this.random = seededRandom(options.seed);
  }

  /** Comes up; again, if it was there before: then with the members that it knew. */
  async start(nodeId: string): Promise<void> {
    const node = new DialingNode(this, nodeId as NodeId, this.nodes.get(nodeId)?.members ?? new Set());
    this.nodes.set(nodeId, node);
    await node.connections.open();
    node.retarget();
    node.thin();
  }

  /** As with kill -9. */
  async stop(nodeId: string): Promise<void> {
    const node = this.nodes.get(nodeId);
    if (node === undefined || !node.isUp) return;
    node.isUp = false;
    for (const link of [...node.links.values()]) link.break();
    await node.connections.close();
  }

  /** From now on these do not reach each other. */
  cut(isCut: (a: string, b: string) => boolean): void {
    this.#isCut = isCut;
    for (const node of this.up()) {
      for (const link of [...node.links.values()]) if (isCut(link.dialer.nodeId, link.accepter.nodeId)) link.break();
    }
  }

  heal(): void {
    this.#isCut = () => false;
  }

  reaches(a: string, b: string): boolean {
    return this.nodes.get(b)?.isUp === true && !this.#isCut(a, b);
  }

  up(): DialingNode[] {
    return [...this.nodes.values()].filter(({ isUp }) => isUp);
  }

  /** Those that some chain of connections joins, largest group first. */
  components(): string[][] {
    const left = new Map(this.up().map((node) => [node.nodeId as string, node]));
    const components: string[][] = [];
    for (const start of left.values()) {
      left.delete(start.nodeId);
      const component = [start];
      for (const node of component) {
        for (const peer of node.peers.keys()) {
          const next = left.get(peer);
          if (next !== undefined) component.push(next);
          left.delete(peer);
        }
      }
      components.push(component.map(({ nodeId }) => nodeId));
    }
    return components.sort((a, b) => b.length - a.length);
  }

  /** Lets time pass until all that are up are connected. @returns after how long, milliseconds; undefined: not in time */
  async connected(withinMs: number): Promise<number | undefined> {
    const startMs = this.time.now();
    while (this.components().length > 1) {
      if (this.time.now() - startMs >= withinMs) return undefined;
      await this.time.run(500);
    }
    return this.time.now() - startMs;
  }

  async close(): Promise<void> {
    for (const nodeId of [...this.nodes.keys()]) await this.stop(nodeId);
  }
}

export class DialingNode {
  readonly nodeId: NodeId;
  readonly connections: Connections;
  /** All that it has ever heard of. */
  readonly members: Set<string>;
  isUp = true;
  /** By session. */
  readonly links = new Map<number, Link>();
  /** Links that are up, by the peer. */
  readonly peers = new Map<NodeId, Link>();
  readonly #mesh: DialingMesh;
  #sessions = 0;

  constructor(mesh: DialingMesh, nodeId: NodeId, members: ReadonlySet<string>) {
    this.#mesh = mesh;
    this.nodeId = nodeId;
    this.members = new Set(members).add(nodeId);
    const { maxPeers, degree, seeds } = mesh.options;
    let host: TransportHost | undefined;
    const transport: Transport = {
      listen: async (given) => {
        host = given;
        return [`x:${nodeId}`];
      },
      seeds: () => seeds,
      dial: (address) => {
        const to = address.slice(2);
        mesh.dials += 1;
        return new Promise((resolve, reject) => {
          mesh.time.after(2 * LATENCY_MS, () => {
            const peer = mesh.nodes.get(to);
            if (peer === undefined || !this.isUp || !mesh.reaches(nodeId, to)) reject(new Error(`cannot reach ${to}`));
            else resolve(new Link(mesh, this, peer).dialerEnd);
          });
        });
      },
      close: async () => undefined,
    };
    this.accept = (channel) => host?.accept(channel);
    this.connections = new Connections({
      transport,
      timers: mesh.time,
      random: seededRandom(Math.floor(mesh.random.fraction() * 2 ** 31)),
      nodeId,
      clusterId: "test",
      ...(maxPeers === undefined ? {} : { maxPeers }),
      ...(degree === undefined ? {} : { degree }),
      onChannel: (channel) => {
        const session = ++this.#sessions;
        (channel as LinkEnd).link.take(this, session);
        return session;
      },
    });
  }

  /** Hands over a channel that somebody else has dialed. */
  readonly accept: (channel: Channel) => void;

  get degree(): number {
    return this.peers.size;
  }

  retarget(): void {
    const targets: Target[] = [...this.members].map((nodeId) => ({ nodeId, addresses: [`x:${nodeId}`] }));
    this.connections.setTargets(targets.filter(({ nodeId }) => nodeId !== this.nodeId));
  }

  /** Member records travel over every link that is up. */
  learn(members: ReadonlySet<string>): void {
    const before = this.members.size;
    for (const member of members) this.members.add(member);
    if (this.members.size === before) return;
    this.retarget();
    for (const link of this.peers.values()) link.tell(this);
  }

  /** What the replicator does with a hello: whether the peer may stay, and who has to go for it. */
  hasRoomFor(peer: DialingNode): boolean {
    const { maxPeers = 64 } = this.#mesh.options;
    if (this.peers.size < maxPeers) return true;
    const links = new Set(peer.peers.keys());
    const newcomer = { nodeId: peer.nodeId, links, isKnown: this.members.has(peer.nodeId) };
    const leaves = whoMakesRoom(this.nodeId, newcomer, this.#seated());
    if (leaves === undefined) return false;
    this.peers.get(leaves)?.break("too-many-peers");
    return true;
  }

  /** What the replicator does once a second while it is crowded. */
  thin(): void {
    if (!this.isUp) return;
    this.#mesh.time.after(1000, () => this.thin());
    const spare = this.peers.size > PEERS_CROWDED ? whoIsSpare(this.nodeId, this.#seated()) : undefined;
    if (spare !== undefined) this.peers.get(spare)?.break("too-many-peers");
  }

  #seated(): Seated[] {
    return [...this.peers].map(([nodeId, link]) => ({ nodeId, links: new Set(link.other(this).peers.keys()) }));
  }
}

interface LinkEnd extends Channel {
  readonly link: Link;
}

/** A connection: two channels, and what hellos would decide. */
class Link {
  readonly dialer: DialingNode;
  readonly accepter: DialingNode;
  readonly dialerEnd: LinkEnd;
  readonly #mesh: DialingMesh;
  readonly #sessions = new Map<DialingNode, number>();
  #over = false;

  constructor(mesh: DialingMesh, dialer: DialingNode, accepter: DialingNode) {
    this.#mesh = mesh;
    this.dialer = dialer;
    this.accepter = accepter;
    this.dialerEnd = this.#end();
    accepter.accept(this.#end());
    mesh.time.after(LATENCY_MS, () => this.#greet());
  }

  take(node: DialingNode, session: number): void {
    this.#sessions.set(node, session);
    node.links.set(session, this);
  }

  other(node: DialingNode): DialingNode {
    return node === this.dialer ? this.accepter : this.dialer;
  }

  tell(from: DialingNode): void {
    this.#mesh.time.after(LATENCY_MS, () => {
      if (!this.#over) this.other(from).learn(from.members);
    });
  }

  break(code = "lost"): void {
    if (this.#over) return;
    this.#over = true;
    for (const [node, session] of this.#sessions) {
      const peer = this.other(node);
      if (node.peers.get(peer.nodeId) === this) node.peers.delete(peer.nodeId);
      node.links.delete(session);
      this.#mesh.time.after(LATENCY_MS, () => node.connections.ended(session, peer.nodeId, code));
    }
  }

  /** Both hellos at once: of two links between the same two the older stays. */
  #greet(): void {
    const { dialer, accepter } = this;
    if (this.#over || this.#sessions.size < 2) return this.break();
    if (dialer.peers.has(accepter.nodeId)) return this.break("duplicate");
    if (!dialer.hasRoomFor(accepter) || !accepter.hasRoomFor(dialer)) return this.break("too-many-peers");
    for (const [node, session] of this.#sessions) {
      node.peers.set(this.other(node).nodeId, this);
      this.#mesh.highestDegree = Math.max(this.#mesh.highestDegree, node.degree);
      node.connections.connected(session, this.other(node).nodeId);
    }
    this.tell(dialer);
    this.tell(accepter);
  }

  #end(): LinkEnd {
    return {
      link: this,
      remote: "x",
      start: (_receiver: ChannelReceiver) => undefined,
      send: () => undefined,
      close: () => this.break(),
    };
  }
}
