/**
 * What watchers cost a put, in memory, in one run: none; one, and 10,000, that watch other prefixes; 10,000 on prefixes
 * of their own of which each put concerns one, asleep and reading; and one reader of everything, to tell what reading costs.
 *
 *     npm run build && node dist/scripts/bench/watchers.js [puts]
 */
import { openReplica, type Replica } from "wavekv";

const WATCHERS = 10_000;
const ROUNDS = 5;
const asleep: unknown[] = [];
const puts = Number(process.argv[2] ?? 50_000);

async function replicaWith(watchers: readonly string[], reading: boolean): Promise<Replica> {
  const replica = await openReplica();
  for (const prefix of watchers) {
    if (reading) void consume(replica, prefix);
    else asleep.push(replica.watch({ prefix }));
  }
  return replica;
}

async function consume(replica: Replica, prefix: string): Promise<void> {
  for await (const _ of replica.watch({ prefix }));
}

/** Microseconds of CPU time for each put, of groups of 100 that are awaited together: a busy machine counts less. */
async function measure(replica: Replica): Promise<number> {
  const from = process.cpuUsage();
  for (let i = 0; i < puts; i += 100) {
    const group: Promise<unknown>[] = [];
    for (let k = i; k < i + 100; k += 1) group.push(replica.put(`user/${(k * 7919) % WATCHERS}/name`, k));
    await Promise.all(group);
  }
  const { user, system } = process.cpuUsage(from);
  return (user + system) / puts;
}

const prefixes = (kind: string): string[] => Array.from({ length: WATCHERS }, (_, i) => `${kind}/${i}/`);
const subjects: Record<string, Replica> = {
  none: await replicaWith([], false),
  "one, elsewhere": await replicaWith(["other/"], false),
  "10,000, elsewhere": await replicaWith(prefixes("other"), false),
  "10,000, one concerned": await replicaWith(prefixes("user"), false),
  "10,000, one of them reads": await replicaWith(prefixes("user"), true),
  "one, that reads": await replicaWith(["user/"], true),
};
const best: Record<string, number> = {};
for (let round = 0; round < ROUNDS; round += 1) {
  for (const [name, replica] of Object.entries(subjects)) {
    best[name] = Math.min(best[name] ?? Number.POSITIVE_INFINITY, await measure(replica));
  }
}
const base = best.none ?? Number.NaN;
for (const [name, us] of Object.entries(best)) {
  console.log(`${name.padEnd(26)} ${us.toFixed(2)} us a put, ${(us / base).toFixed(2)} x`);
}
for (const replica of Object.values(subjects)) await replica.close();
