/** Compares folders byte by byte. */
import { existsSync } from "node:fs";
import { styleText } from "node:util";
import {
  CommandError,
  compareFolders,
  parseFlags,
  parseNumber,
  pause,
  print,
  runCommand,
  UsageError,
} from "../demo/filesync/tools.ts";

const HELP = `
Compares two or more folders, byte by byte. Looks at regular files only.

  node dist/scripts/check.js FOLDER FOLDER... [--watch] [--interval N]

  --watch        compare again and again until Ctrl-C; a line whenever something has changed
  --interval N   with --watch: seconds between two looks, default 1

Exit codes: 0 equal, 1 not equal, or not readable, 2 wrong use.
`;

await runCommand(HELP, async (signal) => {
  const { values, positionals } = parseFlags({
    watch: { type: "boolean", default: false },
    interval: { type: "string", default: "1" },
  });
  const intervalMs = parseNumber("interval", values.interval, 1, 3600) * 1000;
  if (positionals.length < 2) throw new UsageError("check takes at least two folders");
  for (const folder of positionals)
    if (!existsSync(folder)) throw new CommandError(`the folder ${folder} does not exist`);
  const folders = new Map(positionals.map((folder) => [folder, folder]));
  let shown = "";
  for (;;) {
    const { differences, files, bytes } = await compareFolders(folders);
    const isEqual = differences.length === 0;
    const text = isEqual ? `equal: ${files} files, ${bytes} bytes` : `${differences.length} differences`;
    const report = [...differences.map((difference) => `  ${difference}`), text].join("\n");
    if (report !== shown) print(process.stdout.isTTY ? styleText(isEqual ? "green" : "red", report) : report);
    shown = report;
    if (!values.watch) return isEqual ? 0 : 1;
    await pause(intervalMs, signal);
  }
});
