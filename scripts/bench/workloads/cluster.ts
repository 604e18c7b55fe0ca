/** Several replicas, each in a process of its own and connected to all others: writes, latency, and a partition. */
import { setTimeout } from "node:timers/promises";
import { askAll, runMember, withMembers } from "../pairs/members.ts";
import type { Partner } from "../pairs/pair.ts";
import { percentile } from "../statistics.ts";
import { type Figures, limit, numberOf, type Scale, type Workload, wavekv } from "../workload.ts";

/** Before anything counts, so that all processes have compiled what they run. */
const REHEARSED: Record<Scale, number> = { full: 20_000, quick: 200 };
const WRITES: Record<Scale, number> = { full: 50_000, quick: 500 };
const STAMPS: Record<Scale, number> = { full: 2000, quick: 50 };
/** On each side of a partition, and how many of them have keys that are written on the other side too. */
const CUT_WRITES: Record<Scale, number> = { full: 5000, quick: 200 };
const SHARED_PART = 0.2;
/** So many keys are written in a partition, for each write of one side. */
const CUT_KEYS = 2 - SHARED_PART;
const POLL_MS = 2;

export const cluster: Workload = {
  name: "cluster",
  what: "So many replicas in a full mesh, each in a process of its own and durable. Writes of one of them, a thousand under way, until all others have them durably; single puts, every 1 to 3 ms, until the event on the slowest of the others. Then the mesh is cut into two sides for as long as one replica of each side takes to write 5,000 entries, a fifth of them under keys of the other side too, and heals: until all are connected again, for which a dialer first has to try again, after a pause that its failed attempts have made about as long as the cut; and until all digests are equal and everything is durable, that pause included. Last, more writes and another partition, while every process watches its turns: the longest of any, in processor time of its main thread.",
  time: "clock",
  sizeName: "replicas",
  sizes: { full: [3, 5], quick: [3] },
  systems: [
    wavekv("every replica syncs before it sends, and before it counts"),
    limit(
      "bare pages",
      "every process syncs before it sends or counts; entries in pages over bare WebSockets into Maps, one writer, the others only read",
    ),
  ],
  figures: {
    writes: { unit: "/s", better: "more" },
    "latency, p50": { unit: "ms", better: "less" },
    "latency, p99": { unit: "ms", better: "less" },
    "cut for": { unit: "ms", better: "less" },
    "connected after healing": { unit: "ms", better: "less" },
    "converged after healing": { unit: "ms", better: "less" },
    "longest turn": { unit: "ms", better: "less" },
  },
  targets: [{ row: 15, figure: "longest turn", against: "itself", atMost: 20 }],
  profile:
    "Five processes share two cores, so what a write costs is what it takes: at most 0.8 ms of processor time in each of the five, 0.16 of it in system calls, and 0.35 to 0.6 of bare pages. For each write the author makes one record and one sync, and sends a page to each of the others; each of them makes one record and one sync, sends nothing for it, holds the write back for three others, and tells all four what it has once in a tick (50 ms), by one frame for all that came since. After a partition the first dial that succeeds ends the waits of its replica for the others.",
  partner: async (task) => runMember(task),
  measure: (task) =>
    withMembers("cluster", task, numberOf(task.size), async (members, ports): Promise<Figures> => {
      const { scale, system } = task;
      const rehearsed = REHEARSED[scale];
      const written = rehearsed + WRITES[scale];
      await writeUntilAllHave(members, 0, rehearsed);
      const writesMs = await writeUntilAllHave(members, rehearsed, written);
      await slowestLatencies(members, STAMPS[scale] / 2);
      const latencies = await slowestLatencies(members, STAMPS[scale]);
      return {
        writes: WRITES[scale] / (writesMs / 1000),
        "latency, p50": percentile(latencies, 0.5),
        "latency, p99": percentile(latencies, 0.99),
        ...(system === "wavekv" ? await partitions(members, ports, written, CUT_WRITES[scale]) : {}),
      };
    }),
};

async function writeUntilAllHave([writer, ...others]: readonly Partner[], from: number, to: number): Promise<number> {
  const startMs = performance.now();
  const filling = writer?.ask("fill", from, to);
  await askAll(others, "until", to);
  const tookMs = performance.now() - startMs;
  await filling;
  return tookMs;
}

/** Of each put, when the last of the others told of it. */
async function slowestLatencies([writer, ...others]: readonly Partner[], count: number): Promise<number[]> {
  await askAll(others, "latencies");
  await writer?.ask("stamps", count, 1);
  const perMember: number[][] = others.map(() => []);
  // They come in order to everybody, the last ones a little later.
  while (perMember.some((latencies) => latencies.length < count)) {
    const more = await askAll<number[]>(others, "latencies");
    for (const [index, latencies] of more.entries()) perMember[index]?.push(...latencies);
  }
  return Array.from({ length: count }, (_, put) => Math.max(...perMember.map((latencies) => latencies[put] ?? 0)));
}

/** One to be timed, and another one of which the turns are watched, which would take from the time of the first. */
async function partitions(
  members: readonly Partner[],
  ports: readonly number[],
  from: number,
  writes: number,
): Promise<Figures> {
  const figures = await cutAndHeal(members, ports, from, writes);
  const next = from + CUT_KEYS * writes;
  await askAll(members, "watchTurns");
  await writeUntilAllHave(members, next, next + writes);
  await cutAndHeal(members, ports, next + writes, writes);
  return { ...figures, "longest turn": Math.max(...(await askAll<number>(members, "longestTurn"))) };
}

async function cutAndHeal(
  members: readonly Partner[],
  ports: readonly number[],
  from: number,
  writes: number,
): Promise<Figures> {
  const cutMs = performance.now();
  const middle = Math.ceil(members.length / 2);
  const sides = [members.slice(0, middle), members.slice(middle)] as const;
  await Promise.all([
    askAll(sides[0], "cut", ...ports.slice(middle)),
    askAll(sides[1], "cut", ...ports.slice(0, middle)),
  ]);
  await Promise.all(sides.map((side) => askAll(side, "apart", side.length - 1)));
  const begin = from + writes * (1 - SHARED_PART);
  await Promise.all([sides[0][0]?.ask("fill", from, from + writes), sides[1][0]?.ask("fill", begin, begin + writes)]);
  const healedMs = performance.now();
  await askAll(members, "heal");
  await askAll(members, "connected", members.length - 1);
  const connectedMs = performance.now();
  while (new Set(await askAll<string>(members, "digest")).size > 1) await setTimeout(POLL_MS);
  await askAll(members, "flush");
  return {
    "cut for": healedMs - cutMs,
    "connected after healing": connectedMs - healedMs,
    "converged after healing": performance.now() - healedMs,
  };
}
