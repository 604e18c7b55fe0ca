/** The command `filesync`: keeps a folder alike on several machines, and tells how it is. */
import { realpath } from "node:fs/promises";
import { resolve } from "node:path";
import { CommandError, parseFlags, print, runCommand, UsageError } from "./command-line.ts";
import { compareFolders, digestFolder, listFiles } from "./compare.ts";
import { runNode } from "./node.ts";
import { readNodeOptions, standardData } from "./node-options.ts";
import { formatBytes, formatDuration, printable } from "./output.ts";
import { isConflictCopy, originalOf } from "./paths.ts";
import type { NodeStatus } from "./status.ts";
import { readStatus } from "./status-file.ts";

const HELP = `
Keeps a folder alike on several machines, or in several places of one.

  node filesync.js run DIR [options]           until Ctrl-C: a live view on a terminal, lines otherwise
  node filesync.js status DIR [--data DATA]    how a running one is
  node filesync.js conflicts DIR               the copies that hold what lost
  node filesync.js check DIR [DIR...]          compares folders byte by byte; of a single one, prints a digest to compare

Options of run:
  --listen HOST:PORT    where others reach it; port 0 picks a free one; default 127.0.0.1:0
  --peer ws://HOST:PORT somebody to connect to, repeatable; one is enough to find everybody
  --secret-file FILE    proves that a peer is one of us; needed off 127.0.0.1. It does not encrypt: use a tunnel for that
  --data DATA           where this replica keeps its own data, outside DIR; default: below ~/.local/state/filesync
  --id NAME             the replica's name, a different one on each; default: made once and kept
  --cluster NAME        replicas of different clusters never mix; default "filesync"
  --scan-seconds N      how often the whole folder is compared; default 2; a large folder less often
  --gitignore           leave out what the .gitignore at the top says, besides .syncignore
  --allow-mass-delete   pass on the deletion of more than half of all files at once
  --allow-case-twins    names that differ in case only are two files: not on macOS and Windows
  --ui                  a page to watch it on, for a browser on this machine; its address is printed; --ui-port N
  --plain, --json       lines for people, one JSON object per line; default on a terminal: a live view
  --help

--json works with status, conflicts and check as well.
Exit codes: 0 fine, 1 failed, not equal or not running, 2 wrong use.
`;

const JSON_FLAG = { type: "boolean", default: false } as const;

await runCommand(HELP, async (signal) => {
  const [command, ...args] = process.argv.slice(2);
  switch (command) {
    case "run":
      // Whoever started us has gone, perhaps without a word.
      process.once("disconnect", () => process.kill(process.pid, "SIGTERM"));
      process.channel?.unref();
      await runNode(await readNodeOptions(args), signal);
      return 0;
    case "status":
      return await showStatus(args);
    case "conflicts":
      return await showConflicts(args);
    case "check":
      return await showCheck(args);
    default:
      throw new UsageError(
        `unknown command ${JSON.stringify(command ?? "")}; there are "run", "status", "conflicts" and "check"`,
      );
  }
});

async function showStatus(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseFlags({ data: { type: "string" }, json: JSON_FLAG }, args);
  const directory = onlyFolder("status", positionals);
  await listFolder(directory);
  const status = await readStatus(resolve(values.data ?? (await standardData(directory))));
  if (status === undefined)
    throw new CommandError(`no filesync runs on ${directory}; start one with run, or name its --data`);
  if (status.folder !== (await realpath(directory)))
    throw new CommandError(`that data is of ${status.folder}, not of ${directory}; check --data`);
  if (values.json) print(JSON.stringify(status));
  else for (const line of describeStatus(status)) print(line);
  return 0;
}

async function showConflicts(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseFlags({ json: JSON_FLAG }, args);
  const directory = onlyFolder("conflicts", positionals);
  const copies = (await listFolder(directory)).filter(isConflictCopy).sort();
  for (const keptAs of copies) {
    const path = originalOf(keptAs);
    print(values.json ? JSON.stringify({ path, keptAs }) : `${printable(path)}: what lost is in ${printable(keptAs)}`);
  }
  if (!values.json && copies.length === 0) print("no conflicts");
  return 0;
}

async function showCheck(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseFlags({ json: JSON_FLAG }, args);
  const [only] = positionals;
  if (only === undefined) throw new UsageError("check takes at least one folder");
  for (const folder of positionals) await listFolder(folder);
  if (positionals.length === 1) {
    const { digest, entries, bytes } = await digestFolder(only);
    print(values.json ? JSON.stringify({ digest, entries, bytes }) : `${digest}  ${entries} entries, ${bytes} bytes`);
    return 0;
  }
  const { differences, files, bytes } = await compareFolders(new Map(positionals.map((folder) => [folder, folder])));
  const isEqual = differences.length === 0;
  if (values.json) print(JSON.stringify({ isEqual, differences, files, bytes }));
  else {
    for (const difference of differences) print(`  ${printable(difference)}`);
    print(isEqual ? `equal: ${files} files, ${bytes} bytes` : `${differences.length} differences`);
  }
  return isEqual ? 0 : 1;
}

function onlyFolder(command: string, positionals: readonly string[]): string {
  const [directory, ...rest] = positionals;
  if (directory === undefined || rest.length > 0) throw new UsageError(`${command} takes one folder`);
  return directory;
}

async function listFolder(directory: string): Promise<string[]> {
  try {
    return await listFiles(directory);
  } catch (error) {
    throw new CommandError(`the folder ${directory} cannot be read; check the path`, { cause: error });
  }
}

function describeStatus(status: NodeStatus): string[] {
  const { waiting, traffic, peers, downloads, conflicts, problems } = status;
  const lines = [
    `${status.name}  ${status.address}  ${status.folder}`,
    status.isIdle
      ? "up to date"
      : `${status.due} to look at, ${waiting.files} to receive (${formatBytes(waiting.bytes)})`,
    `${status.files} entries, index ${formatBytes(status.indexBytes)}, digest ${status.digest}`,
    `sent ${formatBytes(traffic.bytesSent)}, received ${formatBytes(traffic.bytesReceived)}`,
    ...peers.map(({ name, state, lagEntries }) => `peer ${name}: ${state}, ${lagEntries} behind`),
    ...downloads.map(
      ({ path, bytes, totalBytes, remainingMs }) =>
        `on the way ${printable(path)}: ${formatBytes(bytes)} of ${formatBytes(totalBytes)}${remainingMs === undefined ? "" : `, ${formatDuration(remainingMs)} left`}`,
    ),
    ...conflicts.map(({ keptAs }) => `conflict copy ${printable(keptAs)}`),
    ...problems.map(({ path, reason }) => `not synchronised ${printable(path)}: it ${printable(reason)}`),
  ];
  if (status.heldDeletions > 0)
    lines.push(`${status.heldDeletions} deletions held back; --allow-mass-delete lets them pass`);
  return lines;
}
