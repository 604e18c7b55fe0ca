/**
 * From whom we get the writes of each replica that we are not connected to, so that they come once: everybody passes on
 * what he learns, and is asked not to, author by author, where it has come from somebody else already. What is left of the
 * mesh is a tree for each author, along which its writes take the way that was the fastest. Who was asked holds them back
 * until we say that we have them or a wait is over; so a tree that breaks costs time, and loses nothing.
 *
 * The idea, and the words prune and graft, are Plumtree's (Leitão, Pereira, Rodrigues 2007, "Epidemic Broadcast Trees").
 * There a receiver is told what it lacks and asks for it; here its acknowledgements tell as much, and the sender's waiting
 * list does the rest (see Outbound).
 */
import { SUPPLIED_AUTHORS_MAX } from "../limits.ts";
import type { NodeId, Origin } from "../types.ts";
import { nodeIdOf } from "../types.ts";
import type { SessionId } from "./committed.ts";
import type { Supply } from "./messages.ts";
import { RELAY_WAIT_TICKS } from "./waiting.ts";

/** Transfers that bring nothing new of an author before their sender is asked to wait: one who writes once is not worth it. */
const REPEATS_MAX = 2;
/** Who was asked and sends nevertheless, is asked again after so long: what was on its way has come by then. */
const AGAIN_TICKS = 20;

/** What has to be known of a session: Session is one. */
export interface SupplyPeer {
  readonly id: SessionId;
  /** Whether the peer has asked us not to send it that author's writes at once: it has them from somebody else. */
  hasPruned(author: NodeId): boolean;
}

/** How the writes of one author come. */
interface Ways {
  /** The session that supplies them. Nobody else is pruned while it is not known. */
  supplier: SessionId | undefined;
  /** Of other sessions: transfers without anything new, and since when they are pruned. */
  readonly others: Map<SessionId, { repeats: number; prunedTick: number | undefined }>;
}

/** Whether we want to be sent an author's writes at once, for those to whom we have something to say. */
type Changes<Peer> = Map<Peer, Map<NodeId, boolean>>;

export class Suppliers<Peer extends SupplyPeer> {
  readonly #send: (peer: Peer, message: Supply) => void;
  /** Those that understand. Others supply as well, and cannot be asked. */
  readonly #peers = new Map<SessionId, Peer>();
  /** By author, the one heard of last at the end: beyond SUPPLIED_AUTHORS_MAX the first is forgotten. */
  readonly #ways = new Map<NodeId, Ways>();

  constructor(send: (peer: Peer, message: Supply) => void) {
    this.#send = send;
  }

  /** A peer that understands us was welcomed. It sends everything at once, as we do. */
  join(peer: Peer): void {
    this.#peers.set(peer.id, peer);
  }

  /** A session has ended: for each author that it supplied another one is asked to. */
  leave(session: SessionId): void {
    this.#peers.delete(session);
    const changes: Changes<Peer> = new Map();
    for (const [author, ways] of this.#ways) {
      ways.others.delete(session);
      if (ways.supplier !== session) continue;
      const next = this.#nextSupplier(author, ways);
      ways.supplier = next?.id;
      if (next === undefined) continue;
      ways.others.delete(next.id);
      note(changes, next, author, true);
    }
    this.#tell(changes);
  }

  /** A live session has brought a transfer, and what of each author it was. */
  came(session: SessionId, arrivals: Arrivals, tick: number): void {
    const changes: Changes<Peer> = new Map();
    for (const [author, isNew] of arrivals.byAuthor) {
      const ways = this.#waysOf(author);
      if (ways.supplier === session) continue;
      if (isNew) this.#cameNew(session, author, ways, tick, changes);
      else this.#cameAgain(session, author, ways, tick, changes);
    }
    this.#tell(changes);
  }

  /** Whoever brings what we lack is the quicker one, or the only one left. */
  #cameNew(session: SessionId, author: NodeId, ways: Ways, tick: number, changes: Changes<Peer>): void {
    const { supplier } = ways;
    const prunedTick = ways.others.get(session)?.prunedTick;
    // On its way before it was asked: that it overtook the supplier does not matter any more.
    if (prunedTick !== undefined && tick - prunedTick < RELAY_WAIT_TICKS) return;
    ways.supplier = session;
    ways.others.delete(session);
    const peer = this.#peers.get(session);
    if (peer !== undefined && prunedTick !== undefined) note(changes, peer, author, true);
    const old = supplier === undefined ? undefined : this.#peers.get(supplier);
    if (old === undefined) return;
    ways.others.set(old.id, { repeats: 0, prunedTick: tick });
    note(changes, old, author, false);
  }

  #cameAgain(session: SessionId, author: NodeId, ways: Ways, tick: number, changes: Changes<Peer>): void {
    const peer = this.#peers.get(session);
    if (peer === undefined || ways.supplier === undefined) return;
    const other = ways.others.get(session) ?? { repeats: 0, prunedTick: undefined };
    if (other.prunedTick !== undefined && tick - other.prunedTick < AGAIN_TICKS) return;
    other.repeats += 1;
    if (other.repeats >= REPEATS_MAX) {
      other.repeats = 0;
      other.prunedTick = tick;
      note(changes, peer, author, false);
    }
    ways.others.set(session, other);
  }

  /** Somebody who was pruned; rather one that does not depend on us for this author, as far as we know. */
  #nextSupplier(author: NodeId, { others }: Ways): Peer | undefined {
    let next: Peer | undefined;
    for (const [session, { prunedTick }] of others) {
      const peer = prunedTick === undefined ? undefined : this.#peers.get(session);
      if (peer?.hasPruned(author) === true) return peer;
      next ??= peer;
    }
    return next;
  }

  #waysOf(author: NodeId): Ways {
    const ways = this.#ways.get(author) ?? { supplier: undefined, others: new Map() };
    this.#ways.delete(author);
    this.#ways.set(author, ways);
    if (this.#ways.size > SUPPLIED_AUTHORS_MAX) {
      const [oldest] = this.#ways.keys();
      if (oldest !== undefined) this.#ways.delete(oldest);
    }
    return ways;
  }

  #tell(changes: Changes<Peer>): void {
    for (const [peer, wanted] of changes) {
      const authors = [...wanted.keys()];
      const graft = authors.filter((author) => wanted.get(author));
      const prune = authors.filter((author) => !wanted.get(author));
      this.#send(peer, { type: "supply", prune, graft });
    }
  }
}

/** What one transfer brings, by author. */
export class Arrivals {
  /** Whether any of an author's writes was new to us. */
  readonly byAuthor = new Map<NodeId, boolean>();
  readonly #hasWay: (author: NodeId) => boolean;
  #origin: Origin | undefined;
  #author: NodeId | undefined;

  /** @param hasWay  whether that author's writes come from itself: then it does not matter here */
  constructor(hasWay: (author: NodeId) => boolean) {
    this.#hasWay = hasWay;
  }

  /** @param isNew  or else it was covered, or held */
  note(origin: Origin, isNew: boolean): void {
    if (origin !== this.#origin) {
      const author = nodeIdOf(origin);
      this.#author = this.#hasWay(author) ? undefined : author;
      this.#origin = origin;
    }
    if (this.#author !== undefined && (isNew || !this.byAuthor.has(this.#author)))
      this.byAuthor.set(this.#author, isNew);
  }
}

function note<Peer>(changes: Changes<Peer>, peer: Peer, author: NodeId, isWanted: boolean): void {
  const wanted = changes.get(peer);
  if (wanted === undefined) changes.set(peer, new Map([[author, isWanted]]));
  else wanted.set(author, isWanted);
}
