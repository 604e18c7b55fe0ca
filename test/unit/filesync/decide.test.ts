import { describe, expect, test } from "vitest";
import { type Base, type Decision, decide, type Stored } from "../../../demo/filesync/decide.ts";

// Contents by age, and one that is in no history.
const [v1, v2, v3, other] = ["1111", "2222", "3333", "9999"];
const lost: Base = { type: "lost" };
const none: Base = { type: "none" };
const theirs = (hash: string): Base => ({ type: "agreed", hash, own: false });
const ours = (hash: string): Base => ({ type: "agreed", hash, own: true });
const file = (hash: string, ...ancestors: string[]): Stored => ({ type: "file", hash, ancestors });
const deleted = (hash: string, ...ancestors: string[]): Stored => ({ type: "deleted", hash, ancestors });
const absent: Stored = { type: "absent" };
const unknown: Stored = { type: "unknown" };

type Row = [why: string, base: Base, local: string | undefined, stored: Stored, decision: Decision];

const rows: Row[] = [
  ["equal", theirs(v1), v1, file(v1), "agree"],
  ["both changed to the same", theirs(v1), v2, file(v2), "agree"],
  ["the same file made twice", none, v1, file(v1), "agree"],
  ["a wiped replica adopts an equal file", lost, v1, file(v1), "agree"],
  ["deleted on both sides", theirs(v1), undefined, deleted(v1), "agree"],
  ["nothing anywhere, and not caught up", lost, undefined, unknown, "agree"],

  ["a new file", none, v1, absent, "put"],
  ["a new file where one was deleted", none, v1, deleted(v1), "put"],
  ["an edit", theirs(v1), v2, file(v1), "put"],
  ["a deletion", theirs(v1), undefined, file(v1), "delete"],
  ["a deletion of our own file", ours(v1), undefined, file(v1), "delete"],

  ["a remote new file", none, undefined, file(v1), "write"],
  ["a remote edit", theirs(v1), v1, file(v2, v1), "write"],
  ["a remote edit of what is theirs, history unknown", theirs(v1), v1, file(v2), "write"],
  ["a remote edit of what is ours", ours(v1), v1, file(v2, v1), "write"],
  ["several remote edits of what is ours", ours(v1), v1, file(v3, v2, v1), "write"],
  ["a remote deletion", theirs(v1), v1, deleted(v1), "remove"],
  ["a remote deletion of what is ours", ours(v1), v1, deleted(v1), "remove"],
  ["a remote edit and deletion of what is ours", ours(v1), v1, deleted(v2, v1), "remove"],
  ["a deletion so old that its note has expired", ours(v1), v1, absent, "remove"],

  ["both edited", theirs(v1), v2, file(v3, v1), "conflict"],
  ["both created", none, v1, file(v2), "conflict"],
  ["our edit lost a race against an edit", ours(v2), v2, file(v3, v1), "conflict"],
  ["our edit lost a race against a deletion", ours(v2), v2, deleted(v1), "put"],
  ["an edit against a deletion", theirs(v1), v2, deleted(v1), "put"],
  ["a deletion against an edit", theirs(v1), undefined, file(v2, v1), "write"],
  ["an edit back to an older content against an edit", theirs(v2), v1, file(v3, v2, v1), "conflict"],

  ["written, not remembered, then edited elsewhere", theirs(v1), v2, file(v3, v2, v1), "write"],
  ["written, not remembered, then deleted elsewhere", theirs(v1), v2, deleted(v2, v1), "remove"],
  ["created, not remembered, then edited elsewhere", none, v1, file(v2, v1), "write"],

  ["lost: absent here", lost, undefined, file(v1), "write"],
  ["lost: merely old", lost, v1, file(v2, v1), "write"],
  ["lost: perhaps an edit", lost, other, file(v2, v1), "conflict"],
  ["lost: deleted elsewhere", lost, v1, deleted(v1), "remove"],
  ["lost: old, and deleted elsewhere", lost, v1, deleted(v2, v1), "remove"],
  ["lost: perhaps an edit, and deleted elsewhere", lost, other, deleted(v1), "conflict"],
  ["lost: nobody has heard of it", lost, v1, absent, "put"],
  ["lost: nobody to ask yet", lost, v1, unknown, "wait"],
];

describe("decide", () => {
  test.each(rows)("%s", (_, base, local, stored, decision) => {
    expect(decide(base, local, stored)).toBe(decision);
  });

  test("an ancestor may be known by its beginning only", () => {
    expect(decide(ours(v1), v1, file(v2, v1.slice(0, 2)))).toBe("write");
  });

  test("carried out, every decision but `wait` leads to agreement or to an undisturbed wait for it", () => {
    const bases = [lost, none, theirs(v1), ours(v1)];
    const locals = [undefined, v1, v2, other];
    const stores = [absent, file(v1), file(v2, v1), file(v3), deleted(v1), deleted(v2, v1)];
    for (const base of bases)
      for (const local of locals)
        for (const stored of stores) {
          const [after, folder, store] = carryOut(base, local, stored);
          expect(decide(after, folder, store), JSON.stringify({ base, local, stored })).toBe("agree");
        }
  });
});

function carryOut(base: Base, local: string | undefined, stored: Stored): [Base, string | undefined, Stored] {
  const followed = stored.type === "file" ? stored.hash : undefined;
  switch (decide(base, local, stored)) {
    case "agree":
    case "wait":
      return [base, local, stored];
    case "put":
      return [ours(local!), local, file(local!)];
    case "delete":
      return [none, undefined, deleted(v1)];
    case "write":
    case "remove":
    case "conflict":
      return [followed === undefined ? none : theirs(followed), followed, stored];
  }
}
