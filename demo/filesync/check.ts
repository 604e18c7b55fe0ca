/**
 * The proof on real files and processes: random work in all three folders, one process killed and restarted, another one's
 * data wiped, and in the end the folders must be equal, byte by byte.
 */
import { churn, seededRandom } from "./churn.ts";
import { CLUSTER_NAMES, Cluster } from "./cluster.ts";
import { CommandError, pause } from "./command-line.ts";
import { waitForEquality } from "./compare.ts";

export interface CheckOptions {
  /** Holds everything; must exist, and be empty. */
  readonly directory: string;
  readonly seconds: number;
  readonly seed: number;
  readonly showOutput: boolean;
  readonly print: (line: string) => void;
  readonly signal: AbortSignal;
}

const CONVERGE_MS_MAX = 60_000;
const DIFFERENCES_SHOWN = 50;

/**
 * Runs it and prints what happens; the last line says how it went. Leaves no process behind.
 * @returns whether the folders became equal in time
 */
export async function runCheck({
  directory,
  seconds,
  seed,
  showOutput,
  print,
  signal,
}: CheckOptions): Promise<boolean> {
  const died = new AbortController();
  const either = AbortSignal.any([signal, died.signal]);
  await using cluster = new Cluster(directory, (message) => died.abort(new CommandError(message)), { showOutput });
  await cluster.start(either);
  print(
    `seed ${seed}: ${seconds} s of random work on ${cluster.nodes.map(({ name, folder }) => `${name} ${folder}`).join(", ")}`,
  );
  const [counts] = await Promise.all([
    churn({ folders: [...cluster.folders.values()], durationMs: seconds * 1000, seed, signal: either }),
    disturb(cluster, seconds * 1000, seed, print, either),
  ]);
  const work = Object.entries(counts).map(([action, count]) => `${count} x ${action}`);
  print(`done: ${work.join(", ")}; waits until the folders are equal`);
  const startMs = performance.now();
  const result = await waitForEquality(cluster.folders, CONVERGE_MS_MAX, either);
  const took = `${((performance.now() - startMs) / 1000).toFixed(1)} s`;
  // First, so that the verdict is the last line.
  await cluster.stop();
  for (const difference of result.differences.slice(0, DIFFERENCES_SHOWN)) print(`  ${difference}`);
  const hidden = result.differences.length - DIFFERENCES_SHOWN;
  if (hidden > 0) print(`  and ${hidden} more`);
  const isEqual = result.differences.length === 0;
  if (isEqual) print(`equal: ${result.files} files, ${result.bytes} bytes in each folder, ${took} to converge`);
  else print(`NOT EQUAL after ${took}: ${result.differences.length} differences (seed ${seed})`);
  return isEqual;
}

/** Kills one replica and restarts it; then wipes the data of another. */
async function disturb(
  cluster: Cluster,
  durationMs: number,
  seed: number,
  print: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const first = Math.floor(seededRandom(seed)() * CLUSTER_NAMES.length);
  const killed = CLUSTER_NAMES[first] ?? "a";
  const wiped = CLUSTER_NAMES[(first + 1) % CLUSTER_NAMES.length] ?? "b";
  for (const [name, wipe] of [
    [killed, false],
    [wiped, true],
  ] as const) {
    await pause(durationMs / 4, signal);
    await cluster.kill(name);
    print(`${name} is killed (SIGKILL)${wipe ? ", its data is wiped" : ""}; work in its folder goes on`);
    await pause(durationMs / 8, signal);
    await cluster.restart(name, { wipe }, signal);
    print(`${name} is back`);
  }
}
