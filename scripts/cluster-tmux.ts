/** The three replicas of scripts/cluster.ts, each with its live view in a pane of tmux. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { CLUSTER_NAMES, CommandError, pause, print } from "../demo/filesync/tools.ts";

interface Pane {
  readonly id: string;
  /** Of the replica itself: no shell is in between. */
  readonly pid: number;
}

const LOOK_EVERY_MS = 300;
const STOP_MS_MAX = 10_000;
const NODE = fileURLToPath(new URL("../demo/filesync/filesync.js", import.meta.url));
const run = promisify(execFile);

/**
 * Runs until the signal, or until the last replica has ended. Inside of tmux the panes are in this window; elsewhere they are in a
 * session of their own, which is shown if this is a terminal. @throws CommandError when there is no tmux
 */
export async function runInTmux(directory: string, signal: AbortSignal): Promise<void> {
  const nodes = await Promise.all(
    CLUSTER_NAMES.map(async (name) => ({ name, address: `127.0.0.1:${await freePort()}` })),
  );
  const own = process.env.TMUX === undefined ? undefined : process.env.TMUX_PANE;
  const session = `filesync-${process.pid}`;
  const panes: Pane[] = [];
  try {
    for (const { name, address } of nodes) {
      const folder = join(directory, name, "folder");
      await mkdir(folder, { recursive: true });
      const peers = nodes
        .filter((other) => other.name !== name)
        .flatMap((other) => ["--peer", `ws://${other.address}`]);
      const command = [process.execPath, NODE, "run", folder, "--data", join(directory, name, "data"), "--id", name];
      const last = panes.at(-1)?.id ?? own;
      const where = last === undefined ? ["new-session", "-d", "-s", session] : ["split-window", "-d", "-t", last];
      panes.push(
        await openPane([...where, "-P", "-F", "#{pane_id} #{pane_pid}"], [...command, "--listen", address, ...peers]),
      );
      // A pane that is too small to be split again is made larger first.
      await tmux("select-layout", "-t", panes[0]?.id ?? "", "tiled");
    }
    for (const { name } of nodes) print(`  ${name}  ${join(directory, name, "folder")}`);
    if (own === undefined) print(`\nThe replicas are in tmux: tmux attach -t ${session}`);
    print("Ctrl-C stops everything.\n");
    if (own === undefined && process.stdin.isTTY) spawn("tmux", ["attach", "-t", session], { stdio: "inherit" });
    while (!signal.aborted && panes.some(isAlive)) await pause(LOOK_EVERY_MS, signal).catch(() => undefined);
  } finally {
    await stop(panes);
  }
}

async function openPane(where: readonly string[], command: readonly string[]): Promise<Pane> {
  const [id = "", pid] = (await tmux(...where, ...command)).trim().split(" ");
  return { id, pid: Number(pid) };
}

/** As words, not as a line for a shell: paths may hold blanks. */
async function tmux(...words: readonly string[]): Promise<string> {
  try {
    return (await run("tmux", words)).stdout;
  } catch (error) {
    const isAbsent = error instanceof Error && "code" in error && error.code === "ENOENT";
    const reason = error instanceof Error && "stderr" in error ? String(error.stderr).trim() : String(error);
    throw new CommandError(isAbsent ? "there is no tmux; install it, or use --no-tmux" : `tmux ${words[0]}: ${reason}`);
  }
}

/** Each writes down what it has agreed on, and its pane closes with it. */
async function stop(panes: readonly Pane[]): Promise<void> {
  for (const pane of panes) if (isAlive(pane)) process.kill(pane.pid, "SIGTERM");
  const endMs = performance.now() + STOP_MS_MAX;
  while (panes.some(isAlive) && performance.now() < endMs) await pause(LOOK_EVERY_MS);
  for (const pane of panes) if (isAlive(pane)) await tmux("kill-pane", "-t", pane.id).catch(() => undefined);
}

function isAlive({ pid }: Pane): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}
