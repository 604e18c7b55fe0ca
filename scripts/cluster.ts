/** Starts three replicas of a folder in this terminal, as `npm run demo` does, in a place that scripts/stop.js can find. */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseFlags, print, runCommand, runDemo, UsageError, withDirectory } from "../demo/filesync/tools.ts";

const HELP = `
Starts three replicas of a folder, each a process of its own, until Ctrl-C or scripts/stop.js.

  node dist/scripts/cluster.js [--keep DIR]

  --keep DIR   put folders and data into DIR and leave them there; default: a temporary place that is removed
`;

await runCommand(HELP, async (signal) => {
  const { values, positionals } = parseFlags({ keep: { type: "string" } });
  if (positionals[0] !== undefined) throw new UsageError(`unexpected argument "${positionals[0]}"`);
  return await withDirectory(values.keep, async (directory) => {
    const pidFile = join(directory, "cluster.pid");
    await writeFile(pidFile, `${process.pid}\n`);
    print(`to stop it from elsewhere: node dist/scripts/stop.js ${directory}`);
    try {
      await runDemo(directory, print, signal);
    } finally {
      await rm(pidFile, { force: true });
    }
    return 0;
  });
});
