/** What the picture of the mesh says, of what one or several replicas tell. */
import { describe, expect, test } from "vitest";
import { type MeshSource, meshOf, Progress, pulsesOf } from "../../../src/ui/page/model.ts";
import type { PeerView, ReplicaView } from "../../../src/ui/wire.ts";

const EPOCHS = { first: "0000000000000001", second: "ab12000000000002" };
const of = (nodeId: string, epoch = EPOCHS.first): string => `${nodeId}/${epoch}`;

interface Told {
  readonly coverage: Record<string, number>;
  readonly links?: readonly string[];
}

/** What `nodeId` tells of itself and of others. */
function view(nodeId: string, mesh: Record<string, Told>, peers: readonly Partial<PeerView>[] = []): ReplicaView {
  const told = ([name, { coverage, links = [] }]: [string, Told]) => ({ nodeId: name, coverage, links });
  return { nodeId, mesh: Object.entries(mesh).map(told), peers } as unknown as ReplicaView;
}

function source(replica: ReplicaView, more: Partial<MeshSource> = {}): MeshSource {
  return { replica, others: [], cuts: [], paused: [], ...more };
}

const states = (given: MeshSource) =>
  Object.fromEntries(meshOf(given).nodes.map(({ nodeId, state, behind }) => [nodeId, [state, behind]]));

describe("of one replica's word", () => {
  const alone = view("a", {
    a: { coverage: { [of("a")]: 5, [of("b")]: 2 }, links: ["b"] },
    b: { coverage: { [of("a")]: 3, [of("b")]: 3 }, links: ["a", "c"] },
    c: { coverage: { [of("a")]: 5, [of("b")]: 3 } },
    d: { coverage: {} },
  });

  test("who lacks what, who has all, and who is not reached", () => {
    expect(states(source(alone))).toEqual({ a: ["behind", 1], b: ["behind", 2], c: ["live", 0], d: ["down", 8] });
  });

  test("links are those that anybody tells of, once", () => {
    expect(meshOf(source(alone)).links.map(({ ends, state }) => [...ends, state])).toEqual([
      ["a", "b", "live"],
      ["b", "c", "live"],
    ]);
  });

  test("a link on which data is being caught up is busy", () => {
    const peers = [{ nodeId: "b", state: "catching-up" as const }];
    const busy = view("a", { a: { coverage: {}, links: ["b"] }, b: { coverage: {}, links: ["a"] } }, peers);
    expect(meshOf(source(busy)).links.map(({ state }) => state)).toEqual(["busy"]);
  });

  test("a cut is shown whatever is told, and a paused replica as such", () => {
    const mesh = meshOf(source(alone, { cuts: [["b", "a"]], paused: ["c"] }));
    expect(mesh.links[0]).toMatchObject({ ends: ["a", "b"], state: "cut" });
    expect(mesh.nodes.map(({ state }) => state)).toEqual(["behind", "behind", "paused", "down"]);
  });
});

describe("of several", () => {
  test("each one's own word on itself counts, and old news of others does not", () => {
    const a = view("a", {
      a: { coverage: { [of("a")]: 9 }, links: [] },
      b: { coverage: { [of("a")]: 1 }, links: ["a"] },
      c: { coverage: { [of("a")]: 4 }, links: ["b"] },
    });
    const b = view("b", {
      b: { coverage: { [of("a")]: 9 }, links: ["c"] },
      c: { coverage: { [of("a")]: 7 }, links: ["b"] },
    });
    expect(states(source(a, { others: [b] }))).toEqual({ a: ["live", 0], b: ["live", 0], c: ["behind", 2] });
    expect(meshOf(source(a, { others: [b] })).links.map(({ ends }) => ends.join())).toEqual(["b,c"]);
  });

  test("a link that only one end knows of is not there", () => {
    const a = view("a", { a: { coverage: {}, links: ["b"] } });
    const b = view("b", { b: { coverage: {}, links: [] } });
    expect(meshOf(source(a, { others: [b] })).links).toEqual([]);
  });
});

test("authors are named by their nodeId, with the epoch where there are two", () => {
  const coverage = { [of("a")]: 1, [of("b")]: 2, [of("b", EPOCHS.second)]: 3 };
  const { authors } = meshOf(source(view("a", { a: { coverage } })));
  expect(authors.map(({ label, writes }) => [label, writes])).toEqual([
    ["a", 1],
    ["b 0000", 2],
    ["b ab12", 3],
  ]);
});

test("progress is measured against the most that was missing", () => {
  const progress = new Progress();
  expect([200, 400, 300, 100, 0, 10].map((missing) => progress.of("x", missing))).toEqual([0, 0, 0.25, 0.75, 1, 0]);
  expect(progress.of("y", 0)).toBe(1);
});

describe("pulses", () => {
  const peer = (nodeId: string, bytesIn: number, bytesOut: number, entriesIn: number, entriesOut: number) => ({
    nodeId,
    bytesIn,
    bytesOut,
    entriesIn,
    entriesOut,
  });
  const told = (nodeId: string, ...peers: Partial<PeerView>[]) => view(nodeId, {}, peers);

  test("each direction once, by whoever can tell", () => {
    const before = { replica: told("a", peer("b", 0, 0, 0, 0)), others: [] };
    const now = { replica: told("a", peer("b", 50, 100, 2, 3)), others: [] };
    expect(pulsesOf(before, now)).toEqual([
      { from: "a", to: "b", entries: 3 },
      { from: "b", to: "a", entries: 2 },
    ]);
    const others = { before: told("b", peer("a", 0, 0, 0, 0)), now: told("b", peer("a", 100, 50, 3, 2)) };
    expect(pulsesOf({ ...before, others: [others.before] }, { ...now, others: [others.now] })).toEqual([
      { from: "a", to: "b", entries: 3 },
      { from: "b", to: "a", entries: 2 },
    ]);
  });

  test("none of silence, of a peer that is new, or of a session that has begun again", () => {
    const a = (...peers: Partial<PeerView>[]) => ({ replica: told("a", ...peers), others: [] });
    expect(pulsesOf(a(peer("b", 9, 9, 9, 9)), a(peer("b", 9, 9, 9, 9)))).toEqual([]);
    expect(pulsesOf(a(), a(peer("b", 9, 9, 9, 9)))).toEqual([]);
    expect(pulsesOf(a(peer("b", 90, 90, 9, 9)), a(peer("b", 5, 5, 0, 0)))).toEqual([]);
  });
});
