/**
 * The outside record of what a replica was told to write and what it has acknowledged, and the judgement over what it
 * holds after a crash: the state after some prefix of the writes in their order of issue, no shorter than what was
 * acknowledged. Shares no code with the store.
 */
import { type Write, writtenValue } from "./reports.ts";

export interface Findings {
  /** Of the first writes, how many the state is the result of; `undefined` when of no such prefix. */
  readonly prefix: number | undefined;
  /** How many writes were sent since the last check. */
  readonly sent: number;
  /** Acknowledged writes that are gone, or, when the state is no prefix, keys with an older value than acknowledged. */
  readonly lost: number;
  /** Batches of which a part is there and another part is not. */
  readonly torn: number;
  /** A sentence for each thing that is wrong. Empty: all is well. */
  readonly problems: readonly string[];
}

type Contents = ReadonlyMap<string, string>;

export class Ledger {
  /** The state that the last check has found, and what was sent since. */
  #base: Contents = new Map();
  #sent: (readonly Write[])[] = [];
  #firstNumber = 1;
  #acknowledged = 0;
  #disorder: string[] = [];

  /** The number of the write that comes next. */
  get nextNumber(): number {
    return this.#firstNumber + this.#sent.length;
  }

  /** To be told before the write is issued. */
  sent(number: number, writes: readonly Write[]): void {
    if (number !== this.nextNumber) this.#disorder.push(`write ${number} was sent in place of ${this.nextNumber}`);
    this.#sent.push(writes);
  }

  acknowledged(number: number): void {
    const expected = this.#firstNumber + this.#acknowledged;
    if (number !== expected) this.#disorder.push(`write ${number} was acknowledged in place of ${expected}`);
    this.#acknowledged = Math.max(this.#acknowledged, number - this.#firstNumber + 1);
  }

  /** Judges what a replica holds. Later writes and checks go on from there. */
  check(found: Contents): Findings {
    const findings = this.#judge(found);
    this.#firstNumber = this.nextNumber;
    this.#base = found;
    this.#sent = [];
    this.#acknowledged = 0;
    this.#disorder = [];
    return findings;
  }

  #judge(found: Contents): Findings {
    const prefix = this.#longestPrefix(found);
    if (prefix === undefined) return this.#explain(found);
    const lost = Math.max(0, this.#acknowledged - prefix);
    const problems = [...this.#disorder];
    if (lost > 0) problems.push(`${lost} acknowledged writes are gone, from write ${this.#firstNumber + prefix} on`);
    return { prefix, sent: this.#sent.length, lost, torn: 0, problems };
  }

  #longestPrefix(found: Contents): number | undefined {
    const wrong = new Set(
      [...this.#base.keys(), ...found.keys()].filter((key) => this.#base.get(key) !== found.get(key)),
    );
    let longest = wrong.size === 0 ? 0 : undefined;
    for (const [index, writes] of this.#sent.entries()) {
      for (const [key, length] of writes) {
        if (this.#textOf(index, key, length) === found.get(key)) wrong.delete(key);
        else wrong.add(key);
      }
      if (wrong.size === 0) longest = index + 1;
    }
    return longest;
  }

  /** What is wrong with a state that no prefix explains. */
  #explain(found: Contents): Findings {
    const problems = [...this.#disorder];
    /** For each key, up to which write its content is right; -1: it was never so. */
    const latest = new Map<string, number>();
    const acknowledged = new Map<string, number>();
    for (const key of new Set([...this.#base.keys(), ...found.keys()])) {
      latest.set(key, this.#base.get(key) === found.get(key) ? 0 : -1);
    }
    for (const [index, writes] of this.#sent.entries()) {
      for (const [key, length] of writes) {
        if (index < this.#acknowledged) acknowledged.set(key, index + 1);
        if (this.#textOf(index, key, length) === found.get(key)) latest.set(key, index + 1);
        else if (!latest.has(key)) latest.set(key, 0);
      }
    }
    let lost = 0;
    for (const [key, position] of latest) {
      if (position < 0) problems.push(`${key} holds what was never sent: ${found.get(key)?.slice(0, 40) ?? "nothing"}`);
      if (position >= (acknowledged.get(key) ?? -1)) continue;
      lost += 1;
      problems.push(`${key} is older than the acknowledged write ${this.#numberOf(acknowledged.get(key) ?? 0)}`);
    }
    let torn = 0;
    for (const [index, writes] of this.#sent.entries()) {
      const positions = writes.map(([key]) => latest.get(key) ?? 0);
      if (!positions.includes(index + 1) || positions.every((position) => position > index)) continue;
      torn += 1;
      problems.push(`only a part of the batch ${this.#numberOf(index + 1)} is there`);
    }
    if (problems.length === 0)
      problems.push("the state is that of no moment: a later write is there, an earlier one is not");
    return { prefix: undefined, sent: this.#sent.length, lost, torn, problems };
  }

  #textOf(index: number, key: string, length: number | null): string | undefined {
    return length === null ? undefined : writtenValue(this.#firstNumber + index, key, length);
  }

  #numberOf(position: number): number {
    return this.#firstNumber + position - 1;
  }
}
