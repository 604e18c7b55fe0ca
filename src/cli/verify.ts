/** `wavekv verify`: every byte of a directory read and checked, and what is wrong with it. */
import { CoreState } from "../core/core-state.ts";
import type { Disk } from "../storage/disk.ts";
import { type VerifyReport, verifyStore } from "../storage/maintenance.ts";
import { type Epoch, makeOrigin } from "../types.ts";
import { damageOf } from "./damage.ts";
import { escaped, grouped, type Paint, printable, sizeText } from "./output.ts";
import { NOBODY, type Survey } from "./survey.ts";

export interface VerifyCommandReport extends VerifyReport {
  readonly directory: string;
}

/**
 * Checks each file by itself, as `Replica.verify` does, and that together they give a state from which nothing is
 * missing. A torn end of the log is a problem too: opening the directory cuts it off.
 */
export async function verify(disk: Disk, survey: Survey): Promise<VerifyCommandReport> {
  const { directory, found } = survey;
  const state = found?.state ?? new CoreState(makeOrigin(NOBODY, "0000000000000000" as Epoch));
  const files = await verifyStore(disk, directory, state, undefined);
  const named = (name: string): boolean => files.problems.some((problem) => problem.startsWith(`${name}: `));
  const whole = damageOf(survey).filter(({ name }) => name === undefined || !named(name));
  const problems = [...files.problems, ...whole.map(({ text }) => text)];
  return { ...files, directory, ok: problems.length === 0, problems };
}

export function verifyText({ directory, ok, problems, entries, bytes }: VerifyCommandReport, paint: Paint): string[] {
  const read = `${sizeText(bytes)} read, ${grouped(entries)} ${entries === 1 ? "entry" : "entries"}`;
  if (ok) return [`${paint("green", "ok")}: ${printable(directory)}, ${read}`];
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  return [
    `${paint("red", count)} in ${printable(directory)}, ${read}`,
    ...problems.map((problem) => `  ${escaped(problem)}`),
  ];
}
