/**
 * Our direction of a session: what a peer still has to get from us, and what we may claim to have
 * sent. PROTOCOL.md, "Catch-up", "Live", "Marks" and "Relay", says why this is sound.
 *
 * Memory is O(origins) and a bounded number of waiting writes, whatever the peer does: pages are made
 * from the change log (catch-up) or handed through as they commit (live), never queued.
 */
import type { CoreState } from "../core/core-state.ts";
import { NO_SLOT } from "../core/table.ts";
import { type VectorPairs, VersionVector } from "../core/version-vector.ts";
import { isMemberKey, SUPPLIED_AUTHORS_MAX } from "../limits.ts";
import { type Entry, type Lsn, type NodeId, nodeIdOf, type Origin, type Seq } from "../types.ts";
import { Claims } from "./claims.ts";
import type { AppliedBatch, Ready, SessionId } from "./committed.ts";
import type { Durable } from "./durable.ts";
import type { FlowLimits } from "./flow.ts";
import type { Page } from "./messages.ts";
import type { Pace } from "./pace.ts";
import type { Settling } from "./settling.ts";
import { RELAY_WAIT_TICKS, WaitingList } from "./waiting.ts";

const NO_LINKS: ReadonlySet<NodeId> = new Set();
/** What the peer holds already is passed by so many entries at a time, then others have their turn. */
const PASSED_MAX = 5000;
/** What a page costs besides keys and values, per entry: a bound, for the window only. */
const ENTRY_OVERHEAD_BYTES = 40;

/** Of the window, as a part: whenever so much was sent the peer is asked for an ack, whether anybody waits for it or not. */
const ASK_PART = 1 / 4;

/** The world of an `Outbound`. */
export interface OutboundLinks {
  /** Shared by all sessions. */
  readonly pace: Pace;
  /** Sends a page and returns its frame number. */
  readonly send: (page: Page) => number;
  /** Whether a call waits for what the peer acknowledges. */
  readonly isAwaited: () => boolean;
}

export class Outbound {
  readonly #state: CoreState;
  readonly #session: SessionId;
  readonly #peer: Origin;
  readonly #flow: FlowLimits;
  readonly #outside: OutboundLinks;
  readonly #waiting = new WaitingList();
  /** What the peer covers durably. */
  readonly #acked: VersionVector;
  readonly #claims: Claims;
  /** Of which origins the peer does not cover all that we durably do: so that nobody need look at all of them. */
  readonly #behind = new Set<Origin>();
  /** As found at the sum of the revisions of `#acked` and of our coverage: each grows with every change. */
  #ahead = { revisions: -1, isSo: false };
  #links = NO_LINKS;
  /** Whose writes the peer gets from somebody else, as it has told us. */
  readonly #pruned = new Set<NodeId>();
  /** Whose writes the peer gets without us: of those whom it is connected to, of those pruned, its own. */
  #authors = NO_LINKS;
  #phase: "catching-up" | "live" = "catching-up";
  /** Catch-up: everything up to here was sent, is covered by the peer, or waits. */
  #cursor: Lsn = 0;
  /** Frame number and bytes of pages the peer has not acknowledged. */
  #inFlight: { frame: number; bytes: number }[] = [];
  #inFlightBytes = 0;
  /** Sent since the peer was last asked for an ack. */
  #unaskedBytes = 0;
  /** The catch-up has not begun: something has to be found out before. */
  #held = false;
  /** Knows what the peer holds without covering it. */
  #known: Settling | undefined;
  /** Where the cursor was when a frame was sent, for what the peer has not yet kept. */
  #cursors: { frame: number; cursor: Lsn }[] = [];
  #keptCursor: Lsn = 0;
  /** Before the cursor there may be writes that wait, which end with the session: the walk has to begin anew. */
  #hasFallenBack = false;

  constructor(
    state: CoreState,
    session: SessionId,
    peer: Origin,
    covered: VectorPairs,
    durable: Durable,
    flow: FlowLimits,
    outside: OutboundLinks,
  ) {
    this.#state = state;
    this.#session = session;
    this.#peer = peer;
    this.#acked = new VersionVector(covered);
    for (const [origin] of durable.coverage.above(this.#acked)) this.#behind.add(origin);
    this.#claims = new Claims(this.#acked, this.#waiting);
    this.#flow = flow;
    this.#outside = outside;
  }

  get phase(): "catching-up" | "live" {
    return this.#phase;
  }

  /** What the peer told us that it covers. */
  get acked(): VersionVector {
    return this.#acked;
  }

  /** Whether the peer durably covers all that we do. */
  get isCaughtUp(): boolean {
    return this.#behind.size === 0;
  }

  /** Whether the peer covers what we do not. Looks at all origins only if something has changed since it last did. */
  isAhead({ coverage }: Durable): boolean {
    const revisions = this.#acked.revision + coverage.revision;
    if (revisions !== this.#ahead.revisions) {
      this.#ahead = { revisions, isSo: !coverage.dominates(this.#acked) };
    }
    return this.#ahead.isSo;
  }

  /** Our coverage has become durable up to `pairs`. Before they are forwarded. */
  covered(pairs: VectorPairs): void {
    for (const [origin, seq] of pairs) if (!this.#acked.covers(origin, seq)) this.#behind.add(origin);
  }

  /** The peer has its own writes, whatever it has told us. @returns whether that is news */
  hasOwn({ coverage }: Durable): boolean {
    const isNews = this.#acked.raise(this.#peer, coverage.get(this.#peer));
    if (isNews) this.#behind.delete(this.#peer);
    return isNews;
  }

  /** Who the peer is connected to, as it has told us last. */
  get links(): ReadonlySet<NodeId> {
    return this.#links;
  }

  /** Whose writes the peer has asked us to hold back. */
  get pruned(): ReadonlySet<NodeId> {
    return this.#pruned;
  }

  get inFlightBytes(): number {
    return this.#inFlightBytes;
  }

  /** Writes that wait for their author to deliver them. */
  get waits(): number {
    return this.#waiting.size;
  }

  /** Up to where the change log need not be walked again, should this session break in the midst of its catch-up. */
  get resumableCursor(): Lsn {
    return this.#phase === "catching-up" && !this.#hasFallenBack ? this.#keptCursor : 0;
  }

  /** Goes on where the catch-up of an earlier session broke off. Before anything is sent. */
  resume(cursor: Lsn): void {
    this.#cursor = cursor;
    this.#keptCursor = cursor;
  }

  /** Whether more than `count` entries would have to be sent for a catch-up. */
  isBacklogAbove(count: number): boolean {
    const { table } = this.#state;
    let lsn = this.#cursor;
    for (let n = 0; n <= count; n += 1) {
      const slot = table.nextChange(lsn, this.#acked);
      if (slot === NO_SLOT) return false;
      lsn = table.lsnAt(slot);
    }
    return true;
  }

  /** Whether the catch-up has not begun. */
  get isHeld(): boolean {
    return this.#held;
  }

  /** Sends nothing until `release`. Only before the catch-up. */
  hold(): void {
    this.#held = true;
  }

  /** @param known  says what the peer holds, so that it is not sent */
  release(durable: Durable, known?: Settling): void {
    this.#held = false;
    this.#known = known;
    this.pump(durable);
  }

  /** Sends entries once more, whatever was sent before. They are durable, and not claimed by this. */
  resend(entries: readonly Entry[]): void {
    if (entries.length > 0 && this.#phase === "live") this.#sendPages(entries, null, 0, 0);
  }

  /** Asks for an ack if pages were sent that have none. In a catch-up every page asks for its own. */
  askForAck(): void {
    if (this.#phase !== "live" || this.#inFlight.length === 0) return;
    this.#unaskedBytes = Number.POSITIVE_INFINITY;
    this.#sendPages([], null, 0, 0);
  }

  /** The peer's direct connections: it gets their writes from them. Those that it lost are sent at once. */
  connectedTo(links: ReadonlySet<NodeId>, tick: number, durable: Durable): void {
    this.#links = links;
    this.#findAuthors();
    this.tick(tick, durable);
  }

  /**
   * The peer gets the writes of the authors in `prune` from somebody else: they wait. Those of the authors in `graft` are
   * sent at once again, with what waits.
   */
  supply(prune: readonly NodeId[], graft: readonly NodeId[], tick: number, durable: Durable): void {
    for (const author of prune) {
      this.#pruned.delete(author);
      this.#pruned.add(author);
      const [oldest] = this.#pruned;
      if (this.#pruned.size > SUPPLIED_AUTHORS_MAX && oldest !== undefined) this.#pruned.delete(oldest);
    }
    for (const author of graft) this.#pruned.delete(author);
    this.#findAuthors();
    if (graft.length > 0) this.tick(tick, durable);
  }

  #findAuthors(): void {
    this.#authors = new Set([...this.#links, ...this.#pruned, nodeIdOf(this.#peer)]);
  }

  /** The peer has durably applied all entries of our frames up to `frame`; 0: it has refused some. */
  kept(frame: number): void {
    if (frame === 0) this.#keptCursor = 0;
    for (let first = this.#cursors[0]; first !== undefined && first.frame <= frame; first = this.#cursors[0]) {
      this.#cursors.shift();
      this.#keptCursor = first.cursor;
    }
  }

  /** The peer covers `pairs` and has dealt with our frames up to `frames`. */
  acknowledged(pairs: VectorPairs, frames: number, durable: Durable): void {
    for (const [origin, seq] of pairs) {
      if (!this.#acked.raise(origin, seq)) continue;
      if (this.#behind.size > 0 && seq >= durable.coverage.get(origin)) this.#behind.delete(origin);
    }
    for (let first = this.#inFlight[0]; first !== undefined && first.frame <= frames; first = this.#inFlight[0]) {
      this.#inFlight.shift();
      this.#inFlightBytes -= first.bytes;
    }
    this.#waiting.dropCovered(this.#acked);
    this.pump(durable);
    this.#claimReleased(durable);
  }

  /** Sends what has waited long enough for its author. */
  tick(tick: number, durable: Durable): void {
    this.pump(durable);
    if (this.#waiting.size === 0) return;
    const entries: Entry[] = [];
    this.#waiting.dropCovered(this.#acked);
    const send = (key: Uint8Array): boolean => this.#takeCurrent(key, durable, entries);
    const late = this.#waiting.endWaits(tick, this.#authors, this.#acked, send);
    // Whoever was to supply them does not: we do, until the peer says otherwise.
    let hasPrunedLess = false;
    for (const author of late) if (this.#pruned.delete(author)) hasPrunedLess = true;
    if (hasPrunedLess) this.#findAuthors();
    const isLive = this.#phase === "live";
    const mark = isLive ? this.#claims.takeMark(durable) : null;
    // In the midst of a catch-up they become part of its transfer, which does not end here.
    if (entries.length > 0 || mark !== null) this.#sendPages(entries, mark, 0, 0, isLive);
  }

  /** Catch-up: sends pages from the change log until the window is full, the end is reached, or the turn is over. */
  pump(durable: Durable): void {
    while (!this.#held && this.#phase === "catching-up" && this.#inFlightBytes < this.#flow.windowBytes) {
      if (!this.#outside.pace.mayGoOn()) return;
      const entries: Entry[] = [];
      const end = this.#collect(entries, durable);
      if (end === "log") {
        this.#goLive(entries, durable);
        return;
      }
      if (entries.length > 0) {
        const frame = this.#sendPage(entries, null, 0, 0, false);
        this.#cursors.push({ frame, cursor: this.#cursor });
      }
      // There was work without anything to send.
      if (end === "turn") this.#outside.pace.spend(this.#flow.turnBytes);
    }
  }

  /** Live: passes on what has just become durable. `durable` includes it. */
  forward(ready: Ready, durable: Durable, tick: number): void {
    if (this.#phase !== "live") return this.pump(durable);
    if (this.#inFlightBytes >= this.#flow.windowBytes) {
      this.#fallBack(ready.lsn);
      return;
    }
    const entries: Entry[] = [];
    let bytes = 0;
    for (const batch of ready.batches) {
      if (batch.via !== undefined) this.#claims.relayed(batch.entries);
      if (batch.via === this.#session) continue;
      // Between batches a transfer may end, so that no batch is staged for another one's sake.
      if (bytes > this.#flow.pageBytes) {
        this.#sendPages(entries.splice(0), null, 0, 0);
        bytes = 0;
      }
      // All of a batch waits, or none of it: the peer is to see it whole.
      const mayWait = this.#waiting.size + batch.entries.length <= this.#flow.relayWaits;
      for (const entry of batch.entries) {
        if (this.#acked.covers(entry.origin, entry.seq)) continue;
        const waitTicks = !mayWait ? 0 : this.#hasAuthor(entry) ? RELAY_WAIT_TICKS : isPatient(entry, batch) ? 1 : 0;
        if (waitTicks > 0) {
          const { key, origin, seq, stamp } = entry;
          this.#waiting.add({ key, lsn: ready.lsn + 1, dueTick: tick + waitTicks, origin, seq, stamp });
          continue;
        }
        this.#waiting.supersede(entry.key);
        entries.push(entry);
        bytes += entryBytes(entry);
      }
    }
    this.#claims.cut(ready, durable);
    const { mark, runFrom, runTo } = this.#claims.take(this.#state.origin, durable);
    if (entries.length > 0 || mark !== null || runTo > 0) this.#sendPages(entries, mark, runFrom, runTo);
  }

  /**
   * Whether the peer will probably get an entry without us. Its own, that others have brought, it has, and will say so;
   * if it does not, its disk was set back, and it has to see what it has lost.
   */
  #hasAuthor({ origin }: Entry): boolean {
    if (origin === this.#peer) return true;
    if (origin === this.#state.origin) return false;
    const author = nodeIdOf(origin);
    return this.#links.has(author) || this.#pruned.has(author);
  }

  /** Whether the wait is over; adds the version of the key that is to be sent instead, if any. */
  #takeCurrent(key: Uint8Array, durable: Durable, entries: Entry[]): boolean {
    const slot = this.#state.table.find(key);
    if (slot === NO_SLOT) return true;
    // Not durable yet: when it is, it is forwarded or waits in its turn.
    if (this.#state.table.lsnAt(slot) > durable.lsn) return false;
    const entry = this.#state.entryAt(slot);
    if (!this.#acked.covers(entry.origin, entry.seq)) entries.push(entry);
    return true;
  }

  /** Fills `entries` from the change log up to the end of a page, of the durable log, or of our turn. */
  #collect(entries: Entry[], durable: Durable): "page" | "log" | "turn" {
    const { table } = this.#state;
    let bytes = 0;
    let passed = 0;
    while (bytes < this.#flow.pageBytes && entries.length < this.#flow.pageEntries) {
      const slot = table.nextChange(this.#cursor, this.#acked);
      if (slot === NO_SLOT || table.lsnAt(slot) > durable.lsn) return "log";
      this.#cursor = table.lsnAt(slot);
      if (this.#known?.isHeld(slot, table.bucketAt(slot)) === true) {
        passed += 1;
        if (passed >= PASSED_MAX) return "turn";
        continue;
      }
      const entry = this.#state.entryAt(slot);
      bytes += entryBytes(entry);
      entries.push(entry);
    }
    return "page";
  }

  /**
   * The walk has reached the durable end. Keys that were overwritten before the walk came to them, by
   * versions that are not durable yet, are missing from it: they are forwarded live when they are, and
   * only then may the whole be claimed.
   */
  #goLive(entries: readonly Entry[], durable: Durable): void {
    this.#phase = "live";
    // The end of a catch-up is acknowledged as the rest of it.
    this.#unaskedBytes = Number.POSITIVE_INFINITY;
    this.#known = undefined;
    this.#cursors = [];
    this.#claims.begin(this.#state.lsn, durable);
    const mark = this.#claims.takeMark(durable);
    if (entries.length > 0 || mark !== null) this.#sendPages(entries, mark, 0, 0);
  }

  #fallBack(cursor: Lsn): void {
    this.#phase = "catching-up";
    this.#cursor = cursor;
    this.#hasFallenBack = true;
    this.#claims.breakOff();
  }

  #claimReleased(durable: Durable): void {
    const mark = this.#phase === "live" ? this.#claims.takeMark(durable) : null;
    if (mark !== null) this.#sendPages([], mark, 0, 0);
  }

  /** Sends a transfer: pages of bounded size, of which the last one ends it and carries the claims. */
  #sendPages(entries: readonly Entry[], mark: VectorPairs | null, runFrom: number, runTo: number, last = true): void {
    let page: Entry[] = [];
    let bytes = 0;
    for (const entry of entries) {
      if (bytes > this.#flow.pageBytes || page.length >= this.#flow.pageEntries) {
        this.#sendPage(page, null, 0, 0, false);
        page = [];
        bytes = 0;
      }
      page.push(entry);
      bytes += entryBytes(entry);
    }
    this.#sendPage(page, mark, runFrom, runTo, last);
  }

  #sendPage(entries: readonly Entry[], mark: VectorPairs | null, runFrom: Seq, runTo: Seq, last: boolean): number {
    let bytes = ENTRY_OVERHEAD_BYTES;
    for (const entry of entries) bytes += entryBytes(entry);
    this.#unaskedBytes += bytes;
    const isMuch = this.#unaskedBytes >= this.#flow.windowBytes * ASK_PART;
    const ackNow = this.#phase !== "live" || isMuch || this.#outside.isAwaited();
    if (ackNow) this.#unaskedBytes = 0;
    const frame = this.#outside.send({ type: "page", entries, last, runFrom, runTo, mark, ackNow });
    this.#inFlight.push({ frame, bytes });
    if (this.#phase === "catching-up") this.#outside.pace.spend(bytes);
    this.#inFlightBytes += bytes;
    return frame;
  }
}

/**
 * Whether an entry that a relay passes on may wait for the next tick. Records of members do: while a large cluster forms they
 * come from all sides at once, and of those that gather in a tick, the peer has most by then. Nothing else of the store's own
 * may: parts of merged entries belong to batches, which the peer is to see whole.
 */
function isPatient({ key }: Entry, { via }: AppliedBatch): boolean {
  return via !== undefined && isMemberKey(key);
}

function entryBytes(entry: Entry): number {
  return entry.key.length + (entry.value?.length ?? 0) + ENTRY_OVERHEAD_BYTES;
}
