#!/usr/bin/env node
/** The executable `wavekv`: gives the command line the process it runs in. */
import { systemClock } from "../clock.ts";
import { nodeDisk } from "../storage/node-disk.ts";
import { runCommandLine } from "./command-line.ts";
import { nodeHost, outputOf } from "./node-host.ts";

// The exit code is set, not forced: what was written still has to get through the pipe.
process.exitCode = await runCommandLine(process.argv.slice(2), {
  disk: nodeDisk,
  clock: systemClock,
  host: nodeHost,
  out: outputOf(process.stdout),
  err: outputOf(process.stderr),
});
