/** Starts three replicas of a folder, in panes of tmux or as `npm run demo` does, in a place that scripts/stop.js can find. */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseFlags, print, runCommand, runDemo, UsageError, withDirectory } from "../demo/filesync/tools.ts";
import { runInTmux } from "./cluster-tmux.ts";

const HELP = `
Starts three replicas of a folder, each a process of its own, until Ctrl-C or scripts/stop.js.

  node dist/scripts/cluster.js [--keep DIR] [--tmux | --no-tmux]

  --keep DIR   put folders and data into DIR and leave them there; default: a temporary place that is removed
  --tmux       each in a pane of tmux, with its live view; the default inside of tmux. --no-tmux: all in this terminal
`;

await runCommand(HELP, async (signal) => {
  const { values, positionals } = parseFlags({
    keep: { type: "string" },
    tmux: { type: "boolean", default: false },
    "no-tmux": { type: "boolean", default: false },
  });
  if (positionals[0] !== undefined) throw new UsageError(`unexpected argument "${positionals[0]}"`);
  if (values.tmux && values["no-tmux"]) throw new UsageError("--tmux and --no-tmux do not go together");
  const usesTmux = values.tmux || (process.env.TMUX !== undefined && !values["no-tmux"]);
  return await withDirectory(values.keep, async (directory) => {
    const pidFile = join(directory, "cluster.pid");
    await writeFile(pidFile, `${process.pid}\n`);
    print(`to stop it from elsewhere: node dist/scripts/stop.js '${directory}'`);
    try {
      await (usesTmux ? runInTmux(directory, signal) : runDemo(directory, print, signal));
    } finally {
      await rm(pidFile, { force: true });
    }
    return 0;
  });
});
