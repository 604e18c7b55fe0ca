import { expect, test } from "vitest";
import { controlsOf, filesOf } from "../../../demo/filesync/page.ts";
import type { Conflict, FileSide, FileStatus, NodeStatus } from "../../../demo/filesync/status.ts";

const COPY = "both.conflict-12345678.txt";

interface Fixture {
  readonly files?: readonly FileStatus[];
  readonly conflicts?: readonly Conflict[];
  readonly sides?: Readonly<Record<string, FileSide>>;
  readonly problems?: NodeStatus["problems"];
  readonly downloads?: NodeStatus["downloads"];
}

/** The adapter over a view that shows this. */
function pageOf({ files = [], conflicts = [], sides = {}, problems = [], downloads = [] }: Fixture) {
  return filesOf({
    *files() {
      yield* files;
    },
    conflicts: () => [...conflicts],
    side: (path) => sides[path],
    queue: () => [...downloads],
    // What the adapter reads of it.
    status: () => ({ conflicts, problems }) as unknown as NodeStatus,
  });
}

test("files are shown with their state, and why", () => {
  const file = (path: string, state: FileStatus["state"] = "same"): FileStatus => ({
    path,
    state,
    kind: "file",
    bytes: 9,
  });
  const page = pageOf({
    files: [file("fine"), file("away", "waiting"), file("half", "waiting"), file("a:b", "refused"), file(COPY)],
    conflicts: [{ path: "both.txt", keptAs: COPY }],
    problems: [{ path: "a:b", reason: "has a drive letter" }],
    downloads: [{ path: "half", bytes: 4, totalBytes: 9, bytesPerSecond: 1 }],
  });
  expect([...page.list()]).toEqual([
    { path: "fine", state: "synced", bytes: 9 },
    { path: "away", state: "waiting", bytes: 9 },
    { path: "half", state: "receiving", bytes: 9, doneBytes: 4 },
    { path: "a:b", state: "refused", bytes: 9, note: "it has a drive letter" },
    { path: COPY, state: "conflict", bytes: 9, note: "lost to both.txt" },
  ]);
});

test("both sides of a conflict are shown, the newest first, also when one is gone by now", () => {
  const old = "gone.conflict-87654321";
  const page = pageOf({
    conflicts: [
      { path: "gone", keptAs: old },
      { path: "both.txt", keptAs: COPY },
      { path: "x", keptAs: "not here any more" },
    ],
    sides: {
      "both.txt": { nodeId: "a", changedAt: 2, bytes: 4, beginning: "mine" },
      [COPY]: { nodeId: "b", changedAt: 3, bytes: 5_000_000 },
      [old]: { nodeId: "c", changedAt: 1, bytes: 5, beginning: "older" },
    },
  });
  expect([...page.conflicts!()]).toEqual([
    {
      path: "both.txt",
      winner: { nodeId: "a", changedAt: 2, text: "4 B: mine" },
      loser: { nodeId: "b", changedAt: 3, text: `kept as ${COPY}, 5.0 MB` },
    },
    {
      path: "gone",
      winner: { nodeId: "c", changedAt: 1, text: "deleted since" },
      loser: { nodeId: "c", changedAt: 1, text: `kept as ${old}, 5 B: older` },
    },
  ]);
});

/** Controls of replicas a and b in this process, and a way to ask who is apart. */
function controls() {
  const apart = new Map<string, (nodeId: string) => boolean>();
  const transport = (own: string) => ({
    keepApart(isApart: (nodeId: string) => boolean): void {
      apart.set(own, isApart);
    },
  });
  const { links, pauses } = controlsOf(new Map(["a", "b"].map((name) => [name, transport(name)])));
  const cutLinks = (): string[] =>
    ["a", "b"].flatMap((own) => ["a", "b", "c"].filter((other) => apart.get(own)?.(other)).map((other) => own + other));
  return { links, pauses, cutLinks };
}

test("a link is cut and healed at each end that is here", async () => {
  const { links, cutLinks } = controls();
  await links.cut("a", "b");
  await links.cut("c", "b");
  await links.cut("b", "a");
  expect(links.cuts()).toEqual([
    ["c", "b"],
    ["b", "a"],
  ]);
  expect(cutLinks()).toEqual(["ab", "ba", "bc"]);
  await links.heal("a", "b");
  expect(cutLinks()).toEqual(["bc"]);
  expect(() => links.cut("c", "d")).toThrow("this page is that of a, b; open that of c or d");
});

test("a replica that is paused is cut off from all, whatever was cut before, and stays so until it is resumed", async () => {
  const { links, pauses, cutLinks } = controls();
  await links.cut("a", "b");
  await pauses.pause("a");
  expect(cutLinks()).toEqual(["ab", "ac", "ba"]);
  await links.heal("a", "b");
  expect(pauses.paused()).toEqual(["a"]);
  expect(cutLinks()).toEqual(["ab", "ac", "ba"]);
  await pauses.resume("a");
  expect(cutLinks()).toEqual([]);
  expect(() => pauses.pause("c")).toThrow("open that of c");
});
