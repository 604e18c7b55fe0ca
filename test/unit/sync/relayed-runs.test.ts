/** What may be claimed of others' writes ahead of the marks: only what has come by without a gap. */
import { expect, test } from "vitest";
import { VersionVector } from "../../../src/core/version-vector.ts";
import { RelayedRuns } from "../../../src/sync/relayed-runs.ts";
import type { Origin } from "../../../src/types.ts";
import { entry, PEER, THIRD } from "./one-replicator.ts";

const writes = (seqs: readonly number[], origin: Origin = PEER) => seqs.map((seq) => entry(`k${seq}`, seq, { origin }));

/** Claims, for a peer that has PEER up to `has`, where we cover it up to `covers`. */
function taken(runs: RelayedRuns, has: number, covers = 100, mayClaim = true) {
  return runs.take(
    (origin) => (origin === PEER ? has : 0),
    new VersionVector([
      [PEER, covers],
      [THIRD, 100],
    ]),
    (origin) => origin === THIRD || mayClaim,
  );
}

test("a run that continues what the peer has is claimed, up to what we cover ourselves", () => {
  const runs = new RelayedRuns();
  runs.pass(writes([3, 4]));
  runs.pass(writes([5]));
  expect(taken(runs, 1)).toEqual([]);
  expect(taken(runs, 2, 4)).toEqual([[PEER, 4]]);
  expect(taken(runs, 4)).toEqual([[PEER, 5]]);
  expect(taken(runs, 5)).toEqual([]);
  expect(runs.isEmpty).toBe(true);
});

test("a gap ends it: nothing beyond is claimed until the peer has what lies before", () => {
  const runs = new RelayedRuns();
  runs.pass(writes([1, 2, 4]));
  expect(taken(runs, 0)).toEqual([]);
  expect(taken(runs, 2)).toEqual([]);
  runs.pass(writes([5]));
  expect(taken(runs, 3)).toEqual([[PEER, 5]]);
});

test("writes that came by before are no gap", () => {
  const runs = new RelayedRuns();
  runs.pass(writes([1, 2, 3]));
  runs.pass(writes([2, 4]));
  expect(taken(runs, 0)).toEqual([[PEER, 4]]);
});

test("each origin has its own; what waits of one does not hold back another", () => {
  const runs = new RelayedRuns();
  runs.pass([...writes([1]), ...writes([1], THIRD), ...writes([2])]);
  expect(taken(runs, 0, 100, false)).toEqual([[THIRD, 1]]);
  expect(taken(runs, 0)).toContainEqual([PEER, 2]);
  runs.clear();
  expect(taken(runs, 0)).toEqual([]);
});
