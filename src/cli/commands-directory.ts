/** The commands that look at a directory while no process holds it. They change nothing in it. */
import { type Command, type Given, type Surroundings, UsageError, wholeNumber } from "./command.ts";
import { inspect, inspectText } from "./inspect.ts";
import { KEYS_LIMIT_DEFAULT, KEYS_LIMIT_MAX, keysText, listKeys } from "./keys.ts";
import { grouped, type Paint, paintFor } from "./output.ts";
import { progressOn } from "./progress.ts";
import { type Survey, withSurvey } from "./survey.ts";
import { verify, verifyText } from "./verify.ts";

const JSON_FLAG = { type: "boolean", help: "one JSON object instead of text" } as const;
const NOTES = "For a directory that no process holds. Nothing in it changes, not even a time of a file.";

export const inspectCommand: Command = {
  name: "inspect",
  summary: "what is in a directory: replica, entries, members, coverage, files, damage",
  takes: ["DIR"],
  flags: {
    json: JSON_FLAG,
    keys: { type: "boolean", help: "list the keys too, with size of the value, author, expiry and version" },
    prefix: { type: "string", value: "P", help: "with --keys: only those that begin with P" },
    limit: { type: "string", value: "N", help: `with --keys: at most so many, default ${grouped(KEYS_LIMIT_DEFAULT)}` },
  },
  notes: `${NOTES}
Damage is reported, and ends with 0 as long as something can be used.`,
  examples: [
    ["inspect ./data", "what the next open would find"],
    ["inspect ./data --keys --prefix user/ --limit 100", "and some of the keys"],
  ],
  run: (given, surroundings) => {
    const [prefix, limit] = [given.text("prefix"), given.text("limit")];
    const isListing = given.flag("keys");
    if (!isListing && (prefix !== undefined || limit !== undefined)) {
      throw new UsageError("--prefix and --limit need --keys");
    }
    const keys = { prefix: prefix ?? "", limit: wholeNumber("limit", limit, KEYS_LIMIT_MAX) ?? KEYS_LIMIT_DEFAULT };
    return survey(given, surroundings, async (found, paint) => {
      const report = inspect(found);
      if (!isListing || found.found === undefined) return { report, text: () => inspectText(report, paint) };
      const list = listKeys(found.found.state, keys);
      return {
        report: { ...report, ...list },
        text: () => [...inspectText(report, paint), ...keysText(list, surroundings.clock.now(), paint)],
      };
    });
  },
};

export const verifyCommand: Command = {
  name: "verify",
  summary: "read and check every byte of a directory, also of a backup",
  takes: ["DIR"],
  flags: { json: JSON_FLAG },
  notes: `${NOTES}
A torn end of the log, which opening cuts off, is a problem too.`,
  examples: [["verify ./data", "ok, or what is wrong; the exit code says it as well"]],
  run: (given, surroundings) =>
    survey(given, surroundings, async (found, paint) => {
      const report = await verify(surroundings.disk, found);
      return { report, text: () => verifyText(report, paint) };
    }),
};

async function survey(
  given: Given,
  { disk, out, err }: Surroundings,
  look: (survey: Survey, paint: Paint) => Promise<{ report: { readonly ok: boolean }; text: () => string[] }>,
): Promise<number> {
  const [directory = ""] = given.args;
  if (directory === "") throw new UsageError("which directory?");
  const progress = progressOn(err);
  const { report, text } = await withSurvey(disk, directory, progress, (found) => look(found, paintFor(out))).finally(
    () => progress.end(),
  );
  out.write(given.flag("json") ? `${JSON.stringify(report)}\n` : `${text().join("\n")}\n`);
  return report.ok ? 0 : 1;
}
