/**
 * Who is told what of the ephemeral entries. PROTOCOL.md, "Ephemeral entries", says why it is done like this.
 *
 * Nothing is queued: of every peer it is known how far it knows each process, a few messages with news are on their way to
 * it, and the next one says what has become of things meanwhile. So a slow peer costs one number for each process, and
 * gets the latest state only.
 */
import { PEERS_MAX } from "../limits.ts";
import type { NodeId } from "../types.ts";
import type { SessionId } from "./committed.ts";
import { compareAuthors, type EphemeralSet, isSameProcess } from "./ephemeral-set.ts";
import { type EphemeralOptions, EphemeralSets } from "./ephemeral-sets.ts";
import type { AuthorNews, AuthorVersion, EphemeralNews } from "./messages.ts";

/** Signs of life in one lease. */
const BEATS = 4;
/** After this part of a lease without one, the neighbours are asked. */
const DOUBT = 2;
/** A message is closed, and none is sent until the peer has confirmed some, once their values have this many bytes. */
const MESSAGE_BYTES = 256 * 1024;
/**
 * Messages with news on their way to one peer. With a single one each relay would hold a sign of life back for as long as
 * it takes to confirm the one before, and along a line these delays add up.
 */
const WINDOW_MESSAGES = 8;
/** A clash of names is answered once in so many ticks, or two processes would outbid each other as fast as they can. */
const OUTLIVE_TICKS = 20;

/** What has to be known of a session: Session is one. */
export interface EphemeralPeer {
  readonly id: SessionId;
  /** Whether the peer has said that it is connected to that replica. */
  isConnectedTo(nodeId: NodeId): boolean;
  /** Counts what the peer has sent and nobody can use. */
  reject(reason: string): void;
}

/** What is known of the other end of a session. */
interface Line<Peer> {
  readonly peer: Peer;
  /** Its first message has come: it has said what it holds. */
  isOpen: boolean;
  /** How far the peer knows each process. */
  readonly known: Map<NodeId, AuthorVersion>;
  /** Processes of which there may be something to tell. */
  readonly due: Set<NodeId>;
  /** Those that the peer wants to hear of from us, although it is connected to them itself. */
  readonly asked: Set<NodeId>;
  /** What we are going to say that we hold, to hear of what is newer. */
  readonly asks: Map<NodeId, AuthorVersion>;
  /** Messages with news: sent, taken in by the peer, and of the peer's, by us. */
  sent: number;
  confirmed: number;
  taken: number;
  /** Bytes of the values in those that are sent and not taken in. */
  readonly inFlight: number[];
  owesConfirmation: boolean;
}

export class EphemeralExchange<Peer extends EphemeralPeer> {
  readonly sets: EphemeralSets;
  readonly #send: (peer: Peer, message: EphemeralNews) => void;
  readonly #lines = new Map<SessionId, Line<Peer>>();
  /** Left out for want of room. */
  readonly #refused = new Set<NodeId>();
  /** A process of our name that is not us, as somebody has told. */
  #namesake: AuthorVersion | undefined;
  #outlivedTick = Number.NEGATIVE_INFINITY;
  readonly #tickMs: number;

  constructor(
    own: { readonly nodeId: NodeId; readonly incarnation: string },
    options: EphemeralOptions & { readonly tickMs: number },
    send: (peer: Peer, message: EphemeralNews) => void,
  ) {
    this.sets = new EphemeralSets(own, options, options.tickMs);
    this.#tickMs = options.tickMs;
    this.#send = send;
  }

  // ---- our own -------------------------------------------------------------------------------

  /** Sets a key of ours, or removes it, and tells everybody who is ready to hear of it. */
  change(key: string, value: Uint8Array | null, tick: number): void {
    if (!this.sets.change(key, value, tick)) return;
    this.#isDue(this.sets.own.author.nodeId);
    this.#flush(tick);
  }

  // ---- sessions ------------------------------------------------------------------------------

  /** A peer that understands us was welcomed. Says what we hold. */
  join(peer: Peer): void {
    const line: Line<Peer> = {
      peer,
      isOpen: false,
      known: new Map(),
      due: new Set(),
      asked: new Set(),
      asks: new Map(),
      sent: 0,
      confirmed: 0,
      taken: 0,
      inFlight: [],
      owesConfirmation: false,
    };
    this.#lines.set(peer.id, line);
    const held = [...this.sets.sets.values()].map(({ author }) => author).filter(({ version }) => version > 0);
    this.#tell(line, [], held);
  }

  leave(session: SessionId): void {
    this.#lines.delete(session);
  }

  /** A peer has said itself that its process closes: its entries go with it, and others are told so. */
  farewell(nodeId: NodeId, incarnation: string, tick: number): void {
    if (!this.sets.close(nodeId, incarnation)) return;
    this.#isDue(nodeId);
    this.#flush(tick);
  }

  /** A peer is connected to others than before: it may need to hear from us what it has heard from them. */
  linked(session: SessionId, tick: number): void {
    const line = this.#lines.get(session);
    if (line === undefined) return;
    for (const nodeId of this.sets.sets.keys()) line.due.add(nodeId);
    this.#flush(tick);
  }

  receive(peer: Peer, message: EphemeralNews, tick: number): void {
    const line = this.#lines.get(peer.id);
    if (line === undefined) return peer.reject("ephemeral-unexpected");
    if (message.taken > line.confirmed && message.taken <= line.sent) {
      line.inFlight.splice(0, message.taken - line.confirmed);
      line.confirmed = message.taken;
    }
    if (!line.isOpen) {
      line.isOpen = true;
      // It has said all that it holds: the rest it lacks, whoever it is connected to.
      for (const nodeId of this.sets.sets.keys()) this.#wants(line, nodeId);
    }
    for (const held of message.held) this.#isHeld(line, held);
    if (message.news.length > 0) {
      line.taken += 1;
      line.owesConfirmation = true;
    }
    for (const news of message.news) this.#take(line, news, tick);
    this.#outlive(tick);
    this.#flush(tick);
  }

  #isHeld(line: Line<Peer>, held: AuthorVersion): void {
    const { own, sets } = this.sets;
    if (held.nodeId === own.author.nodeId && !isSameProcess(held, own.author)) this.#namesake = held;
    const set = sets.get(held.nodeId);
    if (set === undefined) return;
    if (set !== own) this.#isRival(line, set, held);
    // Version 0: it holds nothing.
    if (held.version === 0) line.known.delete(held.nodeId);
    else line.known.set(held.nodeId, held);
    this.#wants(line, held.nodeId);
  }

  /** Somebody knows of a younger process: should ours be the one that lives, it has to hear of that, and go above it. */
  #isRival(from: Line<Peer>, set: EphemeralSet, held: AuthorVersion): void {
    if (isSameProcess(held, set.author) || compareAuthors(held, set.rival ?? set.author) <= 0) return;
    set.rival = held;
    for (const line of this.#lines.values()) if (line !== from) line.asks.set(held.nodeId, held);
  }

  #take(line: Line<Peer>, news: AuthorNews, tick: number): void {
    const { nodeId, generation, incarnation, version } = news;
    const outcome = this.sets.take(news, tick);
    const told = { nodeId, generation, incarnation, version };
    if (outcome === "namesake") this.#namesake = told;
    if (outcome === "absurd") line.peer.reject("ephemeral-absurd");
    if (outcome === "full") {
      line.peer.reject("ephemeral-full");
      if (this.#refused.size < PEERS_MAX) this.#refused.add(nodeId);
    }
    if (outcome === "behind") line.asks.set(nodeId, this.#heldOf(nodeId));
    const gone = this.sets.gone(nodeId);
    if (outcome === "superseded" && gone !== undefined) line.asks.set(nodeId, gone);
    if (!this.sets.sets.has(nodeId)) return;
    const known = line.known.get(nodeId);
    if (known === undefined || compareAuthors(told, known) > 0) line.known.set(nodeId, told);
    if (outcome === "taken") this.#isDue(nodeId);
    else line.due.add(nodeId);
  }

  // ---- time ----------------------------------------------------------------------------------

  /** Once a tick: drops what has outlived its lease, shows that we live, and asks about those that are not heard of. */
  tick(tick: number): void {
    const { own, sets } = this.sets;
    const expired = this.sets.expire(tick);
    for (const nodeId of expired) for (const { known } of this.#lines.values()) known.delete(nodeId);
    // There is room again.
    if (expired.length > 0) {
      for (const nodeId of this.#refused) this.#ask(nodeId);
      this.#refused.clear();
    }
    if (own.size > 0 && (tick - own.heardTick) * this.#tickMs >= own.leaseMs / BEATS) {
      this.sets.beat(tick);
      this.#isDue(own.author.nodeId);
    }
    for (const [nodeId, set] of sets) {
      if (set === own || set.isDoubted || set.size === 0) continue;
      if (this.sets.ageMs(set, tick) < set.leaseMs / DOUBT) continue;
      set.isDoubted = true;
      this.#ask(nodeId);
    }
    this.#outlive(tick);
    this.#flush(tick);
  }

  /** Somebody knows a former process of our name, or a younger one: we are the one that lives. */
  #outlive(tick: number): void {
    if (this.#namesake === undefined || tick - this.#outlivedTick < OUTLIVE_TICKS) return;
    this.sets.outlive(this.#namesake, tick);
    this.#namesake = undefined;
    this.#outlivedTick = tick;
    this.#isDue(this.sets.own.author.nodeId);
  }

  // ---- telling -------------------------------------------------------------------------------

  #isDue(nodeId: NodeId): void {
    for (const line of this.#lines.values()) line.due.add(nodeId);
  }

  #ask(nodeId: NodeId): void {
    for (const line of this.#lines.values()) line.asks.set(nodeId, this.#heldOf(nodeId));
  }

  #wants(line: Line<Peer>, nodeId: NodeId): void {
    line.asked.add(nodeId);
    line.due.add(nodeId);
  }

  #flush(tick: number): void {
    for (const line of this.#lines.values()) {
      if (line.due.size === 0 && line.asks.size === 0 && !line.owesConfirmation) continue;
      const news = hasRoom(line) ? this.#newsFor(line, tick) : [];
      const held = [...line.asks.values()];
      if (news.length > 0 || held.length > 0 || line.owesConfirmation) this.#tell(line, news, held);
    }
  }

  #newsFor(line: Line<Peer>, tick: number): AuthorNews[] {
    const news: AuthorNews[] = [];
    let bytes = 0;
    for (const nodeId of line.due) {
      if (bytes >= MESSAGE_BYTES) break;
      line.due.delete(nodeId);
      const set = this.sets.sets.get(nodeId);
      if (set === undefined) continue;
      // Who is connected to a process hears of it from there; if not, it asks.
      const isLinked = set !== this.sets.own && line.peer.isConnectedTo(nodeId);
      if (isLinked && !line.asked.has(nodeId)) continue;
      const each = set.newsSince(line.known.get(nodeId), this.sets.ageMs(set, tick));
      if (each === undefined) continue;
      line.asked.delete(nodeId);
      line.known.set(nodeId, set.author);
      news.push(each);
      bytes += bytesOf(each);
    }
    return news;
  }

  /** What we hold of a process, if only nothing. */
  #heldOf(nodeId: NodeId): AuthorVersion {
    return this.sets.sets.get(nodeId)?.author ?? { nodeId, generation: 0, incarnation: "0".repeat(16), version: 0 };
  }

  #tell(line: Line<Peer>, news: readonly AuthorNews[], held: readonly AuthorVersion[]): void {
    if (news.length > 0) {
      line.sent += 1;
      line.inFlight.push(news.reduce((sum, each) => sum + bytesOf(each), 0));
    }
    line.owesConfirmation = false;
    line.asks.clear();
    this.#send(line.peer, { type: "ephemeral", taken: line.taken, held, news });
  }
}

/** Whether the peer may be sent news: it has said what it holds, and takes in what comes. */
function hasRoom({ isOpen, inFlight }: Line<unknown>): boolean {
  return isOpen && inFlight.length < WINDOW_MESSAGES && inFlight.reduce((sum, bytes) => sum + bytes, 0) < MESSAGE_BYTES;
}

function bytesOf({ cells }: AuthorNews): number {
  return cells.reduce((sum, { value }) => sum + (value?.length ?? 0), 0);
}
