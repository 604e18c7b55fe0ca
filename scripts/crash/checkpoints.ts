/** Takes many checkpoints and watches what they leave behind: files, bytes, open file descriptors. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { openReplica } from "wavekv";

const KEYS = 200;
const WRITES_BETWEEN = 20;
const VALUE_LENGTH = 500;
/** From then on there are as many snapshots and segments as there ever will be. */
const WARM_UP = 5;
/** Beside two snapshots there is the log since the older one, which is a little longer or shorter each time. */
const GROWTH_MAX = 1.1;

export interface Usage {
  readonly checkpoint: number;
  readonly bytes: number;
  readonly files: number;
  /** Open in this process; 0 where the system does not tell. */
  readonly descriptors: number;
}

export interface CheckpointResult {
  readonly first: Usage;
  readonly last: Usage;
  /** What has grown or was left behind, in sentences. */
  readonly problems: readonly string[];
}

/** @param count  more than five */
export async function runCheckpoints(
  directory: string,
  count: number,
  signal: AbortSignal,
  onUsage: (usage: Usage) => void,
): Promise<CheckpointResult> {
  await using replica = await openReplica({ directory, durability: "os" });
  const problems: string[] = [];
  let first: Usage | undefined;
  let last: Usage | undefined;
  for (let checkpoint = 1; checkpoint <= count; checkpoint++) {
    signal.throwIfAborted();
    const puts = Array.from({ length: checkpoint === 1 ? KEYS : WRITES_BETWEEN }, (_, index) => {
      const key = `key-${(checkpoint * WRITES_BETWEEN + index) % KEYS}`;
      return replica.put(key, `${checkpoint}`.padEnd(VALUE_LENGTH, "."));
    });
    await Promise.all(puts);
    await replica.checkpoint();
    last = usageOf(directory, checkpoint);
    if (checkpoint === WARM_UP) first = last;
    if (checkpoint % Math.max(1, Math.floor(count / 10)) === 0) onUsage(last);
    if (first === undefined) continue;
    for (const grown of growthOf(first, last)) problems.push(`after checkpoint ${checkpoint}: ${grown}`);
    const temporary = readdirSync(directory).filter((name) => name.endsWith(".tmp"));
    for (const name of temporary) problems.push(`after checkpoint ${checkpoint}: ${name} is left`);
    if (problems.length > 0) break;
  }
  if (first === undefined || last === undefined) throw new RangeError(`at least ${WARM_UP} checkpoints`);
  const { ok, problems: found } = await replica.verify();
  return { first, last, problems: ok ? problems : [...problems, ...found] };
}

function growthOf(first: Usage, last: Usage): string[] {
  const grown: string[] = [];
  if (last.bytes > first.bytes * GROWTH_MAX) grown.push(`${last.bytes} bytes, there were ${first.bytes}`);
  if (last.files > first.files) grown.push(`${last.files} files, there were ${first.files}`);
  if (last.descriptors > first.descriptors)
    grown.push(`${last.descriptors} open file descriptors, there were ${first.descriptors}`);
  return grown;
}

function usageOf(directory: string, checkpoint: number): Usage {
  const names = readdirSync(directory);
  const bytes = names.reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
  const descriptors = process.platform === "linux" ? readdirSync("/proc/self/fd").length : 0;
  return { checkpoint, bytes, files: names.length, descriptors };
}
