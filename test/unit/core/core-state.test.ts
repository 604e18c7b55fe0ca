/** What the state remembers beside its table. */
import { expect, test } from "vitest";
import { CoreState } from "../../../src/core/core-state.ts";
import { type Entry, type Epoch, makeOrigin, type NodeId } from "../../../src/types.ts";

const OWN = makeOrigin("own" as NodeId, "00000000000000aa" as Epoch);
const PEER = makeOrigin("peer" as NodeId, "00000000000000bb" as Epoch);

function entry(key: string, stamp: number, seq: number): Entry {
  return { key: Buffer.from(key), value: Uint8Array.of(seq), stamp, origin: PEER, seq, expiresAt: 0 };
}

test("the highest stamp is that of any entry that was ever set, also of one that is gone", () => {
  // The clock of the next process begins above it: were one forgotten, a new write could lose against an old one.
  const state = new CoreState(OWN);
  expect(state.highestStamp).toBe(0);
  state.execute({ type: "set", entry: entry("a", 7, 1) });
  expect(state.highestStamp).toBe(7);
  state.execute({ type: "set", entry: entry("b", 5, 2) });
  expect(state.highestStamp).toBe(7);
  state.execute({ type: "set", entry: entry("a", 8, 3) });
  state.execute({ type: "collect", key: Buffer.from("a"), origin: PEER, seq: 3 });
  expect(state.highestStamp).toBe(8);
});

test("entries of one stamp, as a batch has them, replace what their keys hold and add what is new", () => {
  const state = new CoreState(OWN);
  const keys = Array.from({ length: 50 }, (_, index) => `key ${index}`);
  for (const [index, key] of keys.entries())
    if (index % 2 > 0) state.execute({ type: "set", entry: entry(key, 1, index + 1) });
  for (const [index, key] of keys.entries()) state.execute({ type: "set", entry: entry(key, 2, index + 101) });
  expect([state.table.size, state.table.live, state.lsn]).toEqual([50, 50, 75]);
  for (const [index, key] of keys.entries()) {
    const slot = state.table.find(Buffer.from(key));
    expect([state.table.seqAt(slot), state.table.valueAt(slot)]).toEqual([index + 101, Uint8Array.of(index + 101)]);
  }
  const fresh = new CoreState(OWN);
  for (const [index, key] of keys.entries()) fresh.execute({ type: "set", entry: entry(key, 2, index + 101) });
  expect(state.table.digestRoot()).toBe(fresh.table.digestRoot());
});

test("what isWinner has found is not used once anything has changed", () => {
  const state = new CoreState(OWN);
  state.execute({ type: "set", entry: entry("top", 9, 1) });
  state.execute({ type: "set", entry: entry("a", 2, 2) });
  const gone = entry("a", 5, 4);
  expect(state.isWinner(gone)).toBe(true);
  state.execute({ type: "collect", key: Buffer.from("a"), origin: PEER, seq: 2 });
  state.execute({ type: "set", entry: entry("b", 3, 3) });
  // The slot that "a" had is that of "b" now.
  state.execute({ type: "set", entry: gone });
  expect(state.table.seqAt(state.table.find(Buffer.from("a")))).toBe(4);
  expect(state.table.seqAt(state.table.find(Buffer.from("b")))).toBe(3);

  const beaten = entry("c", 5, 5);
  expect(state.isWinner(beaten)).toBe(true);
  state.execute({ type: "set", entry: entry("c", 6, 6) });
  state.execute({ type: "set", entry: beaten });
  expect(state.table.size).toBe(4);
  expect(state.table.seqAt(state.table.find(Buffer.from("c")))).toBe(6);
});
