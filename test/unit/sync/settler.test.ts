/** What comes between: messages of several peers that cross while replicas compare, collect or catch up. */
import { expect, test } from "vitest";
import { FLOW_LIMITS } from "../../../src/sync/flow.ts";
import type { Digests, Listing, Page } from "../../../src/sync/messages.ts";
import { type Entry, type Epoch, makeOrigin, type NodeId } from "../../../src/types.ts";
import { Mesh } from "../../models/mesh.ts";
import { entry, hello, NOW, OneReplicator, OWN, PEER, page, THIRD, third } from "./one-replicator.ts";

const LIMITS = { maxKeyBytes: 20, maxValueBytes: 1000, maxKeys: 100_000, maxBytes: 1e8, maxDriftMs: 60_000 };

/** An answer that says of each bucket asked about that it differs, and holds nothing. */
function nothingOf({ buckets, list }: Digests): Listing {
  const differing = buckets.map(({ index }) => index);
  return { type: "listing", differing, listed: list ? differing : [], entries: [], busy: [], size: 0 };
}

test("what a peer has written since it was asked is not taken for dead", () => {
  const one = new OneReplicator();
  one.write("k", 9);
  one.commit();
  one.meet(1);
  one.receive(1, page([], { mark: [] }));
  one.meet(2, third());
  one.replicator.repair();
  one.collect();
  const [buckets] = one.take(1, "digests");
  one.receive(1, nothingOf(buckets!));
  const [question] = one.take(1, "digests");
  expect(question?.list).toBe(true);
  // The peer has answered and then written; the write comes round by another way, and sooner.
  one.receive(2, page([entry("k", 1, { stamp: entry("k", 1).stamp + 1e6 })], { mark: [[PEER, 1]] }));
  one.commit();
  expect(one.valueOf("k")).toBe(1);
  one.receive(1, nothingOf(question!));
  one.commit();
  expect(one.valueOf("k")).toBe(1);
});

test("a write that waits for its author is not forgotten when the session falls back, breaks and is resumed", () => {
  const flow = { ...FLOW_LIMITS, pageBytes: 60, pageEntries: 1, windowBytes: 150 };
  const one = new OneReplicator({ flow, repairs: false });
  let received: Entry[] = [];
  const claimed: string[] = [];
  let frames = 0;
  /** The peer takes what was sent. */
  const take = (id: number): Page[] => {
    const pages = one.take(id, "page");
    received = received.concat(pages.flatMap(({ entries }) => entries));
    for (const { mark } of pages) for (const [origin] of mark ?? []) claimed.push(origin);
    return pages;
  };
  const ack = (id: number): void => {
    frames += 50;
    one.receive(id, { type: "ack", frames, kept: frames, vector: [] });
  };
  one.meet(1, hello({ links: ["third" as NodeId] }));
  one.meet(2, third());
  take(1);
  ack(1);
  one.receive(2, page([entry("waits", 1, { origin: THIRD })], { mark: [[THIRD, 1]] }));
  one.commit();
  for (let n = 1; n <= 20; n += 1) {
    one.write(`k${n}`, n);
    one.commit();
  }
  take(1);
  ack(1);
  expect(take(1).length).toBeGreaterThan(0);
  ack(1);
  take(1);
  expect(received.length).toBeLessThan(20);
  one.replicator.disconnect(1, "cut");
  frames = 0;
  one.meet(3, hello());
  for (let n = 0; n < 40; n += 1) {
    take(3);
    ack(3);
  }
  expect(claimed).toContain(THIRD);
  expect(received.some(({ origin }) => origin === THIRD)).toBe(true);
});

test("a frontier is told before anything is claimed that rests on it", () => {
  const one = new OneReplicator({ repairs: false });
  one.meet(1);
  one.receive(1, page([], { mark: [] }));
  one.commit();
  // It has collected the tombstone of a key that the first peer may still hold.
  one.meet(2, third({ vector: [[THIRD, 1]], frontier: [[THIRD, 1]] }));
  const [question] = one.take(2, "digests");
  one.receive(2, page([], { mark: [[THIRD, 1]] }));
  one.receive(2, nothingOf(question!));
  one.commit();
  const sent = one.sent.get(1) ?? [];
  const frontier = sent.findIndex((message) => message.type === "frontier");
  const claim = sent.findIndex(
    (message) => message.type === "page" && (message.mark ?? []).some(([origin]) => origin === THIRD),
  );
  expect(claim).toBeGreaterThan(-1);
  expect(frontier).toBeGreaterThan(-1);
  expect(frontier).toBeLessThan(claim);
});

test("a store that takes longer to sweep than a round takes is swept to its end", () => {
  const one = new OneReplicator({ limits: LIMITS, members: () => ["own" as NodeId], roundMs: 50 });
  const keys = Array.from({ length: 15_001 }, (_, n) => ({
    key: Buffer.from(`k${n}`),
    value: Uint8Array.of(1),
    expiresAt: 0,
  }));
  one.replicator.write(keys, NOW);
  one.commit();
  one.write("k7", null);
  one.commit();
  one.tick(30);
  expect(one.state.table.tombstones).toBe(0);
  expect(one.covered(OWN)).toBe(15_002);
});

test("a tombstone stays for as long as a peer that is connected has not said that it has it", () => {
  // The peer is no member yet, so that no round waits for it.
  const one = new OneReplicator({ members: () => ["own" as NodeId], roundMs: 50, repairs: false });
  one.write("k", 1);
  one.write("k", null);
  one.commit();
  one.meet(1);
  one.commit();
  one.tick(20);
  expect(one.state.table.tombstones).toBe(1);
  one.receive(1, { type: "ack", frames: 1, kept: 0, vector: [[OWN, 1]] });
  one.tick(20);
  expect(one.state.table.tombstones).toBe(1);
  one.receive(1, { type: "ack", frames: 1, kept: 0, vector: [[OWN, 2]] });
  one.tick(20);
  expect(one.state.table.tombstones).toBe(0);
});

test("a member that does not join a round is named once the round takes long, while there are tombstones", () => {
  const one = new OneReplicator({ members: () => ["own" as NodeId, "peer" as NodeId], roundMs: 50, repairs: false });
  one.write("k", null);
  one.commit();
  one.tick(100);
  expect(one.replicator.pinnedBy).toEqual([]);
  one.tick(1);
  expect(one.replicator.pinnedBy).toEqual(["peer"]);
  one.write("k", 1);
  one.commit();
  expect(one.replicator.pinnedBy).toEqual([]);
});

test("an answer comes behind the acknowledgement of what it rests on", () => {
  const one = new OneReplicator({ repairs: false });
  one.meet(1);
  one.receive(1, page([], { mark: [] }));
  one.meet(2, third());
  one.commit();
  one.receive(2, page([entry("k", 1, { origin: THIRD })], { mark: [[THIRD, 1]] }));
  one.commit();
  one.receive(1, { type: "digests", list: false, bulk: false, buckets: [] });
  const sent = one.sent.get(1) ?? [];
  const ack = sent.findIndex(({ type, ...more }) => type === "ack" && JSON.stringify(more).includes(THIRD));
  expect(ack).toBeGreaterThan(-1);
  expect(ack).toBeLessThan(sent.findIndex(({ type }) => type === "listing"));
});

test("who waits with much to send is answered when the one before has sent all, not at the next tick", () => {
  const one = new OneReplicator({ repairs: false });
  const question: Digests = { type: "digests", list: false, bulk: true, buckets: [] };
  one.meet(1);
  one.meet(2, third());
  one.commit();
  one.receive(1, question);
  one.receive(2, question);
  expect([1, 2].map((id) => one.take(id, "listing").length)).toEqual([1, 0]);
  one.receive(1, page([], { mark: [] }));
  expect([1, 2].map((id) => one.take(id, "listing").length)).toEqual([0, 1]);
});

test("a replica whose clock is a day ahead does not take from others what it has seen expire", () => {
  const mesh = new Mesh(3, { collects: true });
  mesh.node(0).skewMs = 24 * 3_600_000;
  mesh.connect(0, 1);
  mesh.connect(1, 2);
  mesh.settle();
  mesh.write(1, [{ key: 1, value: 7, ttlMs: 3_600_000 }]);
  mesh.run(400);
  expect(mesh.node(0).state.table.live).toBe(0);
  expect([1, 2].map((index) => mesh.node(index).state.table.live)).toEqual([1, 1]);
  mesh.pass(3_600_000 + 60_000);
  mesh.run(400);
  expect(mesh.nodes.map(({ state }) => state.table.size)).toEqual([0, 0, 0]);
});

test("a repair sends a window full at a time", () => {
  const one = new OneReplicator({ limits: LIMITS, flow: { ...FLOW_LIMITS, windowBytes: 10_000 } });
  one.meet(1);
  one.meet(2, third());
  const origin = makeOrigin("gone" as NodeId, "00000000000000dd" as Epoch);
  const value = new Uint8Array(900);
  // Of somebody who has left before it could claim what it had sent: nobody covers it.
  one.receive(2, page(Array.from({ length: 300 }, (_, n) => entry(`k${n}`, n + 1, { value, origin }))));
  one.commit();
  one.receive(1, { type: "ack", frames: 100, kept: 0, vector: [] });
  expect(one.take(1, "page").flatMap(({ entries }) => entries).length).toBe(300);
  one.replicator.repair();
  one.collect();
  for (let [asked] = one.take(1, "digests"); asked !== undefined; [asked] = one.take(1, "digests")) {
    one.receive(1, nothingOf(asked));
  }
  const again = one.take(1, "page").flatMap(({ entries }) => entries).length;
  expect(again).toBeGreaterThan(0);
  expect(again).toBeLessThan(20);
});
