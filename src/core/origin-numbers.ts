import { assert, present } from "../invariant.ts";
import type { Origin, Seq } from "../types.ts";
import type { EntryRun } from "./entry-run.ts";
import { hashKey } from "./hash.ts";
import type { VersionVector } from "./version-vector.ts";

/** Numbers fit 16 bits, as `ORIGINS_MAX` promises. */
const NUMBERS_MAX = 2 ** 16;

interface Named {
  readonly origin: Origin;
  readonly hash: number;
  readonly number: number;
  /** Entries that refer to it. At 0 the number may go to another origin. */
  uses: number;
  /** Of all entries that have ever referred to it since it has this number. */
  highestSeq: Seq;
}

/** Small numbers for the origins of the entries of a table, so that a row holds two bytes and not a string. */
export class OriginNumbers {
  readonly #named: (Named | undefined)[] = [];
  readonly #byOrigin = new Map<Origin, Named>();
  readonly #free: number[] = [];
  /** The origin asked for last, which will often be the next. */
  #recent: Named | undefined;

  /** The number for one more entry of `origin`, its write `seq`. */
  acquire(origin: Origin, seq: Seq): number {
    let named = this.#recent;
    if (named === undefined || named.origin !== origin) {
      named = this.#byOrigin.get(origin) ?? this.#add(origin);
      this.#recent = named;
    }
    named.uses += 1;
    if (seq > named.highestSeq) named.highestSeq = seq;
    return named.number;
  }

  /** The numbers for one more entry each of a run, by the index of the origin in the run. */
  acquireAll({ origins, originIndexes, seqs, count }: EntryRun): Uint32Array {
    const uses = new Uint32Array(origins.length);
    const highest = new Float64Array(origins.length);
    for (let index = 0; index < count; index += 1) {
      const origin = originIndexes[index]!;
      uses[origin]! += 1;
      if (seqs[index]! > highest[origin]!) highest[origin] = seqs[index]!;
    }
    for (const [index, origin] of origins.entries()) {
      const more = uses[index]!;
      if (more === 0) continue;
      uses[index] = this.acquire(origin, highest[index]!);
      this.#at(uses[index]).uses += more - 1;
    }
    return uses;
  }

  /** One entry less refers to `number`. */
  release(number: number): void {
    const named = this.#at(number);
    named.uses -= 1;
    if (named.uses > 0) return;
    this.#named[number] = undefined;
    this.#byOrigin.delete(named.origin);
    this.#free.push(number);
    if (this.#recent === named) this.#recent = undefined;
  }

  /**
   * Whether all entries there are, and those that they have replaced, are covered. It may be that only the latter are
   * not: then false as well.
   */
  areWithin(coverage: VersionVector): boolean {
    for (const { origin, highestSeq } of this.#byOrigin.values()) {
      if (!coverage.covers(origin, highestSeq)) return false;
    }
    return true;
  }

  /** Undefined if no entry refers to `number`. */
  originOf(number: number): Origin | undefined {
    return this.#named[number]?.origin;
  }

  /** Key hash of the origin's UTF-8 bytes. */
  hashOf(number: number): number {
    return this.#at(number).hash;
  }

  #at(number: number): Named {
    return present(this.#named[number], "an entry's origin has a number");
  }

  #add(origin: Origin): Named {
    const number = this.#free.pop() ?? this.#named.length;
    assert(number < NUMBERS_MAX, "a store has at most 65,536 origins");
    const named: Named = { origin, hash: hashKey(new TextEncoder().encode(origin)), number, uses: 0, highestSeq: 0 };
    this.#named[number] = named;
    this.#byOrigin.set(origin, named);
    return named;
  }
}
