/** The pairs by the names of their systems. */
import { mkdirSync } from "node:fs";
import { processorMs, watchTurns } from "../measure.ts";
import { limit, peer, type Scale, type System, type Task, wavekv } from "../workload.ts";
import { pages } from "./pages.ts";
import { answer, type PairOptions, type PairSystem, Partner, type Sink, type Source } from "./pair.ts";
import { replicas } from "./replica.ts";
import { tinybase } from "./tinybase.ts";
import { yjs } from "./yjs.ts";

const SYSTEMS: Readonly<Record<string, PairSystem>> = { wavekv: replicas, "bare pages": pages, yjs, tinybase };

/** @param durability what ours and the limit give here */
export function pairSystems(durability: string): System[] {
  return [
    wavekv(durability),
    limit(
      "bare pages",
      `${durability}; entries in pages over a bare WebSocket into a Map, one writer, nothing compared`,
    ),
    peer("yjs", "memory only, with its messages over a bare WebSocket"),
    peer("tinybase", "memory only, with its own server and synchronizer"),
  ];
}

/** Moved once before anything counts, so that both processes have compiled what they run. */
const REHEARSED: Record<Scale, number> = { full: 20_000, quick: 200 };
/** TinyBase takes minutes for what the others do in seconds. */
const REHEARSED_SLOWLY = 1000;

/** The other process: the source. */
export async function runSource(task: Task, options: PairOptions): Promise<void> {
  const source = await systemOf(task).openSource(options);
  let rehearsal: Source | undefined;
  let stopWatching: (() => Promise<number>) | undefined;
  answer({
    address: () => source.address,
    fill: (from = 0, to = 0) => source.fill(from, to),
    async beginRehearsal() {
      rehearsal = await systemOf(task).openSource(rehearsing(options));
      return rehearsal.address;
    },
    rehearse: (from = 0, to = 0) => rehearsal?.fill(from, to),
    endRehearsal: () => rehearsal?.close(),
    stamps: (count = 0, everyMs = 1) => stamps(source, count, everyMs),
    processorMs,
    watchTurns() {
      stopWatching = watchTurns();
    },
    longestTurn: () => stopWatching?.(),
    close: () => source.close(),
  });
}

/** Gives work a source in another process, that has so many entries, and ends it afterwards. */
export async function withSource<T>(
  workload: string,
  task: Task,
  entries: number,
  work: (partner: Partner, openSink: (options: PairOptions) => Promise<Sink>) => Promise<T>,
): Promise<T> {
  const partner = Partner.start(workload, task);
  try {
    await rehearse(partner, task);
    const address = await partner.ask<string>("address");
    await partner.ask("fill", 0, entries);
    return await work(partner, (options) => systemOf(task).openSink(address, options));
  } finally {
    partner.stop();
  }
}

/** What every workload does, with another store: takes what is there, follows what is written, goes and comes back. */
async function rehearse(partner: Partner, task: Task): Promise<void> {
  const count = task.system === "tinybase" ? Math.min(REHEARSED_SLOWLY, REHEARSED[task.scale]) : REHEARSED[task.scale];
  const address = await partner.ask<string>("beginRehearsal");
  await partner.ask("rehearse", 0, count / 4);
  const sink = await systemOf(task).openSink(address, rehearsing({ durable: true, directory: task.directory }));
  await sink.until(count / 4);
  const following = partner.ask("rehearse", count / 4, count / 2);
  await sink.until(count / 2);
  await following;
  await sink.disconnect();
  await partner.ask("rehearse", count / 2, count);
  await sink.catchUp(count);
  await sink.close();
  await partner.ask("endRehearsal");
}

function rehearsing(options: PairOptions): PairOptions {
  const directory = `${options.directory}/rehearsal`;
  mkdirSync(directory, { recursive: true });
  return { ...options, directory };
}

function systemOf({ system }: Task): PairSystem {
  const found = SYSTEMS[system];
  if (found === undefined) throw new Error(`there is no pair of ${system}`);
  return found;
}

/** So many puts, one by one, at intervals that are not quite regular. */
export async function stamps(source: Pick<Source, "stamp">, count: number, everyMs: number): Promise<void> {
  for (let index = 0; index < count; index += 1) {
    source.stamp(index);
    await new Promise((resolve) => setTimeout(resolve, everyMs + (index % 3)));
  }
}
