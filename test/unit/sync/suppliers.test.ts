/** Whom a replica asks to hold an author's writes back, whom it asks to send them again, and what it keeps of that. */
import { describe, expect, test } from "vitest";
import { SUPPLIED_AUTHORS_MAX } from "../../../src/limits.ts";
import type { SessionId } from "../../../src/sync/committed.ts";
import { Arrivals, Suppliers, type SupplyPeer } from "../../../src/sync/suppliers.ts";
import { type Epoch, makeOrigin, type NodeId } from "../../../src/types.ts";

const AUTHOR = "author" as NodeId;
const originOf = (author: NodeId) => makeOrigin(author, "00000000000000aa" as Epoch);

/** A peer whose name is its session; `needsUs` are the authors whose writes it has from nobody else. */
interface Played extends SupplyPeer {
  readonly needsUs: Set<NodeId>;
}

class Stage {
  readonly told: string[] = [];
  readonly peers = new Map<SessionId, Played>();
  readonly suppliers = new Suppliers<Played>((peer, { prune, graft }) => {
    this.told.push([peer.id, ...prune.map((name) => `-${name}`), ...graft.map((name) => `+${name}`)].join(" "));
  });
  tick = 100;

  constructor(...sessions: SessionId[]) {
    for (const id of sessions) {
      const needsUs = new Set<NodeId>();
      const peer = { id, needsUs, hasPruned: (author: NodeId) => !needsUs.has(author) };
      this.peers.set(id, peer);
      this.suppliers.join(peer);
    }
  }

  /** What one transfer of a session says, as session and names: "-" prune, "+" graft. */
  came(session: SessionId, isNew: boolean, authors: readonly NodeId[] = [AUTHOR]): string[] {
    const arrivals = new Arrivals(() => false);
    for (const author of authors) arrivals.note(originOf(author), isNew);
    this.suppliers.came(session, arrivals, this.tick);
    return this.told.splice(0);
  }

  left(session: SessionId): string[] {
    this.suppliers.leave(session);
    return this.told.splice(0);
  }
}

/** 1 supplies the author, 2 and 3 were asked to wait. */
function settled(): Stage {
  const stage = new Stage(1, 2, 3);
  stage.came(1, true);
  for (const other of [2, 3, 2, 3]) stage.came(other, false);
  stage.told.splice(0);
  return stage;
}

describe("prune", () => {
  test("goes to whoever brings an author's writes a second time in vain, and not again soon", () => {
    const stage = new Stage(1, 2);
    expect(stage.came(1, true)).toEqual([]);
    expect(stage.came(2, false)).toEqual([]);
    expect(stage.came(1, true)).toEqual([]);
    expect(stage.came(2, false)).toEqual(["2 -author"]);
    for (let n = 0; n < 50; n++) expect(stage.came(2, false)).toEqual([]);
    stage.tick += 19;
    expect([stage.came(2, false), stage.came(2, false)]).toEqual([[], []]);
    // It sends nevertheless, and what was on its way has come.
    stage.tick += 1;
    expect([stage.came(2, false), stage.came(2, false)]).toEqual([[], ["2 -author"]]);
  });

  test("is one message for all authors of a transfer", () => {
    const stage = new Stage(1, 2);
    const authors = ["a", "b"] as NodeId[];
    stage.came(1, true, authors);
    stage.came(2, false, authors);
    expect(stage.came(2, false, authors)).toEqual(["2 -a -b"]);
  });

  test("is not said to the supplier, whatever it repeats, nor as long as there is none", () => {
    const stage = new Stage(1, 2);
    expect([stage.came(2, false), stage.came(2, false), stage.came(2, false)]).toEqual([[], [], []]);
    stage.came(1, true);
    expect([stage.came(1, false), stage.came(1, false), stage.came(1, false)]).toEqual([[], [], []]);
  });

  test("is not said to a peer that does not understand it, which can supply all the same", () => {
    const stage = new Stage(2);
    expect([stage.came(1, true), stage.came(2, false), stage.came(2, false)]).toEqual([[], [], ["2 -author"]]);
    const other = new Stage(1);
    expect([other.came(1, true), other.came(2, false), other.came(2, false)]).toEqual([[], [], []]);
  });

  test("of a transfer with old and new writes only the new ones count", () => {
    const stage = new Stage(1, 2);
    stage.came(1, true);
    const arrivals = new Arrivals(() => false);
    for (const isNew of [false, true, false]) arrivals.note(originOf(AUTHOR), isNew);
    expect([...arrivals.byAuthor]).toEqual([[AUTHOR, true]]);
  });

  test("is not about authors that we are connected to", () => {
    const arrivals = new Arrivals((author) => author === AUTHOR);
    arrivals.note(originOf(AUTHOR), true);
    arrivals.note(originOf("b" as NodeId), true);
    arrivals.note(originOf(AUTHOR), false);
    expect([...arrivals.byAuthor]).toEqual([["b", true]]);
  });
});

describe("another supplier", () => {
  test("is whoever brings something new; the old one is told to wait", () => {
    const stage = new Stage(1, 2);
    stage.came(1, true);
    expect(stage.came(2, true)).toEqual(["1 -author"]);
    expect([stage.came(2, true), stage.came(2, false), stage.came(2, false)]).toEqual([[], [], []]);
  });

  test("that was asked to wait is asked to send, whatever it has heard in what order", () => {
    const stage = settled();
    stage.tick += 6;
    expect(stage.came(2, true)).toEqual(["2 +author", "1 -author"]);
  });

  test("is nobody whose writes were on their way when it was asked to wait", () => {
    const stage = settled();
    stage.tick += 5;
    expect(stage.came(2, true)).toEqual([]);
    expect(stage.left(1)).toEqual(["2 +author"]);
  });
});

describe("the end of a session", () => {
  test("of the supplier: one of those that wait is asked to send, and then the next", () => {
    const stage = settled();
    expect(stage.left(1)).toEqual(["2 +author"]);
    expect(stage.left(2)).toEqual(["3 +author"]);
    expect(stage.left(3)).toEqual([]);
  });

  test("of the supplier: rather one that has the writes from somebody else", () => {
    const stage = settled();
    stage.peers.get(2)!.needsUs.add(AUTHOR);
    expect(stage.left(1)).toEqual(["3 +author"]);
    const only = settled();
    for (const peer of only.peers.values()) peer.needsUs.add(AUTHOR);
    expect(only.left(1)).toEqual(["2 +author"]);
  });

  test("of another one: nobody is told, and it is not asked later", () => {
    const stage = settled();
    expect(stage.left(2)).toEqual([]);
    expect(stage.left(1)).toEqual(["3 +author"]);
  });

  test("where nobody waits: whoever brings something next supplies", () => {
    const stage = new Stage(1, 2, 3);
    stage.came(1, true);
    expect(stage.left(1)).toEqual([]);
    expect([stage.came(2, true), stage.came(3, false), stage.came(3, false)]).toEqual([[], [], ["3 -author"]]);
  });
});

test("of more authors than the bound the one that was silent for longest is forgotten", () => {
  const stage = new Stage(1, 2);
  const authors = Array.from({ length: SUPPLIED_AUTHORS_MAX }, (_, n) => `a${n}` as NodeId);
  for (let times = 0; times < 2; times++) {
    stage.came(1, true, authors);
    stage.came(2, false, authors);
  }
  stage.told.splice(0);
  stage.came(1, true, ["a0" as NodeId, "more" as NodeId]);
  const [graft] = stage.left(1);
  const named = graft!.split(" ").slice(1);
  expect(named).toHaveLength(SUPPLIED_AUTHORS_MAX - 1);
  expect(named).toContain("+a0");
  expect(named).not.toContain("+a1");
});
