import { expect, test } from "vitest";
import { STAMP_MILLIS_MAX, stampAt } from "../../../src/hybrid-logical-clock.ts";
import { FLOW_LIMITS } from "../../../src/sync/flow.ts";
import { TICK_MS } from "../../../src/sync/replicator.ts";
import { type Epoch, makeOrigin, type NodeId } from "../../../src/types.ts";
import { entry, hello, NOW, OneReplicator, OWN, PEER, page, THIRD, third } from "./one-replicator.ts";

test("hello: version, cluster and name are checked, and both sides hear why", () => {
  const cases = [
    [hello({ versionMin: 2, versionMax: 3 }), "protocol-version", "upgrade the older one"],
    [hello({ clusterId: "other" }), "cluster-mismatch", '"other"'],
    [hello({ nodeId: "own" as NodeId }), "identity-clash", "another nodeId"],
    [hello({ nodeId: "own" as NodeId, incarnation: "9999999999999999" }), "self", "itself"],
  ] as const;
  for (const [greeting, code, detail] of cases) {
    const one = new OneReplicator();
    one.meet(1, greeting);
    const [bye] = one.take(1, "bye");
    expect(bye).toMatchObject({ code });
    expect(bye?.detail).toContain(detail);
    expect(one.ends()).toEqual([code]);
    expect([...one.replicator.sessions]).toEqual([]);
  }
});

test("a version range that overlaps with ours is welcome", () => {
  const one = new OneReplicator();
  one.meet(1, hello({ versionMin: 1, versionMax: 9 }));
  expect(one.ends()).toEqual([]);
});

test("nothing is understood before hello", () => {
  const one = new OneReplicator();
  one.replicator.connect(1, true, NOW);
  one.receive(1, page([entry("a", 1)]));
  expect(one.ends()).toEqual(["bad-frame"]);
  expect(one.valueOf("a")).toBeUndefined();
});

test.each([[1], [3]])("a frame out of order (%i where 2 is due) ends the session and changes nothing", (frame) => {
  const one = new OneReplicator();
  one.meet(1);
  one.receive(1, page([entry("a", 1)]), frame);
  expect(one.ends()).toEqual(["bad-frame"]);
  expect(one.valueOf("a")).toBeUndefined();
});

test("an unknown message is counted and takes its frame number", () => {
  const one = new OneReplicator();
  one.meet(1);
  one.replicator.receiveUnknown(1, 2, NOW);
  one.receive(1, page([entry("a", 1)]), 3);
  expect(one.ends()).toEqual([]);
  expect(one.valueOf("a")).toBe(1);
  expect([...one.replicator.sessions][0]?.rejects).toEqual({ "unknown-message": 1 });
});

test("a transfer is applied in one step, when it is whole", () => {
  const one = new OneReplicator();
  one.meet(1);
  one.receive(1, page([entry("a", 1)], { last: false }));
  expect(one.valueOf("a")).toBeUndefined();
  one.receive(1, page([entry("b", 2)], { mark: [[PEER, 2]] }));
  expect([one.valueOf("a"), one.valueOf("b"), one.covered(PEER)]).toEqual([1, 2, 2]);
});

test("a run is adopted only where it continues what is covered", () => {
  const one = new OneReplicator();
  one.meet(1);
  one.receive(1, page([entry("a", 5)], { runFrom: 4, runTo: 5 }));
  expect(one.covered(PEER)).toBe(0);
  one.receive(1, page([], { mark: [[PEER, 5]] }));
  one.receive(1, page([entry("a", 6)], { runFrom: 5, runTo: 6 }));
  expect(one.covered(PEER)).toBe(6);
});

test("what is covered is ignored, even where it would win", () => {
  const one = new OneReplicator();
  one.meet(1);
  one.receive(1, page([entry("a", 3)], { mark: [[PEER, 3]] }));
  one.receive(1, page([entry("a", 2, { stamp: stampAt(NOW) + 99 }), entry("b", 3)]));
  expect([one.valueOf("a"), one.valueOf("b")]).toEqual([3, undefined]);
});

test("what was accepted is acknowledged once it is durable, not before", () => {
  const one = new OneReplicator();
  one.meet(1);
  one.take(1, "ack");
  one.receive(1, page([entry("a", 1)], { mark: [[PEER, 1]] }));
  one.tick(3);
  expect(one.take(1, "ack")).toEqual([]);
  one.commit();
  expect(one.take(1, "ack")).toEqual([{ type: "ack", frames: 2, vector: [[PEER, 1]], kept: 2 }]);
});

test("our own write leaves once it is durable, not before, and is claimed with it", () => {
  const one = new OneReplicator();
  one.meet(1);
  expect(one.take(1, "page")).toMatchObject([{ entries: [], mark: [] }]);
  one.write("a", 7);
  one.tick(3);
  expect(one.take(1, "page")).toEqual([]);
  one.commit();
  const [sent] = one.take(1, "page");
  expect(sent?.entries.map(({ seq }) => seq)).toEqual([1]);
  expect(sent).toMatchObject({ last: true, mark: [[OWN, 1]] });
});

test("a refused entry stalls no other data, but holds back the claims until it is accepted", () => {
  const one = new OneReplicator();
  one.meet(1);
  const early = entry("early", 1, { stamp: stampAt(NOW + 60_001) });
  one.receive(1, page([early, entry("a", 2)], { mark: [[PEER, 2]] }));
  expect([one.valueOf("early"), one.valueOf("a"), one.covered(PEER)]).toEqual([undefined, 2, 0]);
  one.receive(1, page([entry("b", 3)], { runFrom: 2, runTo: 3 }));
  expect([one.valueOf("b"), one.covered(PEER)]).toEqual([3, 0]);
  expect([...one.replicator.sessions][0]?.rejects).toEqual({ "clock-ahead": 1 });
  one.now += 1;
  one.tick(1000 / TICK_MS);
  expect([one.valueOf("early"), one.covered(PEER)]).toEqual([1, 3]);
});

test("a refused entry that is superseded holds nothing back", () => {
  const one = new OneReplicator();
  one.meet(1);
  one.receive(1, page([entry("k", 1, { value: new Uint8Array(1001) })], { mark: [[PEER, 1]] }));
  expect(one.covered(PEER)).toBe(0);
  one.receive(1, page([entry("k", 2)], { runFrom: 1, runTo: 2 }));
  expect([one.valueOf("k"), one.covered(PEER)]).toEqual([2, 2]);
});

test("an older version of a refused key does not release the claims", () => {
  const one = new OneReplicator();
  one.meet(1);
  one.receive(1, page([entry("k", 2, { value: new Uint8Array(1001) })]));
  one.receive(1, page([entry("k", 1)], { mark: [[PEER, 2]] }));
  expect([one.valueOf("k"), one.covered(PEER)]).toEqual([1, 0]);
});

test("a peer whose every entry is refused costs bounded memory, and another peer sees no delay", () => {
  const one = new OneReplicator();
  one.meet(1);
  one.meet(2, third());
  for (let seq = 1; seq <= 3000; seq += 1) {
    one.receive(1, page([entry(`k${seq}`, seq, { value: new Uint8Array(1001) })]));
  }
  const [session] = [...one.replicator.sessions];
  expect(session?.rejects).toEqual({ "value-too-long": 3000 });
  expect(session?.peer?.inbound.refusedCount).toBeLessThanOrEqual(1000);
  one.receive(2, page([entry("x", 1, { origin: THIRD })], { mark: [[THIRD, 1]] }));
  expect([one.valueOf("x"), one.covered(THIRD)]).toEqual([1, 1]);
  // What was not kept can only be had from a new session: claims of this one are not adopted any more.
  one.receive(1, page([], { mark: [[PEER, 3000]] }));
  expect(one.covered(PEER)).toBe(0);
});

test.each([
  ["our own future", [[OWN, 1]]],
  ["a number that nobody reaches", [[THIRD, 2 ** 50]]],
] as const)("coverage of %s ends the session and is not adopted", (_, mark) => {
  for (const message of [page([], { mark }), { type: "ack", frames: 0, vector: mark, kept: 0 } as const]) {
    const one = new OneReplicator();
    one.meet(1);
    one.receive(1, message);
    expect(one.ends()).toEqual(["bad-frame"]);
    expect([one.covered(OWN), one.covered(THIRD)]).toEqual([0, 0]);
  }
});

test("a peer that covers more of us than we wrote: a new epoch, and what was written since the start is kept", () => {
  const one = new OneReplicator();
  one.write("a", 1);
  one.commit();
  one.meet(1, hello({ vector: [[OWN, 2]] }));
  const renewed = makeOrigin("own" as NodeId, "00000000000000ff" as Epoch);
  expect(one.state.origin).toBe(renewed);
  expect(one.events.map(({ type }) => type)).toEqual(["rotated", "end"]);
  const held = one.state.table.entryAt(one.state.table.find(Buffer.from("a")));
  expect(held).toMatchObject({ origin: renewed, seq: 1, stamp: stampAt(NOW) });
  one.commit();
  one.meet(2, hello({ vector: [[OWN, 2]] }));
  expect(one.take(2, "page").flatMap(({ entries }) => entries.map(({ origin }) => origin))).toEqual([renewed]);
});

test("a peer that covers exactly what we wrote is no reason for a new epoch", () => {
  const one = new OneReplicator();
  one.meet(1);
  one.write("a", 1);
  one.commit();
  one.replicator.disconnect(1, "cut");
  one.collect();
  one.meet(2, hello({ vector: [[OWN, 1]] }));
  expect(one.state.origin).toBe(OWN);
  expect(one.ends()).toEqual(["lost"]);
});

test("a peer that covers what we have sent to nobody: a new epoch, under which its writes are not taken for ours", () => {
  const one = new OneReplicator();
  one.meet(1, third());
  one.write("a", 1);
  one.commit();
  one.replicator.disconnect(1, "cut");
  one.write("b", 2);
  one.write("c", 3);
  one.commit();
  one.write("d", 4);
  expect(one.covered(OWN)).toBe(4);
  one.meet(2, hello({ vector: [[OWN, 2]] }));
  const renewed = makeOrigin("own" as NodeId, "00000000000000ff" as Epoch);
  expect(one.state.origin).toBe(renewed);
  expect([one.covered(OWN), one.covered(renewed)]).toEqual([0, 4]);
  one.commit();
  one.meet(3, hello({ vector: [[OWN, 2]] }));
  expect(one.take(3, "hello").flatMap(({ vector }) => vector)).toEqual([[renewed, 4]]);
  one.receive(3, page([entry("x", 2, { origin: OWN })], { mark: [[OWN, 2]] }));
  expect([one.valueOf("x"), one.covered(OWN)]).toEqual([2, 2]);
});

test("a twin with our own origin: a new epoch here, and both names are reported", () => {
  const one = new OneReplicator();
  one.meet(1, hello({ nodeId: "own" as NodeId, epoch: "00000000000000aa" as Epoch }));
  expect(one.state.origin).not.toBe(OWN);
  expect(one.events[0]).toMatchObject({ type: "rotated" });
});

test.each([
  // Both dialed at once: kept is the one dialed by the smaller name, here "own".
  [true, false, "1111111111111111", [1]],
  [false, true, "1111111111111111", [2]],
  // The same side dialed again: the newer one.
  [true, true, "1111111111111111", [2]],
  // A restarted peer: the newer one, whoever dialed.
  [true, false, "2222222222222222", [2]],
])(
  "of two connections to one peer (dialed %s, then %s, process %s) session %j is kept",
  (first, second, incarnation, kept) => {
    const one = new OneReplicator();
    one.meet(1, hello(), first);
    one.meet(2, hello({ incarnation }), second);
    expect([...one.replicator.sessions].map(({ id }) => id)).toEqual(kept);
    expect(one.ends()).toEqual(["duplicate"]);
  },
);

test("a relayed write waits for its author, and is sent when the author does not deliver", () => {
  const one = new OneReplicator();
  one.meet(1, hello({ links: ["third" as NodeId] }));
  one.meet(2, third());
  one.commit();
  one.take(1, "page");
  one.receive(2, page([entry("x", 1, { origin: THIRD })], { mark: [[THIRD, 1]] }));
  one.commit();
  expect(one.take(1, "page")).toEqual([]);
  one.tick(6);
  const pages = one.take(1, "page");
  expect(pages.flatMap(({ entries }) => entries.map(({ seq }) => seq))).toEqual([1]);
  expect(pages.at(-1)?.mark).toEqual([[THIRD, 1]]);
});

test("a relayed write is not sent to a peer that has it by then, and never to its author", () => {
  const one = new OneReplicator();
  one.meet(1, hello({ links: ["third" as NodeId] }));
  one.meet(2, third());
  one.receive(2, page([entry("x", 1, { origin: THIRD })], { mark: [[THIRD, 1]] }));
  one.commit();
  one.receive(1, { type: "ack", frames: 1, vector: [[THIRD, 1]], kept: 1 });
  one.tick(20);
  const sent = [1, 2].flatMap((id) => one.take(id, "page").flatMap(({ entries }) => [...entries]));
  expect(sent).toEqual([]);
});

test("what others have brought of a peer's own writes is sent to it once it should have claimed them", () => {
  const one = new OneReplicator();
  one.meet(1);
  one.meet(2, third());
  one.commit();
  one.receive(1, page([], { mark: [] }));
  // Of the third one's writes the first never came by: it may have been beaten by what the peer has written.
  one.receive(2, page([entry("x", 1), entry("y", 2, { origin: THIRD })], { mark: [[THIRD, 2]] }));
  one.commit();
  one.tick(5);
  // Whoever forgets what it has written must not hear before that it has all that this has beaten.
  expect(one.take(1, "page").flatMap(({ mark }) => mark ?? [])).toEqual([]);
  one.tick(1);
  const pages = one.take(1, "page");
  expect(pages.flatMap(({ entries }) => entries.map(({ origin }) => origin))).toEqual([PEER]);
  expect(pages.at(-1)?.mark).toEqual([[THIRD, 2]]);
});

test("a peer hears that we cover its own writes by the word of others before it hears anything else", () => {
  const one = new OneReplicator();
  one.meet(1);
  one.meet(2, third());
  one.commit();
  one.sent.clear();
  const mark = [
    [PEER, 1],
    [THIRD, 1],
  ] as const;
  one.receive(2, page([entry("x", 1), entry("y", 1, { origin: THIRD })], { mark: [...mark] }));
  one.commit();
  const [first, ...rest] = one.sent.get(1) ?? [];
  expect(first?.type === "ack" ? first.vector : []).toContainEqual([PEER, 1]);
  const pages = rest.filter((message) => message.type === "page");
  expect(pages.flatMap(({ entries }) => entries.map(({ origin }) => origin))).toEqual([THIRD]);
  expect(pages.at(-1)?.mark).toEqual([[THIRD, 1]]);
});

test("a store with as many keys as it may have takes new versions of them, and no new key", () => {
  const limits = { maxKeyBytes: 20, maxValueBytes: 1000, maxKeys: 2, maxBytes: 1e6, maxDriftMs: 60_000 };
  const one = new OneReplicator({ limits });
  one.meet(1);
  one.receive(1, page([entry("a", 1), entry("b", 2)]));
  one.receive(1, page([entry("b", 3), entry("c", 4)]));
  expect([one.valueOf("a"), one.valueOf("b"), one.valueOf("c")]).toEqual([1, 3, undefined]);
  expect(one.replicator.rejects()).toEqual({ "store-full": 1 });
});

test("a write of an author that the peer loses is sent at once", () => {
  const one = new OneReplicator();
  one.meet(1, hello({ links: ["third" as NodeId] }));
  one.meet(2, third());
  one.receive(2, page([entry("x", 1, { origin: THIRD })], { mark: [[THIRD, 1]] }));
  one.commit();
  one.take(1, "page");
  one.receive(1, { type: "links", links: [] });
  expect(one.take(1, "page").flatMap(({ entries }) => entries.map(({ seq }) => seq))).toEqual([1]);
});

test("a peer that never acknowledges gets a window full and no more; then it catches up from the change log", () => {
  const one = new OneReplicator({ flow: { ...FLOW_LIMITS, windowBytes: 1000, pageBytes: 300 } });
  one.meet(1);
  for (let n = 0; n < 200; n += 1) {
    one.write(`k${n % 50}`, n % 100);
    one.commit();
  }
  const [session] = [...one.replicator.sessions];
  const inFlight = session?.peer?.outbound.inFlightBytes ?? 0;
  expect(inFlight).toBeGreaterThanOrEqual(1000);
  expect(inFlight).toBeLessThan(2000);
  expect(session?.peer?.outbound.phase).toBe("catching-up");
  const keys = new Map<string, number>();
  for (let frames = 1; frames < 1000; frames += 1) {
    for (const { entries } of one.take(1, "page")) {
      for (const { key, value } of entries) keys.set(Buffer.from(key).toString(), value?.[0] ?? -1);
    }
    one.receive(1, { type: "ack", frames: session?.framesSent ?? 0, vector: [], kept: 1 });
  }
  expect(session?.peer?.outbound.phase).toBe("live");
  expect(keys.size).toBe(50);
  for (let n = 150; n < 200; n += 1) expect(keys.get(`k${n % 50}`)).toBe(n % 100);
});

test("a silent peer is probed, and dropped after 15 s", () => {
  const one = new OneReplicator();
  one.meet(1);
  one.sent.clear();
  one.tick(5000 / TICK_MS);
  expect(one.take(1, "probe")).toHaveLength(1);
  one.tick(10_000 / TICK_MS);
  expect(one.ends()).toEqual([]);
  one.tick(1);
  expect(one.ends()).toEqual(["silent"]);
});

test("an idle session sends nothing but probes", () => {
  const one = new OneReplicator();
  one.meet(1);
  one.commit();
  one.tick(1);
  one.sent.clear();
  for (let second = 0; second < 60; second += 1) {
    one.tick(1000 / TICK_MS);
    one.receive(1, { type: "probe", digest: "0".repeat(16), wallClock: NOW });
  }
  expect(new Set(one.sent.get(1)?.map(({ type }) => type))).toEqual(new Set(["probe"]));
  expect(one.replicator.hasReady).toBe(false);
});

test("stamps grow across peers' stamps and a clock that is set back", () => {
  const one = new OneReplicator();
  one.meet(1);
  one.receive(1, page([entry("a", 1, { stamp: stampAt(NOW + 50_000) })]));
  one.now -= 1_000_000;
  one.write("a", 9);
  expect(one.valueOf("a")).toBe(9);
  const held = one.state.table.entryAt(one.state.table.find(Buffer.from("a")));
  expect(held.stamp).toBe(stampAt(NOW + 50_000) + 1);
});

test("a stamp at the end of time is refused and does not move the clock", () => {
  const one = new OneReplicator();
  one.meet(1);
  one.receive(1, page([entry("a", 1, { stamp: stampAt(STAMP_MILLIS_MAX) })]));
  expect(one.replicator.lastStamp).toBe(0);
});

test("no stamp is issued beyond the lease, and a restart with a clock set back goes on above it", () => {
  const one = new OneReplicator();
  one.write("a", 1);
  const ready = one.replicator.takeReady();
  expect(ready?.ops.map(({ type }) => type)).toEqual(["lease", "set"]);
  const { lease } = one.state;
  expect(lease).toBeGreaterThanOrEqual(one.replicator.lastStamp);
  const again = new OneReplicator({ state: one.state });
  again.replicator.write([{ key: Buffer.from("b"), value: null, expiresAt: 0 }], NOW - 5000);
  const written = one.state.table.entryAt(one.state.table.find(Buffer.from("b")));
  expect(written.stamp).toBeGreaterThan(lease);
});

test("entries expire at their time, as one change, on the hybrid clock", () => {
  const one = new OneReplicator();
  one.meet(1);
  one.receive(1, page([entry("a", 1, { expiresAt: NOW + 100 })], { mark: [[PEER, 1]] }));
  one.commit();
  one.now += 99;
  one.tick();
  expect(one.valueOf("a")).toBe(1);
  one.now += 1;
  one.tick();
  expect(one.valueOf("a")).toBeNull();
  const ready = one.replicator.takeReady();
  expect(ready?.changes).toMatchObject([{ kind: "expire", existed: true }]);
  expect(ready?.batches.flatMap(({ entries }) => [...entries])).toEqual([]);
});

test("a refused entry that we have beaten ourselves holds nothing back", () => {
  const one = new OneReplicator();
  one.meet(1);
  one.receive(1, page([entry("k", 1, { value: new Uint8Array(1001) })], { mark: [[PEER, 1]] }));
  one.now += 1000;
  one.write("k", 9);
  one.tick(1000 / TICK_MS);
  expect([one.valueOf("k"), one.covered(PEER)]).toEqual([9, 1]);
});

test("a process that comes back after another of its name took over is a twin, and both are told", () => {
  const one = new OneReplicator();
  one.meet(1, hello({ incarnation: "1111111111111111" }));
  one.meet(2, hello({ incarnation: "2222222222222222" }));
  one.meet(3, hello({ incarnation: "1111111111111111" }));
  expect(one.ends()).toEqual(["duplicate", "identity-clash"]);
  expect(one.take(3, "bye")[0]?.detail).toContain("another nodeId");
});

test("hello replaces what we believed a peer to cover, also by less", () => {
  const one = new OneReplicator();
  one.meet(3, third());
  one.write("a", 1);
  one.commit();
  one.meet(1, hello({ vector: [[OWN, 1]] }));
  expect(one.replicator.holders(OWN, 1)).toBe(2);
  one.replicator.disconnect(1, "cut");
  expect(one.replicator.holders(OWN, 1)).toBe(2);
  one.meet(2, hello({ vector: [], incarnation: "2222222222222222" }));
  one.replicator.disconnect(2, "cut");
  expect(one.replicator.holders(OWN, 1)).toBe(1);
});

test("a batch waits as a whole or is sent as a whole", () => {
  const one = new OneReplicator({ flow: { ...FLOW_LIMITS, relayWaits: 2 } });
  one.meet(1, hello({ links: ["third" as NodeId] }));
  one.meet(2, third());
  one.commit();
  one.take(1, "page");
  const batch = ["x", "y", "z"].map((key, n) => entry(key, n + 1, { origin: THIRD, stamp: stampAt(NOW) }));
  one.receive(2, page(batch, { mark: [[THIRD, 3]] }));
  one.commit();
  expect(one.take(1, "page").flatMap(({ entries }) => entries.map(({ seq }) => seq))).toEqual([1, 2, 3]);
});

test("a batch is sent whole although an older version of one of its keys is due before the others", () => {
  const one = new OneReplicator();
  one.meet(1, hello({ links: ["third" as NodeId] }));
  one.meet(2, third());
  one.commit();
  one.receive(2, page([entry("y", 1, { origin: THIRD })], { mark: [[THIRD, 1]] }));
  one.commit();
  one.tick(3);
  one.take(1, "page");
  const stamp = stampAt(NOW) + 50;
  const batch = ["x", "y", "z"].map((key, n) => entry(key, n + 2, { origin: THIRD, stamp }));
  one.receive(2, page([...batch, entry("w", 5, { origin: THIRD })], { mark: [[THIRD, 5]] }));
  one.commit();
  one.tick(3);
  const seqs = one.take(1, "page").flatMap(({ entries }) => entries.map(({ seq }) => seq));
  expect(seqs.sort()).toEqual([2, 3, 4]); // and not yet what only came with it
});

test("a hot key that waits is resolved by the next version that is sent", () => {
  const one = new OneReplicator();
  one.meet(1, hello({ links: ["third" as NodeId] }));
  one.meet(2, third());
  one.commit();
  one.receive(2, page([entry("x", 1, { origin: THIRD })], { mark: [[THIRD, 1]] }));
  one.commit();
  one.take(1, "page");
  one.now += 10;
  one.write("x", 5);
  one.commit();
  expect(one.take(1, "page").at(-1)?.mark).toEqual(expect.arrayContaining([[THIRD, 1]]));
});

test("connections that say nothing are closed after 5 s, and never keep out a peer", () => {
  const one = new OneReplicator();
  for (let id = 1; id <= 2000; id += 1) one.replicator.connect(id, false, NOW);
  expect([...one.replicator.sessions]).toHaveLength(64);
  one.meet(3000, hello(), false);
  expect([...one.replicator.sessions].some(({ peer }) => peer?.nodeId === "peer")).toBe(true);
  one.tick(5000 / TICK_MS + 1);
  expect([...one.replicator.sessions].map(({ id }) => id)).toEqual([3000]);
});

test("a connection that we dialed is not closed for others that say nothing", () => {
  const one = new OneReplicator();
  one.replicator.connect(1, true, NOW);
  for (let id = 2; id <= 200; id += 1) one.replicator.connect(id, false, NOW);
  expect([...one.replicator.sessions][0]?.id).toBe(1);
});

test("what a peer's hello covers waits for the record that the catch-up makes: one, and one sync", () => {
  const one = new OneReplicator();
  one.meet(1, hello({ vector: [[PEER, 1]] }));
  expect(one.replicator.hasReady).toBe(false);
  one.receive(1, page([entry("a", 1)], { mark: [[PEER, 1]] }));
  const ready = one.replicator.takeReady();
  expect(ready?.ops.map(({ type }) => type)).toEqual(["ack", "set", "cover", "lease"]);
  expect(one.replicator.takeReady()).toBeUndefined();
});

test("without one it is kept with the next tick, and at the end of the sessions", () => {
  const one = new OneReplicator();
  one.meet(1, hello({ vector: [[PEER, 1]] }));
  one.tick();
  expect(one.replicator.takeReady()?.ops).toMatchObject([{ type: "ack", seq: 1 }]);
  one.meet(2, hello({ incarnation: "2222222222222222", vector: [[PEER, 2]] }));
  expect(one.replicator.hasReady).toBe(false);
  one.replicator.closeSessions();
  expect(one.replicator.takeReady()?.ops).toMatchObject([{ type: "ack", seq: 2 }]);
});
