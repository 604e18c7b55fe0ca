/**
 * Who the members are, as their records say. In a large cluster records come all the time while it forms, so what has
 * changed since the last look is read from the change log: a record costs what it says, and not what all others say.
 */
import { decodeMember, MEMBER_RANGE, type MemberRecord, memberKey } from "../codec/members.ts";
import type { CoreState } from "../core/core-state.ts";
import { NO_SLOT, type Slot } from "../core/table.ts";
import { isMemberKey } from "../limits.ts";
import type { Lsn, NodeId } from "../types.ts";

/** With more changes than this, of whatever keys, all records are read instead. */
const CHANGES_MAX = 1000;

export class MemberList {
  readonly #state: CoreState;
  /** In the order of their keys. Replaced, never changed: others hold on to it. */
  #members: readonly MemberRecord[] = [];
  /** Up to where the change log was read; `undefined`: all is to be read. */
  #lsn: Lsn | undefined;
  #news: MemberRecord[] = [];

  constructor(state: CoreState) {
    this.#state = state;
  }

  /** All members, by name in UTF-8 byte order, as memory has them now. */
  get all(): readonly MemberRecord[] {
    this.#update();
    return this.#members;
  }

  /** Members that have come since the last call, or that say something new. */
  takeNews(): readonly MemberRecord[] {
    this.#update();
    const news = this.#news;
    this.#news = [];
    return news;
  }

  /** A record has gone in a way that the change log does not tell: all are read again. */
  forget(): void {
    this.#lsn = undefined;
  }

  #update(): void {
    const { lsn } = this.#state;
    if (this.#lsn === undefined || lsn - this.#lsn > CHANGES_MAX) this.#readAll();
    else if (this.#lsn !== lsn) this.#readSince(this.#lsn);
    this.#lsn = lsn;
  }

  #readAll(): void {
    const members: MemberRecord[] = [];
    for (const { key, value } of this.#state.table.range(MEMBER_RANGE)) {
      const member = value === null ? undefined : decodeMember(key, value);
      if (member !== undefined) members.push(member);
    }
    this.#members = members;
    this.#news = [...members];
  }

  #readSince(lsn: Lsn): void {
    const { table } = this.#state;
    for (let slot = table.nextChange(lsn); slot !== NO_SLOT; slot = table.nextChange(table.lsnAt(slot)))
      this.#read(slot);
  }

  #read(slot: Slot): void {
    const { key, value } = this.#state.table.entryAt(slot);
    if (!isMemberKey(key)) return;
    const member = value === null ? undefined : decodeMember(key, value);
    const at = this.#placeOf(key);
    const held = this.#members[at];
    const isHeld = held !== undefined && Buffer.compare(memberKey(held.nodeId), key) === 0;
    this.#members = this.#members.toSpliced(at, isHeld ? 1 : 0, ...(member === undefined ? [] : [member]));
    if (member !== undefined) this.#news.push(member);
  }

  /** Where a key is among those of the members, or would be. */
  #placeOf(key: Uint8Array): number {
    let low = 0;
    let high = this.#members.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (Buffer.compare(memberKey(this.#members[middle]?.nodeId as NodeId), key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
