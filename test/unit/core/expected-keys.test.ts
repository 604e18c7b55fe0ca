import { expect, test } from "vitest";
import { EntryTable, NO_SLOT } from "../../../src/core/table.ts";
import { type Epoch, makeOrigin, type NodeId } from "../../../src/types.ts";

const KEYS = 5000;
const origin = makeOrigin("a" as NodeId, "0123456789abcdef" as Epoch);

function keyOf(number: number): Uint8Array {
  return Buffer.from(`key/${(number * 7919) % KEYS}`);
}

// Fewer than come, as many, and far more.
test.each([0, 1, KEYS, 300_000, 2 ** 22])("a guess of %i keys changes nothing but memory", (guess) => {
  const table = new EntryTable();
  for (let number = 0; number < KEYS; number += 1) {
    // Said while keys come, as recovery does: buckets of all sizes meet it.
    if (number === 1000) table.expect(guess);
    const entry = {
      key: keyOf(number),
      value: Uint8Array.of(1),
      stamp: number + 1,
      origin,
      seq: number + 1,
      expiresAt: 0,
    };
    table.set(entry, number + 1);
  }
  for (let number = 0; number < KEYS; number += 2) table.remove(table.find(keyOf(number)));
  for (let number = 0; number < KEYS; number += 1) {
    const slot = table.find(keyOf(number));
    if (number % 2 === 0) expect(slot).toBe(NO_SLOT);
    else expect(table.seqAt(slot)).toBe(number + 1);
  }
  expect([...table.range()].length).toBe(KEYS / 2);
});
