#!/usr/bin/env node
/** The executable `wavekv`: gives the command line the process it runs in. */
import { systemClock } from "../clock.ts";
import { nodeDisk } from "../storage/node-disk.ts";
import { runCommandLine } from "./command-line.ts";
import type { Output } from "./output.ts";

// The exit code is set, not forced: what was written still has to get through the pipe.
process.exitCode = await runCommandLine(process.argv.slice(2), {
  disk: nodeDisk,
  clock: systemClock,
  out: outputOf(process.stdout),
  err: outputOf(process.stderr),
});

function outputOf(stream: NodeJS.WriteStream): Output {
  let isOpen = true;
  stream.on("error", (error: NodeJS.ErrnoException) => {
    // Whoever reads has seen enough, as `head` has: that is no failure of ours.
    if (error.code !== "EPIPE") throw error;
    isOpen = false;
  });
  const isTerminal = stream.isTTY;
  return {
    isTerminal,
    hasColours: isTerminal && (process.env.NO_COLOR ?? "") === "" && process.env.TERM !== "dumb",
    write(text) {
      if (isOpen) stream.write(text);
    },
  };
}
