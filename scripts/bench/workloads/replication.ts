/** Two processes over a WebSocket: how long data takes from one to the other, and what it costs. */
import { processorMs } from "../measure.ts";
import { sharedNowMs } from "../pairs/pair.ts";
import { pairSystems, runSource, withSource } from "../pairs/systems.ts";
import { percentile } from "../statistics.ts";
import { type Figures, numberOf, type Scale, type Task, type Workload, wavekv } from "../workload.ts";

const TEN_TO = { five: 100_000, six: 1_000_000 };
/** Slow beyond it: the peers take part at up to so many entries. */
const PEER_ENTRIES_MAX = TEN_TO.five;
const LIVE_WRITES: Record<Scale, number> = { full: 100_000, quick: 1000 };
const STAMPS: Record<Scale, number> = { full: 3000, quick: 100 };
const IDLE_MS: Record<Scale, number> = { full: 10_000, quick: 500 };
/** By then greetings and first digests are over. */
const QUIET_MS: Record<Scale, number> = { full: 3000, quick: 300 };

const isPeer = (system: string): boolean => ["yjs", "tinybase"].includes(system);

export const bootstrap: Workload = {
  name: "bootstrap",
  what: "An empty replica gets so many entries from another process over a WebSocket, and is durable (the peers are not). From the connection, or from opening an empty directory, to having all. TinyBase only at 10^4.",
  time: "clock",
  sizeName: "entries",
  sizes: { full: [10_000, TEN_TO.five, TEN_TO.six], quick: [2000] },
  systems: pairSystems("the receiver syncs before it counts, the sender is in memory"),
  takesPart: (system, size) => !isPeer(system) || numberOf(size) <= (system === "tinybase" ? 10_000 : PEER_ENTRIES_MAX),
  figures: {
    time: { unit: "ms", better: "less" },
    entries: { unit: "/s", better: "more" },
    "bytes per entry": { unit: "B", better: "less" },
  },
  targets: [
    { row: 9, figure: "time", size: TEN_TO.five, against: "bare pages", atMost: 1.5 },
    { row: 9, figure: "time", size: TEN_TO.six, against: `itself at ${TEN_TO.five}`, atMost: 11 },
    { row: 9, figure: "bytes per entry", against: "itself", atMost: 145 },
  ],
  profile:
    "The receiver is the slower end, and hardly ever waits: at a load of 5, 6.5 us of its main thread for each of 10^5 entries while code is still being compiled, 4.3 to 5.4 later, and 1 to 4 of its other threads; the sender takes 1.1 to 2 in all. Before the first entry some 0.1 s pass, most of them in syncs of a new directory. Of what the main thread does, 42 % is the table (records and their hashes 11 %, what the key holds so far 9 %, order of keys 7 %, key index 5 %), 12 % calls of disk and socket, 8 % garbage collection, 6 % decoding, 4 % admission, 4 % encoding for the log. The limit puts strings into a Map, and compares nothing.",
  partner: (task) => runSource(task, { durable: false, directory: task.directory }),
  measure: (task) =>
    withSource("bootstrap", task, numberOf(task.size), async (_, openSink): Promise<Figures> => {
      const count = numberOf(task.size);
      const from = performance.now();
      const sink = await openSink({ durable: true, directory: task.directory });
      await sink.until(count);
      const time = performance.now() - from;
      const bytes = sink.receivedBytes();
      await sink.close();
      return {
        time,
        entries: count / (time / 1000),
        ...(bytes === undefined ? {} : { "bytes per entry": bytes / count }),
      };
    }),
};

async function measureCatchUp(workload: string, task: Task, entries: number, difference: number): Promise<Figures> {
  return await withSource(workload, task, entries, async (partner, openSink) => {
    const sink = await openSink({ durable: true, directory: task.directory });
    await sink.until(entries);
    await sink.disconnect();
    await partner.ask("fill", entries, entries + difference);
    const time = await sink.catchUp(entries + difference);
    await sink.close();
    return { time };
  });
}

export const catchUp: Workload = {
  name: "catch-up",
  what: "A replica that has so many entries was away for 1,000 more, and comes back: from the connection to having them. TinyBase only at 10^4.",
  time: "clock",
  sizeName: "entries",
  sizes: { full: [10_000, TEN_TO.five, TEN_TO.six], quick: [2000] },
  systems: pairSystems("the receiver syncs before it counts, the sender is in memory"),
  takesPart: (system, size) => !isPeer(system) || numberOf(size) <= (system === "tinybase" ? 10_000 : PEER_ENTRIES_MAX),
  figures: { time: { unit: "ms", better: "less" } },
  targets: [
    { row: 10, figure: "time", size: TEN_TO.five, against: "bare pages", atMost: 2 },
    { row: 10, figure: "time", size: TEN_TO.six, against: "bare pages", atMost: 2 },
    { row: 10, figure: "time", size: TEN_TO.six, against: `itself at ${TEN_TO.five}`, atMost: 1.25 },
  ],
  profile:
    "One exchange, one page, one record, one sync. Of 10 ms (the fastest of ten in a row, at a load of 5) 1.1 pass until the page is there, of which making it takes 0.4; 5.4 are decoding (0.3) and applying it; 1.8 are encoding the record and writing it, 0.8 its sync, 0.5 all else until it is told. The first one of a process takes up to four times as long. After opening 10^6 entries a collection of the garbage that this has left often falls into it (one of three times a full one of 9.5 ms, one a scavenge of 3.2), and the write of the record takes 2 to 6 ms instead of 1: 33, 14 and 10 ms, with 10^5 entries 10, 10 and 5.",
  partner: (task) => runSource(task, { durable: false, directory: task.directory }),
  measure: (task) => measureCatchUp("catch-up", task, numberOf(task.size), 1000),
};

const DIFFERENCE_BASE: Record<Scale, number> = { full: 10_000, quick: 2000 };

export const difference: Workload = {
  name: "difference",
  what: "As catch-up, on 10^4 entries, by how many came meanwhile.",
  time: "clock",
  sizeName: "entries missed",
  sizes: { full: [10, 100, 1000, 10_000], quick: [10] },
  systems: catchUp.systems,
  takesPart: (system) => system !== "tinybase",
  figures: { time: { unit: "ms", better: "less" } },
  targets: [],
  partner: (task) => runSource(task, { durable: false, directory: task.directory }),
  measure: (task) => measureCatchUp("difference", task, DIFFERENCE_BASE[task.scale], numberOf(task.size)),
};

export const live: Workload = {
  name: "live",
  what: "Writes on one side, a thousand under way, until the other side has all; durable on both (the peers are not, and TinyBase sends a thousand in one transaction).",
  time: "clock",
  sizeName: "entries before",
  sizes: { full: [10_000], quick: [1000] },
  systems: pairSystems("both sides sync: the writer before it sends, the receiver before it counts"),
  figures: { writes: { unit: "/s", better: "more" } },
  targets: [{ row: 11, figure: "writes", against: "bare pages", atLeast: 0.6 }],
  profile:
    "The writer is the slower end: it is busy 86 % of the time, the reader 51 %. Of the writer's 10 us of processor time for a write 30 % are the table, 15 % the system call that hands pages to the socket, 14 % encoding, 8 % garbage collection, 8 % the protocol, 4 % the call itself, 3 % the log, 3 % the driver. Of the reader's 8 us 44 % are the table, 14 % the log, 12 % decoding, 8 % garbage collection, 8 % the protocol. The limit, which keeps nothing but a Map, takes 4.4 and 3.7 us.",
  partner: (task) => runSource(task, { durable: true, directory: task.directory }),
  measure: (task) =>
    withSource("live", task, numberOf(task.size), async (partner, openSink): Promise<Figures> => {
      const before = numberOf(task.size);
      const sink = await openSink({ durable: true, directory: task.directory });
      await sink.until(before);
      const count = task.system === "tinybase" ? LIVE_WRITES[task.scale] / 10 : LIVE_WRITES[task.scale];
      const from = performance.now();
      const filling = partner.ask("fill", before, before + count);
      await sink.until(before + count);
      const ms = performance.now() - from;
      await filling;
      await sink.close();
      return { writes: count / (ms / 1000) };
    }),
};

export const latency: Workload = {
  name: "latency",
  what: "From the call of a single put, every 1 to 3 ms, to the event on the other side.",
  time: "clock",
  sizeName: "",
  sizes: { full: ["in memory", "durable"], quick: ["in memory", "durable"] },
  systems: pairSystems("as the size says"),
  takesPart: (system, size) => !isPeer(system) || size === "in memory",
  figures: {
    p50: { unit: "ms", better: "less" },
    p90: { unit: "ms", better: "less" },
    p99: { unit: "ms", better: "less" },
    "p99.9": { unit: "ms", better: "less" },
  },
  targets: [
    { row: 12, figure: "p50", size: "in memory", against: "bare pages", atMost: 1.3 },
    { row: 12, figure: "p50", size: "durable", against: "bare pages", atMost: 1.3 },
  ],
  profile:
    "In memory, in microseconds, medians at a load of 9 with everything compiled: the call of put 52, until its frame is made in the same turn 75, the system call 45, on the way and until the receiver runs about 90; there 12 in the WebSocket, 28 decoding, 58 applying, 21 until the commit of the same turn, 16 passing it on, 34 until the listener has its value: 172. None of it waits for a timer or another turn of the event loop. Acks come with the tick (50 ms): one for each write had stood before the event with 75, and taken a system call of 60 to 150 and a turn at the writer. Processor time of a write, both ends together: 0.64 ms, and 0.31 of bare pages.",
  partner: (task) => runSource(task, { durable: task.size === "durable", directory: task.directory }),
  measure: (task) =>
    withSource("latency", task, 1, async (partner, openSink): Promise<Figures> => {
      const sink = await openSink({ durable: task.size === "durable", directory: task.directory });
      await sink.until(1);
      // Until both sides have compiled what a lone write runs: before that it takes a quarter longer, and compiling itself
      // takes a third of the processor time.
      await partner.ask("stamps", STAMPS[task.scale] / 2, 1);
      const latencies: number[] = [];
      sink.onEntry((value) => {
        const then = Number(value);
        if (then > 0) latencies.push(sharedNowMs() - then);
      });
      await partner.ask("stamps", STAMPS[task.scale], 1);
      await sink.close();
      const at = (part: number): number => percentile(latencies, part);
      return { p50: at(0.5), p90: at(0.9), p99: at(0.99), "p99.9": at(0.999) };
    }),
};

export const idle: Workload = {
  name: "idle",
  what: "Two replicas with equal data and nothing to do: processor time of both together, and bytes on the link.",
  time: "processor",
  sizeName: "entries",
  sizes: { full: [1000, TEN_TO.six], quick: [1000] },
  systems: [wavekv("in memory on both sides")],
  figures: {
    processor: { unit: "ms per s", better: "less" },
    bytes: { unit: "B/s", better: "less" },
  },
  targets: [
    { row: 13, figure: "bytes", against: "itself", atMost: 100 },
    { row: 13, figure: "processor", size: TEN_TO.six, against: "itself at 1000", atMost: 1.5 },
  ],
  partner: (task) => runSource(task, { durable: false, directory: task.directory }),
  measure: (task) =>
    withSource("idle", task, numberOf(task.size), async (partner, openSink): Promise<Figures> => {
      const sink = await openSink({ durable: false, directory: task.directory });
      await sink.until(numberOf(task.size));
      await new Promise((resolve) => setTimeout(resolve, QUIET_MS[task.scale]));
      const theirs = await partner.ask<number>("processorMs");
      const ours = processorMs();
      const bytes = sink.receivedBytes() ?? 0;
      await new Promise((resolve) => setTimeout(resolve, IDLE_MS[task.scale]));
      const spent = processorMs() - ours + (await partner.ask<number>("processorMs")) - theirs;
      const received = (sink.receivedBytes() ?? 0) - bytes;
      await sink.close();
      const seconds = IDLE_MS[task.scale] / 1000;
      // What one side receives the other one sends, and about as much the other way.
      return { processor: spent / seconds, bytes: (2 * received) / seconds };
    }),
};
