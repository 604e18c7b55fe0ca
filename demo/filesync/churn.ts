/** Random work on real files: what several users of the folders might do at once. */
import { constants } from "node:fs";
import { mkdir, open, unlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pause } from "./command-line.ts";
import { listFiles } from "./compare.ts";
import { isAbsence } from "./file-errors.ts";

export interface ChurnOptions {
  readonly folders: readonly string[];
  readonly durationMs: number;
  /** Draws the same choices again; what they hit still depends on what has arrived meanwhile. */
  readonly seed: number;
  readonly signal?: AbortSignal;
}

export type ChurnCounts = Record<"create" | "append" | "overwrite" | "delete", number>;

const PAUSE_MS_MAX = 60;
const LARGE_BYTES = 1_500_000;

/** Creates, appends to, overwrites and deletes files, now here, now there. Rejects with the signal's reason. */
export async function churn({ folders, durationMs, seed, signal }: ChurnOptions): Promise<ChurnCounts> {
  const random = seededRandom(seed);
  const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)];
  const counts: ChurnCounts = { create: 0, append: 0, overwrite: 0, delete: 0 };
  const endMs = performance.now() + durationMs;
  while (performance.now() < endMs) {
    const folder = pick(folders);
    if (folder === undefined) break;
    const path = pick(await listFiles(folder));
    const choice = random();
    const action =
      path === undefined || choice < 0.35 ? "create" : choice < 0.6 ? "append" : choice < 0.8 ? "overwrite" : "delete";
    const content = randomContent(random);
    const target = join(folder, action === "create" || path === undefined ? randomPath(random) : path);
    try {
      await act(action, target, content);
      counts[action] += 1;
    } catch (error) {
      // What was there a moment ago has been removed, which may be a deletion that has just arrived.
      if (!isAbsence(error)) throw error;
    }
    await pause(random() * PAUSE_MS_MAX, signal);
  }
  return counts;
}

async function act(action: keyof ChurnCounts, target: string, content: Uint8Array): Promise<void> {
  switch (action) {
    case "create":
      await mkdir(dirname(target), { recursive: true });
      return await writeFile(target, content);
    case "append":
      return await writeExisting(target, content, constants.O_APPEND);
    case "overwrite":
      return await writeExisting(target, content, constants.O_TRUNC);
    case "delete":
      return await unlink(target);
  }
}

/** Without O_CREAT: an edit must not bring a deleted file back. */
async function writeExisting(target: string, content: Uint8Array, flag: number): Promise<void> {
  await using file = await open(target, constants.O_WRONLY | flag);
  await file.writeFile(content);
}

function randomPath(random: () => number): string {
  const number = (count: number): number => Math.floor(random() * count);
  const directory = ["", "", `docs-${number(4)}/`, `a/b-${number(3)}/`, `a/b-${number(3)}/c/`][number(5)] ?? "";
  return `${directory}file ${number(200)}${number(8) === 0 ? "" : ".txt"}`;
}

function randomContent(random: () => number): Uint8Array {
  const draw = random();
  const bytes = draw < 0.05 ? 0 : draw > 0.98 ? LARGE_BYTES : Math.floor(random() ** 3 * 30_000);
  const content = Buffer.alloc(bytes);
  for (let at = 0; at + 4 <= bytes; at += 4) content.writeUInt32LE(Math.floor(random() * 2 ** 32), at);
  return content;
}

/** Numbers in [0, 1) that follow from the seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
