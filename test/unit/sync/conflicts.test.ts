/** What a meeting of two versions proves, and what it does not. */
import { beforeEach, expect, test } from "vitest";
import { CoreState } from "../../../src/core/core-state.ts";
import { VersionVector } from "../../../src/core/version-vector.ts";
import { Conflicts } from "../../../src/sync/conflicts.ts";
import { Session } from "../../../src/sync/session.ts";
import { type Entry, type Epoch, makeOrigin, type NodeId, type Origin } from "../../../src/types.ts";

const origin = (nodeId: string, epoch = 1): Origin =>
  makeOrigin(nodeId as NodeId, epoch.toString(16).padStart(16, "0") as Epoch);
const OWN = origin("own");
const THEIRS = origin("theirs");

const entry = (from: Origin, seq: number, stamp: number, more: Partial<Entry> = {}): Entry => ({
  key: Buffer.from("k"),
  value: Uint8Array.of(stamp),
  stamp,
  origin: from,
  seq,
  expiresAt: 0,
  ...more,
});

let state: CoreState;
let conflicts: Conflicts;
let session: Session;
/** Everything is durable, and has left before the session began. */
const DURABLE = 100;
beforeEach(() => {
  state = new CoreState(OWN);
  conflicts = new Conflicts(state);
  conflicts.listen(10);
  session = new Session(1, true, 0, 0, new VersionVector());
  session.exposedBefore = DURABLE;
});

const set = (written: Entry): void => state.execute({ type: "set", entry: written });
/** "winner over loser", by their stamps. */
const meet = (met: Entry, durableLsn = DURABLE, now = 0): string[] => {
  conflicts.meet(met, state.isWinner(met), session, durableLsn, now);
  return conflicts.take().map(({ winner, loser }) => `${winner.stamp} over ${loser.stamp}`);
};

test("theirs loses to ours when it comes first: once, and not when later ones have come before", () => {
  set(entry(OWN, 1, 50));
  expect(meet(entry(THEIRS, 2, 40))).toEqual(["50 over 40"]);
  expect(meet(entry(THEIRS, 2, 40))).toEqual([]);
  expect(meet(entry(THEIRS, 1, 39))).toEqual([]);
  expect(meet(entry(origin("others"), 1, 40))).toEqual(["50 over 40"]);
});

test("what we had before we wrote is not told when another relay brings it again", () => {
  const first = entry(THEIRS, 1, 40);
  expect(meet(first)).toEqual([]);
  set(first);
  set(entry(OWN, 1, 50));
  expect(meet(first)).toEqual([]);
});

test("what may have come before anybody listened is not told: up to the stamp of that moment", () => {
  set(entry(OWN, 1, 50));
  expect(meet(entry(THEIRS, 1, 10))).toEqual([]);
  expect(meet(entry(THEIRS, 2, 11))).toEqual(["50 over 11"]);
});

test("theirs wins over ours that is not durable, but not over ours that is", () => {
  set(entry(OWN, 1, 20));
  expect(meet(entry(THEIRS, 1, 30), state.lsn)).toEqual([]);
  expect(meet(entry(THEIRS, 2, 31), state.lsn - 1)).toEqual(["31 over 20"]);
});

test("theirs wins over ours that had not left when the session began, if its peer had it by then", () => {
  set(entry(OWN, 1, 20));
  session.helloVector.raise(THEIRS, 2);
  session.exposedBefore = state.lsn;
  expect(meet(entry(THEIRS, 2, 30))).toEqual([]);
  session.exposedBefore = state.lsn - 1;
  expect(meet(entry(THEIRS, 3, 30))).toEqual([]);
  expect(meet(entry(THEIRS, 2, 30))).toEqual(["30 over 20"]);
});

test.each<[string, Entry, Entry, number]>([
  ["two of others", entry(origin("others"), 1, 50), entry(THEIRS, 1, 40), 0],
  ["our former epoch", entry(OWN, 1, 50), entry(origin("own", 7), 1, 40), 0],
  ["the same value", entry(OWN, 1, 50), entry(THEIRS, 1, 40, { value: Uint8Array.of(50) }), 0],
  ["two deletes", entry(OWN, 2, 50, { value: null }), entry(THEIRS, 1, 40, { value: null }), 0],
  ["a loser that is over", entry(OWN, 2, 50), entry(THEIRS, 1, 40, { expiresAt: 90 }), 90],
  [
    "reserved keys",
    entry(OWN, 2, 50, { key: Uint8Array.of(255) }),
    entry(THEIRS, 1, 40, { key: Uint8Array.of(255) }),
    0,
  ],
])("%s is none", (_, held, met, now) => {
  set(held);
  expect(meet(met, DURABLE, now)).toEqual([]);
});

test("the nearest that are: another expiry, a value against a delete, a loser that is not over yet", () => {
  set(entry(OWN, 1, 50));
  expect(meet(entry(THEIRS, 1, 40, { value: Uint8Array.of(50), expiresAt: 1000 }))).toEqual(["50 over 40"]);
  expect(meet(entry(THEIRS, 2, 41, { value: null }))).toEqual(["50 over 41"]);
  expect(meet(entry(THEIRS, 3, 42, { expiresAt: 90 }), DURABLE, 89)).toEqual(["50 over 42"]);
});
