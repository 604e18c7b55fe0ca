/** What a replica does for a peer that has its writes from somebody else, and what it says to peers itself. */
import { describe, expect, test } from "vitest";
import { MEMBER_KIND_BYTE, RESERVED_PREFIX_BYTE, SUPPLIED_AUTHORS_MAX } from "../../../src/limits.ts";
import { FEATURE_EPHEMERAL, FEATURE_SUPPLY } from "../../../src/sync/messages.ts";
import { type Entry, type Epoch, makeOrigin, type NodeId, type Origin } from "../../../src/types.ts";
import { entry, hello, OneReplicator, OWN, PEER, page, THIRD, third } from "./one-replicator.ts";

const FAR = makeOrigin("far" as NodeId, "00000000000000dd" as Epoch);
const far = (key: string, seq: number, origin: Origin = FAR): Entry => entry(key, seq, { origin });
const name = (id: string): NodeId => id as NodeId;

/** Sessions 1 and 2 with peers that understand, live in both directions; FAR's writes come from 2. */
function between(features = FEATURE_SUPPLY): OneReplicator {
  const one = new OneReplicator();
  one.meet(1, hello({ features }));
  one.meet(2, third({ features }));
  one.commit();
  for (const id of [1, 2]) one.receive(id, page([], { mark: [] }));
  one.commit();
  one.sent.clear();
  return one;
}

function passedOn(one: OneReplicator): number[] {
  return one.take(1, "page").flatMap(({ entries }) => entries.map(({ seq }) => seq));
}

/** A write of FAR comes from session 2, with the claim that it is all. */
function bring(one: OneReplicator, seq: number, key = `k${seq}`): void {
  one.receive(2, page([far(key, seq)], { mark: [[FAR, seq]] }));
  one.commit();
}

test("hello says that we understand; who does not is never told", () => {
  const one = new OneReplicator();
  one.meet(1);
  one.collect();
  const [greeting] = one.take(1, "hello");
  expect(greeting!.features & FEATURE_SUPPLY).toBe(FEATURE_SUPPLY);
  expect(FEATURE_SUPPLY & FEATURE_EPHEMERAL).toBe(0);

  for (const features of [0, FEATURE_EPHEMERAL]) {
    const other = between(features);
    for (let seq = 1; seq <= 5; seq++) {
      other.receive(2, page([far("k", seq)]));
      other.receive(1, page([far("k", seq)]));
      other.commit();
    }
    other.replicator.disconnect(2, "gone");
    other.collect();
    expect([...other.take(1, "supply"), ...other.take(2, "supply")]).toEqual([]);
  }
});

describe("a peer that says prune", () => {
  test("is sent that author's writes when the wait is over, and at once from then on", () => {
    const one = between();
    one.receive(1, { type: "supply", prune: [name("far")], graft: [] });
    bring(one, 1);
    one.tick(5);
    expect(passedOn(one)).toEqual([]);
    one.tick();
    expect(passedOn(one)).toEqual([1]);
    bring(one, 2);
    expect(passedOn(one)).toEqual([2]);
  });

  test("is sent nothing that it acknowledges in time, and no mark for it", () => {
    const one = between();
    one.receive(1, { type: "supply", prune: [name("far")], graft: [] });
    for (let seq = 1; seq <= 3; seq++) {
      bring(one, seq);
      one.tick(5);
      one.receive(1, { type: "ack", frames: 1, vector: [[FAR, seq]], kept: 1 });
    }
    one.tick(20);
    expect(one.take(1, "page")).toEqual([]);
  });

  test("is sent what waits as soon as it says graft, and everything from then on", () => {
    const one = between();
    one.receive(1, { type: "supply", prune: [name("far"), name("other")], graft: [] });
    bring(one, 1);
    one.receive(1, { type: "supply", prune: [], graft: [name("other")] });
    expect(passedOn(one)).toEqual([]);
    one.receive(1, { type: "supply", prune: [name("far")], graft: [name("far")] });
    expect(passedOn(one)).toEqual([1]);
    bring(one, 2);
    expect(passedOn(one)).toEqual([2]);
  });

  test("gets the writes of other authors as ever, with what may be claimed of them, and our own", () => {
    const one = between();
    one.receive(1, { type: "supply", prune: [name("far")], graft: [] });
    bring(one, 1);
    one.receive(2, page([entry("x", 1, { origin: THIRD })], { runFrom: 0, runTo: 1 }));
    one.commit();
    const [relayed] = one.take(1, "page");
    expect(relayed).toMatchObject({ entries: [{ origin: THIRD }], mark: [[THIRD, 1]] });
    one.write("own", 1);
    one.commit();
    expect(one.take(1, "page")).toMatchObject([{ entries: [{ origin: OWN }], runFrom: 0, runTo: 1 }]);
  });

  test.each(["own", "peer"])("of %s is counted, and nothing else comes of it", (author) => {
    const one = between();
    one.receive(1, { type: "supply", prune: [name("far"), name(author)], graft: [] });
    expect(one.replicator.rejects()).toEqual({ "absurd-supply": 1 });
    bring(one, 1);
    expect(passedOn(one)).toEqual([1]);
    expect(one.ends()).toEqual([]);
  });

  test("of more authors than the bound: the oldest ones are not waited for", () => {
    const one = between();
    const authors = Array.from({ length: SUPPLIED_AUTHORS_MAX }, (_, n) => name(`a${n}`));
    one.receive(1, { type: "supply", prune: [name("far")], graft: [] });
    one.receive(1, { type: "supply", prune: authors.slice(1), graft: [] });
    bring(one, 1);
    expect(passedOn(one)).toEqual([]);
    one.receive(1, { type: "supply", prune: authors, graft: [] });
    one.tick();
    expect(passedOn(one)).toEqual([1]);
    const [session] = one.replicator.sessions;
    expect(session!.peer!.outbound.pruned.size).toBe(SUPPLIED_AUTHORS_MAX);
  });

  test("before hello it ends the session", () => {
    const one = new OneReplicator();
    one.replicator.connect(1, true, one.now);
    one.receive(1, { type: "supply", prune: [], graft: [] });
    expect(one.ends()).toEqual(["bad-frame"]);
  });
});

describe("we", () => {
  test("say prune to whoever brings twice what we hold or cover, and graft when the supplier has gone", () => {
    const one = between();
    bring(one, 1);
    one.receive(1, page([far("k1", 1)]));
    bring(one, 2);
    expect(one.take(1, "supply")).toEqual([]);
    one.receive(1, page([far("k2", 2)]));
    expect(one.take(1, "supply")).toEqual([{ type: "supply", prune: ["far"], graft: [] }]);
    one.replicator.disconnect(2, "gone");
    one.collect();
    expect(one.take(1, "supply")).toEqual([{ type: "supply", prune: [], graft: ["far"] }]);
  });

  test("take a write that is not covered yet for known, if it is what the key holds", () => {
    const one = between();
    for (const seq of [1, 2]) {
      one.receive(2, page([far("k", seq)]));
      one.receive(1, page([far("k", seq)]));
    }
    expect(one.covered(FAR)).toBe(0);
    expect(one.take(1, "supply")).toHaveLength(1);
  });

  test("say nothing for what comes in a catch-up, of an author who is a peer, of ourselves", () => {
    const one = new OneReplicator();
    one.meet(1, hello({ features: FEATURE_SUPPLY }));
    one.meet(2, third({ features: FEATURE_SUPPLY }));
    one.commit();
    one.receive(2, page([], { mark: [] }));
    for (let seq = 1; seq <= 4; seq++) {
      bring(one, seq);
      one.receive(1, page([far(`k${seq}`, seq)]));
    }
    one.receive(1, page([], { mark: [] }));
    one.write("own", 1);
    one.commit();
    for (let seq = 1; seq <= 4; seq++) {
      one.receive(2, page([entry("x", seq, { origin: THIRD }), entry("y", seq, { origin: PEER })]));
      one.receive(1, page([entry("x", seq, { origin: THIRD }), entry("y", seq, { origin: PEER })]));
      one.receive(1, page([entry("own", 1, { origin: OWN })]));
    }
    expect([...one.take(1, "supply"), ...one.take(2, "supply")]).toEqual([]);
  });
});

test("a part of a merged entry is a write like any other: who brings it twice is told prune", () => {
  const one = between();
  const part = (seq: number): Entry => ({ ...far("", seq), key: Uint8Array.of(RESERVED_PREFIX_BYTE, 0x66, seq) });
  for (const seq of [1, 2]) {
    for (const id of [2, 1]) one.receive(id, page([part(seq)]));
    one.commit();
  }
  expect(one.take(1, "supply")).toEqual([{ type: "supply", prune: ["far"], graft: [] }]);
});

describe("the record of a member, passed on", () => {
  const MEMBER = Uint8Array.of(RESERVED_PREFIX_BYTE, MEMBER_KIND_BYTE, 0x66);
  const record = (seq: number, origin: Origin = FAR): Entry => ({ ...far("", seq, origin), key: MEMBER });

  test("waits for the next tick, and goes with all that have gathered and their marks in one page", () => {
    const one = between();
    one.receive(2, page([record(1)], { mark: [[FAR, 1]] }));
    one.commit();
    one.receive(2, page([{ ...record(1, THIRD), key: MEMBER.subarray(0, 2) }], { mark: [[THIRD, 1]] }));
    one.commit();
    expect(one.take(1, "page")).toEqual([]);
    one.tick();
    const pages = one.take(1, "page");
    expect(pages.map(({ entries }) => entries.length)).toEqual([2]);
    expect(pages[0]!.mark).toEqual([
      [FAR, 1],
      [THIRD, 1],
    ]);
  });

  test("is not sent to whom has it by then", () => {
    const one = between();
    one.receive(2, page([record(1)], { mark: [[FAR, 1]] }));
    one.commit();
    one.receive(1, { type: "ack", frames: 1, vector: [[FAR, 1]], kept: 1 });
    one.tick(3);
    expect(passedOn(one)).toEqual([]);
  });

  test("holds back no write of a user", () => {
    const one = between();
    one.receive(2, page([record(1)], { mark: [[FAR, 1]] }));
    one.commit();
    bring(one, 2);
    expect(passedOn(one)).toEqual([2]);
  });

  test("makes nobody ask for silence: who announces itself need never write", () => {
    const one = between();
    for (let n = 0; n < 5; n++) {
      for (const id of [1, 2]) one.receive(id, page([record(1)]));
      one.commit();
    }
    expect([...one.take(1, "supply"), ...one.take(2, "supply")]).toEqual([]);
  });
});
