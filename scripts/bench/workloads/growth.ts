/** What a write costs in clusters of many replicas, on the real core and protocol, in virtual time. */
import { openReplica, type Replica } from "wavekv";
import { Simulation } from "wavekv/testing";
import { type Figures, numberOf, type Scale, type Task, type Workload, wavekv } from "../workload.ts";

const WRITES: Record<Scale, number> = { full: 40, quick: 5 };
/** Replicas that write, by turns: those of a service whose work is spread, not each a single time. */
const WRITERS = 5;
/** Of each of them, before anything counts: the cluster finds out on which ways its writes come. */
const WARM_UP_WRITES = 6;
/** Virtual: for the cluster to find itself, and for a write to reach everybody. */
const DEADLINE_MS = 600_000;
/** At least; and the whole cluster in twenty steps. */
const REPLICAS_A_STEP = 25;
const STEP_MS = 500;
/** Virtual, of silence in between, to know what rest costs. */
const QUIET_MS = 20_000;
const SPACING_MS = 50;

export const growth: Workload = {
  name: "growth",
  what: "Simulated clusters of so many replicas in memory, found through one seed: messages, bytes and arrivals for each write and replica, without what the same time costs at rest; writes come one by one, from five replicas by turns, after six of each that do not count. Virtual milliseconds until all have it, at 1 to 2 ms a hop.",
  time: "clock",
  deadlineMs: 1_800_000,
  sizeName: "replicas",
  sizes: { full: [2, 3, 5, 10, 20, 50, 100, 200, 500, 1000], quick: [3] },
  systems: [wavekv("in memory, default options")],
  figures: {
    messages: { unit: "", better: "less" },
    bytes: { unit: "B", better: "less" },
    "times it arrives": { unit: "", better: "less" },
    "until all have it": { unit: "ms", better: "less" },
    "at rest": { unit: "B/s for each replica", better: "less" },
  },
  targets: [2, 3, 5].map((size) => ({
    row: 16,
    figure: "times it arrives",
    size,
    against: "itself",
    // N - 1 deliveries for N replicas, and a tenth.
    atMost: Number(((1.1 * (size - 1)) / size).toFixed(3)),
  })),
  profile:
    "From 20 replicas on each keeps some 13 connections, so messages and bytes for each write and replica stop growing: one page comes along the tree of its author, and with the next tick of 50 ms one ack goes each way on every other connection. The time grows with the hops, that is, with the logarithm. At rest there is a probe every 5 s on each connection, and one connection a minute that is tried out, whose two ends tell each other what they cover of every replica; beyond 100 replicas each does that less often, or it would be most of what is sent.",
  measure,
};

async function measure(task: Task): Promise<Figures> {
  const count = numberOf(task.size);
  if (count < 2) throw new Error("needs two replicas");
  const world = new Simulation({ seed: 1 });
  const traffic = { frames: 0, bytes: 0 };
  world.network.onFrame = (_, __, frame) => {
    traffic.frames += 1;
    traffic.bytes += frame.length;
    return () => undefined;
  };
  const replicas: Replica[] = [];
  let missing = 0;
  for (let index = 0; index < count; index += 1) {
    const host = world.host(`r${index}`);
    host.seeds = () => (index === 0 ? [] : ["r0"]);
    const { disk: _, ...ports } = host.boot();
    const replica = await world.run(() => openReplica({ nodeId: host.name, logger: silent, ...ports }));
    replica.on("change", () => {
      missing -= 1;
    });
    replicas.push(replica);
    // Not all at the same moment: nobody starts a thousand machines so.
    if (index % Math.max(REPLICAS_A_STEP, Math.ceil(count / 20)) === 0) await world.advance(STEP_MS);
  }
  const untilMs = world.nowMs + DEADLINE_MS;
  for (let known = 0; ; await world.advance(STEP_MS)) {
    // Who knows everybody goes on doing so, and need not be asked again.
    while (known < count && replicas[known]?.members().length === count) known += 1;
    if (known === count) break;
    if (world.nowMs > untilMs) throw new Error(`not all of ${count} have found each other in ${DEADLINE_MS} ms`);
  }
  await world.advance(QUIET_MS);
  const rest = { ...traffic };
  await world.advance(QUIET_MS);
  const restFrames = (traffic.frames - rest.frames) / QUIET_MS;
  const restBytes = (traffic.bytes - rest.bytes) / QUIET_MS;

  const writers = replicas.filter((_, index) => index % Math.ceil(count / WRITERS) === 0);
  const write = async (number: number): Promise<number> => {
    const startMs = world.nowMs;
    missing = count;
    void writers[number % writers.length]?.put(`key/${number}`, "x".repeat(100));
    await world.until(() => missing <= 0, DEADLINE_MS);
    const tookMs = world.nowMs - startMs;
    await world.advance(SPACING_MS);
    return tookMs;
  };
  for (let n = 0; n < WARM_UP_WRITES * writers.length; n += 1) await write(n);

  const before = { ...traffic, entries: arrivals(replicas) };
  const fromMs = world.nowMs;
  let latencyMs = 0;
  const writes = WRITES[task.scale];
  for (let n = 0; n < writes; n += 1) latencyMs += await write(n);
  const spentMs = world.nowMs - fromMs;
  const perWrite = (value: number): number => value / writes / count;
  return {
    messages: perWrite(Math.max(0, traffic.frames - before.frames - restFrames * spentMs)),
    bytes: perWrite(Math.max(0, traffic.bytes - before.bytes - restBytes * spentMs)),
    "times it arrives": perWrite(arrivals(replicas) - before.entries),
    "until all have it": latencyMs / writes,
    "at rest": (restBytes * 1000) / count,
  };
}

/** How many entries all of them have received, known ones included. */
function arrivals(replicas: readonly Replica[]): number {
  return replicas.reduce((sum, replica) => sum + replica.metrics().traffic.entriesReceived, 0);
}

const nothing = (): void => undefined;
const silent = { debug: nothing, info: nothing, warn: nothing, error: nothing };
