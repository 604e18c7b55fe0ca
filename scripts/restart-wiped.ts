/** One replica loses its data but not its folder: nothing may be lost, nothing deleted may come back, and it writes again. */
import { existsSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  Cluster,
  CommandError,
  parseFlags,
  parseNumber,
  print,
  runCommand,
  UsageError,
  waitForEquality,
  withDirectory,
} from "../demo/filesync/tools.ts";

const HELP = `
Starts three replicas, kills one, deletes a file elsewhere meanwhile, wipes the killed one's data and restarts it.

  node dist/scripts/restart-wiped.js [--seconds N]

  --seconds N   how long each step may take to converge, default 30

Exit codes: 0 all is well, 1 it is not, 2 wrong use.
`;

await runCommand(HELP, async (signal) => {
  const { values, positionals } = parseFlags({ seconds: { type: "string", default: "30" } });
  if (positionals[0] !== undefined) throw new UsageError(`unexpected argument "${positionals[0]}"`);
  const deadlineMs = parseNumber("seconds", values.seconds, 1, 3600) * 1000;
  return await withDirectory(undefined, async (directory) => {
    const died = new AbortController();
    const either = AbortSignal.any([signal, died.signal]);
    const onDeath = (message: string): void => died.abort(new CommandError(message));
    await using cluster = new Cluster(directory, onDeath, { showOutput: true });
    await cluster.start(either);
    const at = (name: string, path: string): string => join(cluster.folders.get(name) ?? "", path);
    const converge = async (): Promise<void> => {
      const { differences } = await waitForEquality(cluster.folders, deadlineMs, either);
      if (differences.length > 0) throw new CommandError(`not equal in time:\n  ${differences.join("\n  ")}`);
    };

    for (const path of ["kept", "deleted", "edited"]) await writeFile(at("b", path), `${path}, written on b\n`);
    await converge();
    await cluster.kill("b");
    await rm(at("a", "deleted"));
    await writeFile(at("c", "edited"), "edited on c\n");
    await writeFile(at("b", "new"), "made on b while it was down\n");
    print("b was killed and loses its data; elsewhere a file is deleted and one is edited");
    await cluster.restart("b", { wipe: true }, either);
    await converge();
    await writeFile(at("b", "after"), "b writes again\n");
    await converge();
    for (const path of ["kept", "edited", "new", "after"])
      if (!existsSync(at("a", path))) throw new CommandError(`the file "${path}" is lost`);
    if (existsSync(at("a", "deleted"))) throw new CommandError("the deleted file has come back");
    print("all is well: equal, nothing lost, nothing came back");
    return 0;
  });
});
