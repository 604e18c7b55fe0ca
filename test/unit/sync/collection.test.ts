/** When a round of the collection releases tombstones. */
import { expect, test } from "vitest";
import { VersionVector } from "../../../src/core/version-vector.ts";
import { Collection } from "../../../src/sync/collection.ts";
import type { Round } from "../../../src/sync/messages.ts";
import type { NodeId } from "../../../src/types.ts";
import { OWN, THIRD } from "./one-replicator.ts";

const MEMBERS = ["own", "peer"] as NodeId[];

/** What the peer has gathered: it covers our delete, and a write that we lack. */
function told(number: number): Round {
  const pairs = [
    [OWN, 1],
    [THIRD, 5],
  ] as const;
  return { type: "round", number, members: ["peer" as NodeId], low: [...pairs], high: [...pairs] };
}

test("a tombstone that all cover waits until all cover as well what anybody knew in the round before", () => {
  // One round is not enough: the author of the delete may have seen a write that is still on its way to others.
  const coverage = new VersionVector([[OWN, 1]]);
  const collection = new Collection("own" as NodeId, coverage);
  for (const number of [1, 2]) {
    collection.begin(number);
    expect(collection.receive(1, told(number), number)).toBe(true);
    expect(collection.finish(MEMBERS)).toBeUndefined();
  }
  coverage.raise(THIRD, 5);
  collection.begin(3);
  expect(collection.finish(MEMBERS)).toBeUndefined();
  collection.receive(1, told(3), 3);
  expect([...(collection.finish(MEMBERS) ?? [])]).toEqual([[OWN, 1]]);
});
