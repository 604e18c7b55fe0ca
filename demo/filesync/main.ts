/** `npm run demo`: three replicas on this machine to play with; with --check, a proof that they converge. */
import { runCheck } from "./check.ts";
import { parseFlags, parseNumber, print, runCommand, UsageError } from "./command-line.ts";
import { runDemo } from "./demo.ts";
import { runDemoPage } from "./demo-page.ts";
import { withDirectory } from "./temporary.ts";

const HELP = `
Three replicas of a folder on this machine, each a process of its own.

  npm run demo                   start them, say where the folders are, run until Ctrl-C
  npm run demo -- --check        random work, many small files, a large one, renames, edits on both sides, with kills and
                                 wipes in the middle; the folders must be equal after each step; some minutes
  npm run demo -- --ui           the same in one process, and a page to watch it on, for a browser on this machine: cut a link,
                                 edit a file on both sides, heal it

  --keep DIR     put folders and data into DIR, and leave them there; default: a temporary place that is removed
  --seconds N    with --check: how long to work at random, default 10
  --files N      with --check: how many small files, default 10000
  --large-mb N   with --check: size of the large file, in millions of bytes, default 200
  --seed N       with --check: draw the same random choices again; default: another one each time
  --ui-port N    with --ui: where the page is, default any free port
  --verbose      with --check: show every file event
  --help

Exit codes: 0 fine, 1 failed or not equal, 2 wrong use, 130 stopped by a signal.
`;

await runCommand(HELP, async (signal) => {
  const { values, positionals } = parseFlags({
    check: { type: "boolean", default: false },
    keep: { type: "string" },
    seconds: { type: "string" },
    files: { type: "string" },
    "large-mb": { type: "string" },
    seed: { type: "string" },
    verbose: { type: "boolean", default: false },
    ui: { type: "boolean", default: false },
    "ui-port": { type: "string" },
  });
  if (positionals[0] !== undefined) throw new UsageError(`unexpected argument "${positionals[0]}"`);
  const { check, keep, verbose, ui, "ui-port": uiPort, ...ofCheck } = values;
  if (check && ui) throw new UsageError("--check and --ui do not go together");
  if (!ui && uiPort !== undefined) throw new UsageError("--ui-port belongs to --ui");
  if (!check && (verbose || Object.values(ofCheck).some((value) => value !== undefined)))
    throw new UsageError("--seconds, --files, --large-mb, --seed and --verbose belong to --check");
  const seconds = parseNumber("seconds", values.seconds ?? "10", 1, 86_400);
  const smallFiles = parseNumber("files", values.files ?? "10000", 1, 1_000_000);
  // A size that ends in the middle of a chunk.
  const largeBytes = parseNumber("large-mb", values["large-mb"] ?? "200", 1, 8000) * 1_000_000;
  const seed = parseNumber("seed", values.seed ?? String(Date.now() % 1_000_000), 0, 2 ** 32 - 1);
  return await withDirectory(keep, async (directory) => {
    if (check) {
      const options = { directory, seconds, seed, smallFiles, largeBytes, showOutput: verbose, print, signal };
      return (await runCheck(options)) ? 0 : 1;
    }
    if (ui) await runDemoPage(directory, parseNumber("ui-port", uiPort ?? "0", 0, 65_535), print, signal);
    else await runDemo(directory, print, signal);
    print(keep === undefined ? "stopped; the folders are removed" : `stopped; the folders stay in ${directory}`);
    return 0;
  });
});
