import { describe, expect, test } from "vitest";
import { isNearer, type Seated, whoIsSpare, whoMakesRoom } from "../../../src/sync/room.ts";
import type { NodeId } from "../../../src/types.ts";

const OWN = "m" as NodeId;
const peer = (nodeId: string, ...links: string[]): Seated => ({
  nodeId: nodeId as NodeId,
  links: new Set(["m", ...links]) as unknown as ReadonlySet<NodeId>,
});
const newcomer = (nodeId: string, links: string[], isKnown = true) => ({ ...peer(nodeId, ...links), isKnown });

describe("the circle of names", () => {
  test.each([
    ["n", "o", 1, true],
    ["o", "n", 1, false],
    ["z", "a", 1, true], // a is behind the end
    ["a", "z", 1, false],
    ["n", "n", 1, false],
    ["l", "k", -1, true],
    ["a", "z", -1, true],
    ["z", "a", -1, false],
  ] as const)("from m, %s before %s, direction %i: %s", (a, b, direction, expected) => {
    expect(isNearer("m", a, b, direction)).toBe(expected);
  });
});

describe("who makes room for a newcomer", () => {
  // n is our successor and l our predecessor: they stay. Of the others c has the most connections.
  const seated = [peer("l", "c", "x", "y", "z"), peer("n", "c", "x", "y", "z"), peer("b", "c"), peer("c", "b", "x")];

  test.each([
    ["one that has others, is known and no neighbour", newcomer("d", ["x"]), undefined],
    ["one that has nobody", newcomer("d", []), "c"],
    ["one that is connected to nobody but us", newcomer("d", ["m"]), "c"],
    ["one that we have nothing of", newcomer("d", ["x"], false), "c"],
    ["a nearer successor, for the former one", newcomer("mm", ["x"]), "n"],
    ["a nearer predecessor, for the former one", newcomer("ll", ["x"]), "l"],
    ["a further successor", newcomer("o", ["x"]), undefined],
  ])("%s", (_, coming, leaves) => {
    expect(whoMakesRoom(OWN, coming, seated)).toBe(leaves);
  });

  test("nobody who would be left with nobody", () => {
    const alone = [peer("l", "x"), peer("n", "x"), peer("b")];
    expect(whoMakesRoom(OWN, newcomer("d", []), alone)).toBeUndefined();
    expect(whoMakesRoom(OWN, newcomer("d", []), [...alone, peer("c", "x")])).toBe("c");
  });

  test("rather one that we reach through another one of ours", () => {
    const two = [peer("l"), peer("n"), peer("b", "x", "y", "z"), peer("c", "l")];
    expect(whoMakesRoom(OWN, newcomer("d", []), two)).toBe("c");
  });
});

describe("who is spare where there is a crowd", () => {
  const three = ["x", "y", "z"];
  test.each([
    [
      "one with three others, reached through another one of ours",
      [peer("l"), peer("n"), peer("b", "l", "x", "y")],
      "b",
    ],
    ["not with two others", [peer("l"), peer("n"), peer("b", "l", "x")], undefined],
    ["not one that only we reach", [peer("l"), peer("n"), peer("b", ...three)], undefined],
    ["not our neighbours", [peer("l", "n", ...three), peer("n", "l", ...three)], undefined],
    ["nobody of nobody", [], undefined],
  ])("%s", (_, seated, spare) => {
    expect(whoIsSpare(OWN, seated)).toBe(spare);
  });
});
