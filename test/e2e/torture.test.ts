/** A cluster of real processes under faults, a short version of `npm run cluster`. Uses `dist`. */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { temporaryDirectory } from "./processes.ts";

const TORTURE = fileURLToPath(new URL("../../dist/scripts/cluster-torture.js", import.meta.url));
const DEADLINE_MS = 110_000;

interface Ended {
  readonly code: number | null;
  readonly lines: readonly string[];
  /** What is left of the temporary files. */
  readonly left: readonly string[];
}

/** Runs the command with a place of its own for temporary files. `onLine` may interrupt it. */
async function torture(
  flags: readonly string[],
  onLine?: (line: string, interrupt: () => void) => void,
): Promise<Ended> {
  const temporary = temporaryDirectory();
  const child = spawn(process.execPath, [TORTURE, ...flags], {
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
  expect(processesOf(temporary), "no process is left").toEqual([]);
  return { code, lines: text.trimEnd().split("\n"), left: readdirSync(temporary) };
}

/** Those of this machine that work in the directory, where it tells. */
function processesOf(directory: string): string[] {
  if (process.platform !== "linux") return [];
  return readdirSync("/proc").flatMap((pid) => {
    try {
      const command = /^\d+$/.test(pid) ? readFileSync(`/proc/${pid}/cmdline`, "utf8") : "";
      return command.includes(directory) ? [command] : [];
    } catch {
      return []; // It has ended since.
    }
  });
}

test("killed, frozen, wiped, set back and cut off, three nodes end up with the same, and nothing is lost", async () => {
  const { code, lines, left } = await torture(["--nodes", "3", "--seconds", "8", "--seed", "5"]);
  expect(lines.at(-1), lines.join("\n")).toMatch(/^converged in \d+\.\d s, nothing lost, nothing torn$/);
  const [, writes, safe] = /^writes (\d+), .* by two nodes (\d+),/.exec(lines.at(-3) ?? "") ?? [];
  expect(Number(writes)).toBeGreaterThan(100);
  expect(Number(safe)).toBeGreaterThan(10);
  expect(lines.at(-2)).toMatch(
    /^without faults: entries delivered per write \d\.\d\d to 2 others, at rest \d+ bytes a second/,
  );
  expect({ code, left }).toEqual({ code: 0, left: [] });
}, 120_000);

test("Ctrl-C leaves neither files nor processes", async () => {
  const { code, left } = await torture(["--nodes", "3", "--minutes", "5", "--verbose"], (line, interrupt) => {
    if (/^\d+\.\d s /.test(line)) interrupt();
  });
  expect({ code, left }).toEqual({ code: 130, left: [] });
}, 120_000);
