/** Real processes on a real disk: killed, short of space, many checkpoints. Short versions of `npm run crash`. Uses `dist`. */
import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { Ledger } from "../../scripts/crash/ledger.ts";
import { writtenValue } from "../../scripts/crash/reports.ts";
import { commandOf, obstacleTo, ofType, problemsBetween, run, temporaryDirectory } from "./processes.ts";

const CRASH = fileURLToPath(new URL("../../dist/scripts/crash.js", import.meta.url));
const DEADLINE_MS = 60_000;

interface Ended {
  readonly code: number | null;
  readonly lines: readonly string[];
  /** What is left of the temporary files. */
  readonly left: readonly string[];
}

/** Runs the command with a place of its own for temporary files. `onLine` may interrupt it. */
async function crash(flags: readonly string[], onLine?: (line: string, interrupt: () => void) => void): Promise<Ended> {
  const temporary = temporaryDirectory();
  const child = spawn(process.execPath, [CRASH, ...flags], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, TMPDIR: temporary },
  });
  const deadline = setTimeout(() => child.kill("SIGTERM"), DEADLINE_MS);
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    text += part;
    for (const line of part.split("\n")) onLine?.(line, () => child.kill("SIGINT"));
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  clearTimeout(deadline);
  expect(
    commandLines().filter((line) => line.includes(temporary)),
    "no process is left",
  ).toEqual([]);
  return { code, lines: text.trimEnd().split("\n"), left: readdirSync(temporary) };
}

/** Of all processes of this machine, where it tells. */
function commandLines(): string[] {
  if (process.platform !== "linux") return [];
  return readdirSync("/proc").flatMap((pid) => {
    try {
      return /^\d+$/.test(pid) ? [readFileSync(`/proc/${pid}/cmdline`, "utf8")] : [];
    } catch {
      return []; // It has ended since.
    }
  });
}

describe("a process killed at random moments", () => {
  test("loses nothing that it has acknowledged, and tears no batch", async () => {
    const { code, lines, left } = await crash(["--kills", "9", "--seed", "11"]);
    expect(lines.at(-1)).toMatch(/^acknowledged [1-9]\d*, lost 0, torn 0, kills 9, slowest recovery \d+ ms$/);
    expect({ code, left }).toEqual({ code: 0, left: [] });
  }, 90_000);

  // How it shows depends on the moments: as something lost or torn, or as an order that no run can have had.
  test.each(["early-ack", "split-batch"])(
    "and a planted fault shows: %s",
    async (fault) => {
      const { code, lines, left } = await crash(["--kills", "60", "--seed", "11", "--plant", fault]);
      expect(lines.filter((line) => line.startsWith("wrong: ")).length, lines.at(-1)).toBeGreaterThan(0);
      expect({ code, left }).toEqual({ code: 1, left: [] });
    },
    90_000,
  );

  test("and Ctrl-C leaves neither files nor processes", async () => {
    const { code, left } = await crash(["--kills", "10000"], (line, interrupt) => {
      if (line.startsWith("kill 2")) interrupt();
    });
    expect({ code, left }).toEqual({ code: 130, left: [] });
  }, 90_000);
});

test("checkpoints leave no files, bytes or file descriptors behind", async () => {
  const { code, lines, left } = await crash(["--checkpoints", "30"]);
  expect(lines.at(-1)).toMatch(
    /^checkpoints 30, bytes \d+ then \d+, files (\d+) then \1, file descriptors (\d+) then \2$/,
  );
  expect({ code, left }).toEqual({ code: 0, left: [] });
}, 90_000);

test.each([
  [["--kills", "0"]],
  [["--checkpoints", "4"]],
  [["--mode", "never"]],
  [["--sweep", "--kills", "3"]],
  [["--plant", "roses"]],
])("wrong use is refused: %j", async (flags) => {
  expect((await crash(flags)).code).toBe(2);
});

describe("where there is no space", () => {
  test.for([
    ["one at a time", false],
    ["in one record that is cut short", true],
  ] as const)("for a file of more than 64 KiB: %s", { timeout: DEADLINE_MS }, async ([_name, parallel], context) => {
    const obstacle = obstacleTo("ulimit -f", ["bash", "-c", "ulimit -f 64"]);
    context.skip(obstacle !== undefined, obstacle);
    const directory = join(temporaryDirectory(), "data");
    const task = { type: "puts", count: 100, bytes: 1000, parallel } as const;
    const ended = await run(["bash", "-c", 'ulimit -f 64; exec "$@"', "bash", ...commandOf(directory, task)]);
    expect(ended.code).toBe(0);
    expect(new Set(ofType(ended.reports, "refused").map(({ code }) => code))).toEqual(new Set(["ERR_STORAGE_FULL"]));
    const acknowledged = ofType(ended.reports, "acknowledged").length;
    if (parallel) expect(acknowledged).toBe(0);
    else expect(acknowledged).toBeGreaterThan(40);
    const again = await run(commandOf(directory, { type: "read" }));
    expect(problemsBetween(ended.reports, again.reports)).toEqual([]);
    const [opened] = ofType(again.reports, "opened");
    expect(opened?.truncatedBytes, "the half record").toBeGreaterThan(0);
    expect(opened?.corrupt).toBe(false);
  });

  test("on the whole disk", async ({ skip }) => {
    const mount = join(temporaryDirectory(), "disk");
    mkdirSync(mount);
    // In a mount namespace of its own: it goes with the process, whatever happens.
    const obstacle = obstacleTo("mounting", ["unshare", "-m", "mount", "-t", "tmpfs", "none", mount]);
    skip(obstacle !== undefined, obstacle);
    const data = join(mount, "data");
    const [node = "", script = "", puts = ""] = commandOf(data, { type: "puts", count: 400, bytes: 1000 });
    const read = commandOf(data, { type: "read" }).at(-1) ?? "";
    const commands = `set -e; mount -t tmpfs -o size=128k none "$1"; "$2" "$3" "$4"; mount -o remount,size=8m "$1"; "$2" "$3" "$5"`;
    const both = await run(["unshare", "-m", "sh", "-c", commands, "sh", mount, node, script, puts, read]);
    expect(both.code).toBe(0);
    const second = both.reports.findLastIndex(({ type }) => type === "opening");
    const [before, after] = [both.reports.slice(0, second), both.reports.slice(second)];
    expect(new Set(ofType(before, "refused").map(({ code }) => code))).toEqual(new Set(["ERR_STORAGE_FULL"]));
    expect(ofType(before, "acknowledged").length).toBeGreaterThan(20);
    expect(problemsBetween(before, after)).toEqual([]);
  }, 60_000);
});

describe("the ledger", () => {
  /** Three puts, a batch, a delete; the first two are acknowledged. */
  function ledger(acknowledged = 2): Ledger {
    const told = new Ledger();
    told.sent(1, [["a", 10]]);
    told.sent(2, [["b", 10]]);
    told.sent(3, [["a", 12]]);
    told.sent(4, [
      ["b", 10],
      ["c", 10],
    ]);
    told.sent(5, [["a", null]]);
    for (let number = 1; number <= acknowledged; number++) told.acknowledged(number);
    return told;
  }
  const value = (number: number, key: string, length = 10): [string, string] => [
    key,
    writtenValue(number, key, length),
  ];

  test.each([
    [2, [value(1, "a"), value(2, "b")]],
    [3, [value(3, "a", 12), value(2, "b")]],
    [4, [value(3, "a", 12), value(4, "b"), value(4, "c")]],
    [5, [value(4, "b"), value(4, "c")]],
  ])("accepts a prefix of %i", (prefix, found) => {
    expect(ledger().check(new Map(found))).toEqual({ prefix, sent: 5, lost: 0, torn: 0, problems: [] });
  });

  test.each([
    ["a lost tail", { prefix: 1, lost: 1, torn: 0 }, [value(1, "a")]],
    ["everything lost", { prefix: 0, lost: 2, torn: 0 }, []],
    ["a lost write below a later one", { prefix: undefined, lost: 1, torn: 0 }, [value(3, "a", 12)]],
    [
      "a batch without its first part",
      { prefix: undefined, lost: 0, torn: 1 },
      [value(3, "a", 12), value(2, "b"), value(4, "c")],
    ],
    ["a batch without its last part", { prefix: undefined, lost: 0, torn: 1 }, [value(3, "a", 12), value(4, "b")]],
    ["a later write without an earlier one", { prefix: undefined, lost: 0, torn: 0 }, [value(2, "b")]],
    ["what was never sent", { prefix: undefined, lost: 0, torn: 0 }, [value(1, "a"), value(2, "b"), value(9, "d")]],
    ["a value cut short", { prefix: undefined, lost: 1, torn: 0 }, [["a", "1/a/"] as [string, string], value(2, "b")]],
  ])("objects to %s", (_name, expected, found) => {
    const findings = ledger().check(new Map(found));
    expect(findings).toMatchObject(expected);
    expect(findings.problems).not.toEqual([]);
  });

  test("objects to acknowledgements out of order, and to what comes back after it was gone", () => {
    const disordered = ledger(1);
    disordered.acknowledged(3);
    expect(disordered.check(new Map([value(3, "a", 12), value(2, "b")])).problems).toHaveLength(1);
    const told = ledger();
    expect(told.check(new Map([value(1, "a"), value(2, "b")])).problems).toEqual([]);
    expect(told.nextNumber).toBe(6);
    expect(told.check(new Map([value(3, "a", 12), value(2, "b")]))).toMatchObject({ prefix: undefined });
  });
});
