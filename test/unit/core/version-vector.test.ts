/** What a vector tells about its own changes; the rest of it is in the tests of those who use it. */
import { expect, test } from "vitest";
import { VersionVector } from "../../../src/core/version-vector.ts";
import { type Epoch, makeOrigin, type NodeId } from "../../../src/types.ts";

const a = makeOrigin("a" as NodeId, "00000000000000aa" as Epoch);

test("the revision changes when a component does, and only then", () => {
  const vector = new VersionVector([[a, 2]]);
  const { revision } = vector;
  vector.raise(a, 2);
  expect(vector.revision).toBe(revision);
  vector.raise(a, 3);
  expect(vector.revision).toBe(revision + 1);
  vector.replace(a, 1);
  expect(vector.revision).toBe(revision + 2);
  vector.join([[a, 4]]);
  expect(vector.revision).toBe(revision + 3);
});
