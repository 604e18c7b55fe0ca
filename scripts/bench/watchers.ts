/**
 * What watchers cost a put, in memory, in one run, by turns: none; one, and 10,000, that watch other prefixes; 10,000 on
 * prefixes of their own of which each put concerns one, asleep and reading; and one reader of everything.
 *
 * Where each put wakes another one of 10,000 readers, most of the time is not spent on watching, as the last line shows:
 * there nobody watches, and each put resolves a promise that one of 10,000 asynchronous functions waits for. What such a
 * function waits with, a promise, its reaction and its closures, is touched once in 10,000 puts: it is in no cache then, and
 * by the time it is let go it has been copied twice by the garbage collector, and lies in the old generation.
 *
 *     npm run build && node dist/scripts/bench/watchers.js [puts]
 */
import { openReplica, type Replica } from "wavekv";
import { median } from "./statistics.ts";

const WATCHERS = 10_000;
const ROUNDS = 7;
const asleep: unknown[] = [];
const puts = Number(process.argv[2] ?? 20_000);

interface Subject {
  readonly replica: Replica;
  /** Called behind each put to the key of one of the watchers. */
  readonly after?: (watcher: number) => void;
}

async function watched(prefixes: readonly string[], isReading: boolean): Promise<Subject> {
  const replica = await openReplica();
  for (const prefix of prefixes) {
    if (isReading) void read(replica.watch({ prefix }));
    else asleep.push(replica.watch({ prefix }));
  }
  return { replica };
}

async function read(events: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of events);
}

/** Nobody watches; functions wait for promises instead. */
async function awaited(): Promise<Subject> {
  const wakeUp: ((event: object | undefined) => void)[] = [];
  const wait = async (at: number): Promise<void> => {
    for (let event: object | undefined = {}; event !== undefined; ) {
      event = await new Promise<object | undefined>((resolve) => {
        wakeUp[at] = resolve;
      });
    }
  };
  for (let at = 0; at < WATCHERS; at += 1) void wait(at);
  return { replica: await openReplica(), after: (watcher) => wakeUp[watcher]?.({}) };
}

/** Microseconds of CPU time for each put, of groups of 100 that are awaited together: a busy machine counts less. */
async function measure({ replica, after = () => undefined }: Subject): Promise<number> {
  const from = process.cpuUsage();
  for (let i = 0; i < puts; i += 100) {
    const group: Promise<unknown>[] = [];
    for (let k = i; k < i + 100; k += 1) {
      const watcher = (k * 7919) % WATCHERS;
      group.push(replica.put(`user/${watcher}/name`, k));
      after(watcher);
    }
    await Promise.all(group);
  }
  const { user, system } = process.cpuUsage(from);
  return (user + system) / puts;
}

const prefixes = (kind: string): string[] => Array.from({ length: WATCHERS }, (_, i) => `${kind}/${i}/`);
const subjects: Record<string, Subject> = {
  none: await watched([], false),
  "one, elsewhere": await watched(["other/"], false),
  "10,000, elsewhere": await watched(prefixes("other"), false),
  "10,000, one concerned": await watched(prefixes("user"), false),
  "one, that reads everything": await watched(["user/"], true),
  "10,000, one of them reads": await watched(prefixes("user"), true),
  "none, one of 10,000 wakes": await awaited(),
};
const rounds: Record<string, number[]> = {};
for (let round = 0; round <= ROUNDS; round += 1) {
  for (const [name, subject] of Object.entries(subjects)) {
    const us = await measure(subject);
    // The first round runs uncompiled.
    if (round > 0) rounds[name] = [...(rounds[name] ?? []), us];
  }
}
const base = median(rounds.none ?? []);
console.log(`medians of ${ROUNDS} rounds of ${puts} puts`);
for (const [name, all] of Object.entries(rounds)) {
  const us = median(all);
  console.log(`${name.padEnd(27)} ${us.toFixed(2)} us a put, ${(us / base).toFixed(2)} x`);
}
for (const { replica } of Object.values(subjects)) await replica.close();
