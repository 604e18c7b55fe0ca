/** The help of the command line, and what somebody may have meant. */
import type { Command } from "./command.ts";

const WIDTH = 22;

export function generalHelp(commands: readonly Command[]): string {
  return `
Usage: wavekv COMMAND [ARGUMENTS] [FLAGS]

${commands.map(({ name, summary }) => `  ${name.padEnd(12)}${summary}`).join("\n")}

  wavekv COMMAND --help    says more, with examples
  --version

get, put, del, scan, watch, status, members, evict, export, import, backup and checkpoint talk to a replica that runs
(wavekv serve): the one in ./data, or --at DIRECTORY, or --at http://127.0.0.1:PORT, or what WAVEKV_AT says.

Exit codes: 0 fine; 1 it did not work, or there is a problem; 2 wrong use; 3 no replica answers there.
`.slice(1);
}

export function commandHelp({ name, summary, takes, flags, notes, examples }: Command): string {
  const all: Command["flags"] = { ...flags, help: { type: "boolean", help: "this" } };
  const lines = Object.entries(all).map(([flag, { type, value = "TEXT", help }]) => {
    return `  ${`--${flag}${type === "string" ? ` ${value}` : ""}`.padEnd(WIDTH)} ${help}`;
  });
  return [
    `Usage: wavekv ${[name, ...takes].join(" ")} [FLAGS]`,
    "",
    `${summary.slice(0, 1).toUpperCase()}${summary.slice(1)}.`,
    ...(notes === undefined ? [] : ["", notes.trim()]),
    "",
    ...lines,
    "",
    "Examples:",
    ...examples.map(([line, what]) => `  wavekv ${line}\n      ${what}`),
    "",
  ].join("\n");
}

/** The name that needs the fewest changes to become what was typed, if these are few. */
export function nearest(typed: string, names: readonly string[]): string | undefined {
  const begun = names.filter((name) => typed !== "" && name.startsWith(typed.toLowerCase()));
  if (begun.length === 1) return begun[0];
  const [best] = names
    .map((name) => ({ name, distance: distance(typed.toLowerCase(), name) }))
    .sort((a, b) => a.distance - b.distance);
  if (best === undefined) return undefined;
  return best.distance <= Math.max(1, Math.floor(best.name.length / 3)) ? best.name : undefined;
}

/** How many characters have to be put in, left out, replaced or swapped with their neighbour (Damerau). */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= Math.min(a.length, 64); i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (last[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swapped = isSwap ? (before[j - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY;
      row.push(Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, replaced, swapped));
    }
    before = last;
    last = row;
  }
  return last.at(-1) ?? 0;
}
