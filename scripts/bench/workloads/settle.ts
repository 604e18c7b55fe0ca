/** Two replicas that differ in little and cannot know it by their version vectors: what moves until they are equal. */
import { openReplica, type Replica } from "wavekv";
import { Simulation } from "wavekv/testing";
import { systemTimers } from "../../../src/clock.ts";
import type { StateOp } from "../../../src/core/ops.ts";
import { stampAt } from "../../../src/hybrid-logical-clock.ts";
import { systemRandom } from "../../../src/random.ts";
import type { Disk } from "../../../src/storage/disk.ts";
import { openStore } from "../../../src/storage/store.ts";
import { type Epoch, makeOrigin, type NodeId } from "../../../src/types.ts";
import { Keys, Values } from "../inputs.ts";
import { mainThreadMs } from "../measure.ts";
import { logger } from "../pairs/replica.ts";
import { type Figures, numberOf, type Task, type Workload, wavekv } from "../workload.ts";

const AUTHOR = makeOrigin("author" as NodeId, "00000000000000aa" as Epoch);
const DIRECTORY = "data";
/** What each of the two lacks. */
const MISSING = 5;
const RECORD_SETS = 100;
/** When everything was written: before the virtual clocks begin. */
const WRITTEN = stampAt(1_690_000_000_000);
const DEADLINE_MS = 600_000;
const STEP_MS = 10;

export const settle: Workload = {
  name: "settle",
  what: "Two replicas with so many entries of a third one, of which each lacks five others; both were sent them by somebody who broke off before saying that this was all, so that no vector covers them, and only digests tell what differs. Everything that moves from the first connection until both are equal, beside the same where one of them has nothing: simulated, in virtual time, with real frames. And the longest step that either took meanwhile, a frame, a timer or an answer of the disk with all that follows from it, in processor time.",
  time: "clock",
  sizeName: "entries",
  sizes: { full: [100_000, 1_000_000], quick: [10_000] },
  systems: [wavekv("durable on a simulated disk, default options")],
  figures: {
    "entries moved": { unit: "", better: "less" },
    "bytes moved": { unit: "B", better: "less" },
    "of the bytes of a full transfer": { unit: "", better: "less" },
    "until equal": { unit: "ms", better: "less" },
    "longest step": { unit: "ms", better: "less" },
  },
  targets: [
    { row: 17, figure: "of the bytes of a full transfer", against: "itself", atMost: 0.01 },
    { row: 15, figure: "longest step", against: "itself", atMost: 20 },
  ],
  profile:
    "Of the entries that move two are the replicas' own announcements. Of the bytes 54 % are the digests of all buckets, one message each way, 43 % what is in those that differ, 2 % the entries. Up to 4,096 uncovered entries nothing is compared before they are sent.",
  measure,
};

async function measure(task: Task): Promise<Figures> {
  const count = numberOf(task.size);
  const everything = (): boolean => true;
  const lacks =
    (part: number) =>
    (number: number): boolean =>
      Math.abs(number - Math.floor(count * part)) > MISSING / 2;
  const full = await meet(count, everything, () => false);
  const little = await meet(count, lacks(0.1), lacks(0.7));
  return {
    "entries moved": little.entries,
    "bytes moved": little.bytes,
    "of the bytes of a full transfer": little.bytes / full.bytes,
    "until equal": little.ms,
    "longest step": little.longestMs,
  };
}

/** Lets two replicas meet that hold the entries whose numbers are picked. */
async function meet(
  count: number,
  ...picks: readonly ((number: number) => boolean)[]
): Promise<{ entries: number; bytes: number; ms: number; longestMs: number }> {
  const world = new Simulation({ seed: 1 });
  let bytes = 0;
  world.network.onFrame = (_, __, frame) => {
    bytes += frame.length;
    return () => undefined;
  };
  const replicas: Replica[] = [];
  for (const [index, isHeld] of picks.entries()) {
    const host = world.host(`r${index}`);
    await fill(host.disk, host.name, count, isHeld);
    host.seeds = () => (index === 0 ? [] : ["r0"]);
    replicas.push(
      await world.run(() => openReplica({ nodeId: host.name, directory: DIRECTORY, logger, ...host.boot() })),
    );
  }
  const startMs = world.nowMs;
  let longestMs = 0;
  let beganMs = mainThreadMs();
  world.scheduler.onEvent = () => {
    beganMs = mainThreadMs();
  };
  world.scheduler.afterEvent = () => {
    longestMs = Math.max(longestMs, mainThreadMs() - beganMs);
  };
  const isEqual = (): boolean =>
    replicas.every((replica) => replica.status().entries === count) && haveOneDigest(replicas);
  while (!isEqual()) {
    if (world.nowMs - startMs > DEADLINE_MS) throw new Error(`not equal after ${DEADLINE_MS} ms`);
    await world.advance(STEP_MS);
  }
  const entries = replicas.reduce((sum, replica) => sum + replica.metrics().traffic.entriesReceived, 0);
  return { entries, bytes, ms: world.nowMs - startMs, longestMs };
}

function haveOneDigest(replicas: readonly Replica[]): boolean {
  return new Set(replicas.map((replica) => replica.status().digest)).size === 1;
}

/** What a replica holds that was sent entries, and was never told that it has all up to some number. */
async function fill(disk: Disk, name: string, count: number, isHeld: (number: number) => boolean): Promise<void> {
  const { store, state } = await openStore({
    disk,
    directory: DIRECTORY,
    nodeId: name as NodeId,
    clusterId: "default",
    durability: "os",
    timers: systemTimers,
    random: systemRandom,
    onFailure: (error) => {
      throw error;
    },
  });
  const keys = new Keys(count);
  const values = new Values();
  for (let from = 0; from < count; from += RECORD_SETS) {
    const ops: StateOp[] = [];
    const { lsn } = state;
    for (let number = from; number < Math.min(from + RECORD_SETS, count); number += 1) {
      if (!isHeld(number)) continue;
      const key = Buffer.from(keys.at(number));
      // A string of MessagePack: its length in a byte.
      const value = Buffer.concat([Buffer.from([0xd9, values.bytes]), Buffer.from(values.at(number), "latin1")]);
      const entry = { key, value, stamp: WRITTEN + number, origin: AUTHOR, seq: number + 1, expiresAt: 0 };
      ops.push({ type: "set", entry });
    }
    for (const op of ops) state.execute(op);
    if (ops.length > 0) await store.append(ops, lsn);
  }
  await store.close();
}
