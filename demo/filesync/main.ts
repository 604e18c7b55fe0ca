/** `npm run demo`: three replicas on this machine to play with; with --check, a proof that they converge. */
import { runCheck } from "./check.ts";
import { parseFlags, parseNumber, print, runCommand, UsageError } from "./command-line.ts";
import { runDemo } from "./demo.ts";
import { withDirectory } from "./temporary.ts";

const HELP = `
Three replicas of a folder on this machine, each a process of its own.

  npm run demo                   start them, say where the folders are, run until Ctrl-C
  npm run demo -- --check        random work on real files with a kill and a wipe, then compare; exit code 0 if equal

  --keep DIR     put folders and data into DIR, and leave them there; default: a temporary place that is removed
  --seconds N    with --check: how long to work, default 20
  --seed N       with --check: draw the same random choices again; default: another one each time
  --verbose      with --check: show every file event
  --help

Exit codes: 0 fine, 1 failed or not equal, 2 wrong use, 130 stopped by a signal.
`;

await runCommand(HELP, async (signal) => {
  const { values, positionals } = parseFlags({
    check: { type: "boolean", default: false },
    keep: { type: "string" },
    seconds: { type: "string" },
    seed: { type: "string" },
    verbose: { type: "boolean", default: false },
  });
  if (positionals[0] !== undefined) throw new UsageError(`unexpected argument "${positionals[0]}"`);
  if (!values.check && (values.seconds !== undefined || values.seed !== undefined || values.verbose))
    throw new UsageError("--seconds, --seed and --verbose belong to --check");
  const seconds = parseNumber("seconds", values.seconds ?? "20", 1, 86_400);
  const seed = parseNumber("seed", values.seed ?? String(Date.now() % 1_000_000), 0, 2 ** 32 - 1);
  return await withDirectory(values.keep, async (directory) => {
    if (values.check) {
      return (await runCheck({ directory, seconds, seed, showOutput: values.verbose, print, signal })) ? 0 : 1;
    }
    await runDemo(directory, print, signal);
    print(values.keep === undefined ? "stopped; the folders are removed" : `stopped; the folders stay in ${directory}`);
    return 0;
  });
});
