/** The ledger of the torture has to see what it is there for. */
import { beforeEach, describe, expect, test } from "vitest";
import { Ledger } from "../../../scripts/cluster-torture/ledger.ts";
import { type HeldEntry, type Write, writtenValue } from "../../../scripts/cluster-torture/messages.ts";

const NOW = 1_000_000;
let ledger: Ledger;
beforeEach(() => {
  ledger = new Ledger();
});

interface Options {
  readonly safe?: boolean;
  readonly acknowledged?: boolean;
  readonly expiresAt?: number;
}

/** One step of a node, at a stamp. @returns the entry that it makes of its first key */
function step(nodeId: string, stamp: number, writes: readonly Write[], options: Options = {}): HeldEntry {
  const { safe = false, acknowledged = true, expiresAt = 0 } = options;
  const number = ledger.nextNumber(nodeId);
  ledger.record(nodeId, { type: "sent", number, safe, writes, expires: expiresAt > 0 });
  ledger.record(nodeId, { type: "issued", number, low: stamp, high: stamp, expiresAt });
  if (acknowledged) ledger.record(nodeId, { type: "acknowledged", number });
  return [writes[0]![0], writtenValue(nodeId, number, 30), stamp, expiresAt];
}

const held = (entry: HeldEntry, key: string): HeldEntry => [key, ...(entry.slice(1) as [unknown, number, number])];

describe("an acknowledged put", () => {
  test("may be beaten by a later one, acknowledged or not, and by none that is older", () => {
    const older = step("a", 10, [["k", "put"]]);
    const due = step("b", 11, [["k", "put"]]);
    const newer = step("a", 12, [["k", "put"]], { acknowledged: false });
    expect(ledger.check([newer], NOW)).toEqual([]);
    expect(ledger.check([due], NOW)).toEqual([]);
    expect(ledger.check([older], NOW)).toEqual([expect.stringContaining("k is too old")]);
    expect(ledger.check([], NOW)).toEqual([expect.stringContaining("k is absent")]);
  });

  test("may be lost with the directory of its node, unless two nodes have it", () => {
    step("a", 10, [["alone", "put"]]);
    step("a", 11, [["safe", "put"]], { safe: true });
    step("b", 12, [["elsewhere", "put"]]);
    ledger.lost("a");
    const problems = ledger.check([], NOW);
    expect(problems.map((problem) => problem.split(" ")[0])).toEqual(["safe", "elsewhere"]);
  });

  test("is not excused by an older delete", () => {
    step("b", 10, [["k", "del"]]);
    step("a", 11, [["k", "put"]]);
    expect(ledger.check([], NOW)).toEqual([expect.stringContaining("k is absent")]);
    step("b", 12, [["k", "del"]], { acknowledged: false });
    expect(ledger.check([], NOW)).toEqual([]);
  });
});

test("an acknowledged delete does not come back", () => {
  const put = step("a", 10, [["k", "put"]]);
  step("b", 11, [["k", "del"]], { safe: true });
  ledger.lost("b");
  expect(ledger.check([put], NOW)).toEqual([expect.stringContaining("k has come back")]);
});

test("what has expired is gone, and only then", () => {
  const entry = step("a", 10, [["k", "put"]], { expiresAt: NOW });
  expect(ledger.check([], NOW)).toEqual([]);
  expect(ledger.check([], NOW - 7001)).toEqual([expect.stringContaining("k is absent")]);
  expect(ledger.check([entry], NOW + 7001)).toEqual([expect.stringContaining("k has expired")]);
});

test("a batch is there as a whole, or beaten", () => {
  const batch: Write[] = [
    ["k", "put"],
    ["l", "put"],
    ["gone", "del"],
  ];
  step("b", 9, [["gone", "put"]], { acknowledged: false });
  const before = step("b", 9, [["l", "put"]], { acknowledged: false });
  const entry = step("a", 10, batch, { acknowledged: false });
  const after = step("b", 11, [["l", "put"]], { acknowledged: false });
  expect(ledger.check([entry, held(entry, "l")], NOW)).toEqual([]);
  expect(ledger.check([entry, after], NOW)).toEqual([]);
  expect(ledger.check([before], NOW)).toEqual([]);
  expect(ledger.check([entry, before], NOW)).toEqual(["of the batch a/0 there is k, but not l"]);
  expect(ledger.check([entry], NOW)).toEqual(["of the batch a/0 there is k, but not l"]);
});

test("what was never written, or under another stamp, is noticed", () => {
  const [key, value, stamp] = step("a", 10, [["k", "put"]]);
  expect(ledger.check([[key, value, stamp + 1, 0]], NOW)).toEqual([expect.stringContaining("with stamp 11")]);
  expect(ledger.check([[key, "x", stamp, 0]], NOW)).toEqual([expect.stringContaining("never sent")]);
  expect(
    ledger.check(
      [
        [key, value, stamp, 0],
        ["other", value, stamp, 0],
      ],
      NOW,
    ),
  ).toEqual(["other was never written"]);
});
