/** A replica on a real disk, watched and disturbed from outside: what strace sees is what the kernel was asked. Uses `dist`. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import type { Report, Task } from "../../scripts/crash/reports.ts";
import { commandOf, obstacleTo, ofType, problemsBetween, type Run, run, temporaryDirectory } from "./processes.ts";
import { type Call, parseTrace } from "./trace.ts";

const obstacle = obstacleTo("strace", ["strace", "-f", "-o", "/dev/null", "true"]);
beforeEach(({ skip }) => skip(obstacle !== undefined, obstacle));

// One thread for all file access: strace counts calls thread by thread.
const ENV = { UV_THREADPOOL_SIZE: "1", UV_USE_IO_URING: "0" };
const TRACE = ["-f", "-y", "-s", "10000000", "-e", "signal=none", "-e", "trace=fdatasync,pwrite64,pwritev,write"];

interface Traced extends Run {
  readonly directory: string;
  readonly calls: readonly Call[];
}

/** @param inject  as strace takes it, for example `fdatasync:error=EIO:when=3` */
async function traced(task: Task, inject?: string): Promise<Traced> {
  const home = temporaryDirectory();
  const directory = join(home, "data");
  const trace = join(home, "trace");
  const injected = inject === undefined ? [] : ["-e", `inject=${inject}`];
  const ended = await run(["strace", ...TRACE, ...injected, "-o", trace, ...commandOf(directory, task)], ENV);
  return { ...ended, directory, calls: parseTrace(readFileSync(trace, "latin1")) };
}

async function reopened({ directory }: Traced): Promise<readonly Report[]> {
  const { reports, code, stderr } = await run(commandOf(directory, { type: "read" }));
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return reports;
}

const isWrite = ({ name, path }: Call): boolean => name.startsWith("pwrite") && path.endsWith(".log");
const isSync = ({ name }: Call): boolean => name === "fdatasync";

describe("an acknowledgement never precedes the sync that covers its write", () => {
  test.each([
    ["one at a time", { type: "puts", count: 20, bytes: 100 }],
    ["a thousand at once", { type: "puts", count: 1000, bytes: 100, parallel: true }],
  ] satisfies [string, Task][])("%s", async (_name, task) => {
    const { calls, reports, code } = await traced(task);
    expect(code).toBe(0);
    expect(ofType(reports, "acknowledged")).toHaveLength(task.count);
    const written = new Map<number, Call>();
    for (const call of calls.filter(isWrite)) {
      for (const [, number] of call.text.matchAll(/(\d+)\/put-\1\//g)) written.set(Number(number), call);
    }
    let acknowledgements = 0;
    for (const told of calls) {
      const number = Number(/\\"acknowledged\\",\\"number\\":(\d+)/.exec(told.text)?.[1]);
      if (told.name !== "write" || !(number > 0)) continue;
      acknowledgements += 1;
      const write = written.get(number);
      expect(write, `write ${number} is in the log`).toBeDefined();
      const covering = calls.filter(
        (call) => isSync(call) && call.path === write!.path && call.begin > write!.end && call.end < told.begin,
      );
      expect(covering.filter(({ result }) => result === 0).length, `write ${number} is synced`).toBeGreaterThan(0);
    }
    expect(acknowledgements, "seen by strace").toBe(task.count);
  });

  test("and a thousand puts at once share their syncs", async () => {
    const { calls, reports } = await traced({ type: "puts", count: 1000, bytes: 100, parallel: true });
    expect(ofType(reports, "acknowledged")).toHaveLength(1000);
    const syncs = calls.filter(isSync).length;
    expect(syncs).toBeGreaterThan(0);
    expect(syncs).toBeLessThanOrEqual(100);
  });
});

const PUTS = 8;
const TASK: Task = { type: "puts", count: PUTS, bytes: 100 };

/** How many calls of a kind opening and the first acknowledged put take: what comes later hits a put for certain. */
async function callsBeforePuts(name: string): Promise<number> {
  const { calls } = await traced(TASK);
  const first = calls.find(({ text }) => text.includes('\\"acknowledged\\"'));
  return calls.filter((call) => call.name === name && call.begin < (first?.begin ?? 0)).length;
}

describe.each([
  ["fdatasync", "EIO", "ERR_STORAGE_FAILED"],
  ["pwrite64", "EIO", "ERR_STORAGE_FAILED"],
  ["pwrite64", "ENOSPC", "ERR_STORAGE_FULL"],
])("when %s fails with %s", (name, error, code) => {
  test("the replica stops, touches the file no more, and opens again with all it has acknowledged", async () => {
    const before = await callsBeforePuts(name);
    expect(before).toBeGreaterThan(3);
    // Every call of the opening, then the puts: the first ones, and one in the middle.
    const moments = [...Array.from({ length: before + 2 }, (_, index) => index + 1), before + 5];
    for (const when of moments) {
      const where = `call ${when} of ${before} before the puts`;
      const ended = await traced(TASK, `${name}:error=${error}:when=${when}`);
      const { calls, reports } = ended;
      expect({ code: ended.code, stderr: withoutWarnings(ended.stderr) }, where).toEqual({ code: 0, stderr: "" });
      const failed = calls.find((call) => call.name === name && (call.result ?? 0) < 0);
      expect(failed, where).toBeDefined();
      const refused = [...ofType(reports, "refused"), ...ofType(reports, "failed")];
      expect(refused.length, `${where}: it is told`).toBeGreaterThan(0);
      expect(new Set(refused.map((report) => report.code)), where).toEqual(new Set([code]));
      const later = calls.filter((call) => call.begin > failed!.begin);
      expect(
        later.filter(({ text }) => text.includes('\\"acknowledged\\"')),
        `${where}: later acknowledgements`,
      ).toEqual([]);
      const touched = later.filter((call) => call.path === failed!.path && call.name !== "write");
      expect(touched, `${where}: ${failed!.path} is tried again`).toEqual([]);
      if (when > before) expect(ofType(reports, "acknowledged"), where).toHaveLength(when - before);
      expect(problemsBetween(reports, await reopened(ended)), where).toEqual([]);
    }
  }, 120_000);
});

describe("killed by the kernel", () => {
  test.each(["fdatasync", "pwrite64"])(
    "at a call of %s",
    async (name) => {
      const before = await callsBeforePuts(name);
      for (let when = 1; when <= before + 2; when++) {
        const ended = await traced(TASK, `${name}:signal=KILL:when=${when}`);
        expect(ended.code, "a signal has ended it").toBeNull();
        expect(problemsBetween(ended.reports, await reopened(ended)), `call ${when} of ${name}`).toEqual([]);
      }
    },
    120_000,
  );
});

/** The replica says on standard error that it has stopped, which is as it should be. */
function withoutWarnings(stderr: string): string {
  return stderr.replace(/^wavekv: the log has failed, only reads go on.*\n/gm, "");
}
