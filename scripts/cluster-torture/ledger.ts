/**
 * The outside record of what the nodes were told to write and what they have acknowledged, and the judgement over what
 * they hold in the end. Shares no code with the store.
 */
import { SKEW_MS_MAX } from "./faults.ts";
import { type HeldEntry, type Report, type Write, writerOf } from "./messages.ts";

/** A step of one node: its writes share a stamp. */
interface Sent {
  readonly name: string;
  readonly writes: readonly Write[];
  readonly safe: boolean;
  readonly expires: boolean;
  /** Its stamp is between these two, inclusive; anything, as long as the node has not told. */
  low: number;
  high: number;
  /** Milliseconds since 1970; 0: never. */
  expiresAt: number;
  acknowledged: boolean;
  /** Its only holder may have lost its directory. */
  mayBeLost: boolean;
}

/** An entry shows for longer, or for shorter, by as much as hybrid clocks are off, which remember the skews of all. */
const EXPIRY_MS_MAX = 2000 + SKEW_MS_MAX;

export class Ledger {
  readonly #sentBy = new Map<string, Sent[]>();
  readonly #sentTo = new Map<string, Sent[]>();
  #writes = 0;
  #safe = 0;
  #acknowledged = 0;

  /** So many keys were written, repeated ones counted again; so many steps were acknowledged, so many of them safe ones. */
  get totals(): { readonly writes: number; readonly acknowledged: number; readonly safe: number } {
    return { writes: this.#writes, acknowledged: this.#acknowledged, safe: this.#safe };
  }

  /** The number of the first write that the node has not sent yet. */
  nextNumber(nodeId: string): number {
    return this.#of(nodeId).length;
  }

  /** Takes note of what a node tells. Reports that are not about writes are ignored. */
  record(nodeId: string, report: Report): void {
    if (report.type === "sent") this.#send(nodeId, report);
    if (report.type !== "issued" && report.type !== "acknowledged") return;
    const sent = this.#of(nodeId)[report.number];
    if (sent === undefined) throw new Error(`${nodeId} speaks of write ${report.number}, which it has not sent`);
    if (report.type === "issued") {
      ({ low: sent.low, high: sent.high, expiresAt: sent.expiresAt } = report);
    } else {
      sent.acknowledged = true;
      this.#acknowledged += 1;
      if (sent.safe) this.#safe += 1;
    }
  }

  /** The directory of the node is gone, or an old one again: what only this node has held may be lost. */
  lost(nodeId: string): void {
    for (const sent of this.#of(nodeId)) sent.mayBeLost = true;
  }

  /**
   * Judges what all nodes hold.
   *
   * @param now  when the entries were read, milliseconds since 1970
   * @returns a sentence for each thing that is wrong
   */
  check(entries: readonly HeldEntry[], now: number): string[] {
    const held = new Map(entries.map((entry) => [entry[0], entry]));
    const problems: string[] = [];
    for (const key of held.keys()) if (!this.#sentTo.has(key)) problems.push(`${key} was never written`);
    for (const [key, sents] of this.#sentTo) problems.push(...this.#checkKey(key, sents, held.get(key), now));
    for (const sents of this.#sentBy.values()) {
      for (const sent of sents) problems.push(...this.#checkBatch(sent, held, now));
    }
    return problems;
  }

  #send(nodeId: string, { number, writes, safe, expires }: Extract<Report, { type: "sent" }>): void {
    const sents = this.#of(nodeId);
    if (number !== sents.length) throw new Error(`${nodeId} sends write ${number} in place of ${sents.length}`);
    const sent: Sent = {
      name: `${nodeId}/${number}`,
      writes,
      safe,
      expires,
      low: 0,
      high: Number.POSITIVE_INFINITY,
      expiresAt: 0,
      acknowledged: false,
      mayBeLost: false,
    };
    sents.push(sent);
    this.#writes += writes.length;
    for (const [key] of writes) {
      const others = this.#sentTo.get(key);
      if (others === undefined) this.#sentTo.set(key, [sent]);
      else others.push(sent);
    }
  }

  #checkKey(key: string, sents: readonly Sent[], held: HeldEntry | undefined, now: number): string[] {
    /** The newest that must not be lost. */
    let due: Sent | undefined;
    for (const sent of sents) {
      const isDue = sent.acknowledged && (sent.safe || !sent.mayBeLost);
      if (isDue && sent.low > (due?.low ?? 0)) due = sent;
    }
    const dueName = due === undefined ? "" : `${describe(due, key)}, stamp ${due.low}`;
    if (held === undefined) {
      if (due === undefined || isAbsenceExplained(key, sents, due.low, now)) return [];
      return [`${key} is absent; acknowledged was ${dueName}`];
    }
    const [, value, stamp, expiresAt] = held;
    const writer = writerOf(value);
    const author = writer === undefined ? undefined : this.#of(writer.nodeId)[writer.number];
    if (author === undefined || !author.writes.some(([own, type]) => own === key && type === "put")) {
      return [`${key} holds what was never sent: ${String(value).slice(0, 40)}`];
    }
    const problems: string[] = [];
    if (stamp < author.low || stamp > author.high) {
      problems.push(`${key} holds ${author.name} with stamp ${stamp}; it was written with ${author.low}`);
    }
    if (expiresAt !== 0 && expiresAt < now - EXPIRY_MS_MAX) problems.push(`${key} has expired and is still there`);
    if (due !== undefined && stamp < due.low) {
      const what = typeIn(due, key) === "del" ? "has come back" : "is too old";
      problems.push(`${key} ${what}: it holds ${author.name}, stamp ${stamp}; acknowledged was ${dueName}`);
    }
    return problems;
  }

  /** If one key shows the batch, no other one may be older than it. */
  #checkBatch(batch: Sent, held: ReadonlyMap<string, HeldEntry>, now: number): string[] {
    if (batch.writes.length === 1) return [];
    const shown = batch.writes.find(([key]) => {
      const writer = writerOf(held.get(key)?.[1]);
      return writer !== undefined && `${writer.nodeId}/${writer.number}` === batch.name;
    });
    if (shown === undefined) return [];
    const [, , stamp] = held.get(shown[0]) ?? ["", "", 0];
    return batch.writes.flatMap(([key]) => {
      const other = held.get(key);
      const isWhole =
        other === undefined ? isAbsenceExplained(key, this.#sentTo.get(key) ?? [], stamp, now) : other[2] >= stamp;
      return isWhole ? [] : [`of the batch ${batch.name} there is ${shown[0]}, but not ${key}`];
    });
  }

  #of(nodeId: string): Sent[] {
    let sents = this.#sentBy.get(nodeId);
    if (sents === undefined) {
      sents = [];
      this.#sentBy.set(nodeId, sents);
    }
    return sents;
  }
}

/** Whether some delete, or a write that has expired, can be the last one and no older than `stamp`. */
function isAbsenceExplained(key: string, sents: readonly Sent[], stamp: number, now: number): boolean {
  return sents.some((sent) => {
    const leavesNothing = typeIn(sent, key) === "del" || (sent.expires && sent.expiresAt <= now + EXPIRY_MS_MAX);
    return leavesNothing && sent.high >= stamp;
  });
}

function typeIn(sent: Sent, key: string): "put" | "del" | undefined {
  return sent.writes.find(([own]) => own === key)?.[1];
}

function describe(sent: Sent, key: string): string {
  return `the ${typeIn(sent, key) === "del" ? "delete" : "put"} ${sent.name}${sent.safe ? " by two nodes" : ""}`;
}
