/** Random work on the files of some folders, for a cluster that runs elsewhere. */
import { existsSync } from "node:fs";
import { CommandError, churn, parseFlags, parseNumber, print, runCommand, UsageError } from "../demo/filesync/tools.ts";

const HELP = `
Creates, appends to, overwrites and deletes files at random. It does so to any file it finds: do not point it at your own.

  node dist/scripts/churn.js FOLDER... [--seconds N] [--seed N]

  --seconds N   default 20
  --seed N      draws the same choices again; default: another one each time
`;

await runCommand(HELP, async (signal) => {
  const { values, positionals: folders } = parseFlags({
    seconds: { type: "string", default: "20" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
  });
  if (folders.length === 0) throw new UsageError("churn takes at least one folder");
  for (const folder of folders) if (!existsSync(folder)) throw new CommandError(`the folder ${folder} does not exist`);
  const durationMs = parseNumber("seconds", values.seconds, 1, 86_400) * 1000;
  const seed = parseNumber("seed", values.seed, 0, 2 ** 32 - 1);
  print(`seed ${seed}`);
  const counts = await churn({ folders, durationMs, seed, signal });
  print(
    Object.entries(counts)
      .map(([action, count]) => `${count} x ${action}`)
      .join(", "),
  );
  return 0;
});
