/** Clusters: several processes, each with a replica of ours that is connected to all others, or one end of the limit. */
import { mkdirSync } from "node:fs";
import { openReplica, type Replica } from "wavekv";
import { WebSocketTransport } from "wavekv/transports/websocket";
import { keyOf, Values } from "../inputs.ts";
import { watchTurns } from "../measure.ts";
import type { Task } from "../workload.ts";
import { CutTransport } from "./cut.ts";
import { pages } from "./pages.ts";
import { answer, Partner, type Sink, type Source, sharedNowMs, until } from "./pair.ts";
import { logger } from "./replica.ts";
import { stamps } from "./systems.ts";

/** Puts under way at a time. */
const GROUP = 1000;

/** What every process of a cluster can do; all are durable. Of the limit only the first one writes, and the others read. */
interface Member extends Pick<Source, "address" | "fill" | "stamp">, Pick<Sink, "until" | "onEntry"> {
  /** Ours alone. */
  readonly replica?: Replica;
  readonly transport?: CutTransport;
}

/** Gives work so many processes that are connected to one another, the first one first, and ends them afterwards. */
export async function withMembers<T>(
  workload: string,
  task: Task,
  count: number,
  work: (members: readonly Partner[], ports: readonly number[]) => Promise<T>,
): Promise<T> {
  const members = Array.from({ length: count }, () => Partner.start(workload, task));
  try {
    const ports: number[] = [];
    for (const [index, member] of members.entries()) {
      ports.push(await member.ask<number>("open", index, ports[0] ?? 0));
    }
    await askAll(members, "connected", count - 1);
    return await work(members, ports);
  } finally {
    for (const member of members) member.stop();
  }
}

/** Asks all of them at once. */
export async function askAll<T>(members: readonly Partner[], name: string, ...numbers: number[]): Promise<T[]> {
  return await Promise.all(members.map((member) => member.ask<T>(name, ...numbers)));
}

/** One of the other processes. */
export function runMember(task: Task): void {
  let member: Member;
  /** By number of the put. */
  let latencies: number[] = [];
  let stopWatching: (() => Promise<number>) | undefined;
  const replica = (): Replica => member.replica ?? missing();
  const transport = (): CutTransport => member.transport ?? missing();
  answer({
    async open(index = 0, seed = 0) {
      member = await (task.system === "wavekv" ? openReplicaMember : openPages)(task, index, addressOf(seed));
      member.onEntry((value) => {
        const then = Number(value);
        if (then > 0) latencies.push(sharedNowMs() - then);
      });
      return Number(new URL(member.address).port);
    },
    /** Resolves when this one is in contact with so many. */
    connected: (count = 0) => member.replica === undefined || until(() => liveLinks(replica()) >= count),
    /** Resolves when it is in contact with no more than so many. */
    apart: (count = 0) => until(() => liveLinks(replica()) <= count),
    fill: (from = 0, to = 0) => member.fill(from, to),
    until: (count = 0) => member.until(count),
    stamps: (count = 0, everyMs = 1) => stamps(member, count, everyMs),
    /** Of the stamps that came since the last time. */
    latencies(): number[] {
      const taken = latencies;
      latencies = [];
      return taken;
    },
    cut: (...ports) => transport().cut(ports.map(addressOf)),
    heal: () => transport().heal(),
    digest: () => replica().status().digest,
    flush: () => replica().flush(),
    watchTurns() {
      stopWatching = watchTurns();
    },
    longestTurn: () => stopWatching?.(),
  });
}

async function openReplicaMember({ directory }: Task, index: number, seed: string): Promise<Member> {
  const inner = new WebSocketTransport({ listen: { port: 0 }, seeds: index === 0 ? [] : [seed] });
  const transport = new CutTransport(inner);
  const nodeId = `member-${index}`;
  const replica = await openReplica({ directory: `${directory}/${nodeId}`, nodeId, transport, logger });
  const values = new Values();
  return {
    replica,
    transport,
    address: String(inner.address),
    async fill(from, to) {
      for (let start = from; start < to; start += GROUP) {
        const numbers = Array.from({ length: Math.min(GROUP, to - start) }, (_, at) => start + at);
        await Promise.all(numbers.map((number) => replica.put(keyOf(number), values.at(number))));
      }
    },
    stamp: (number) => replica.put(keyOf(number), String(sharedNowMs())),
    async until(count) {
      await until(() => replica.status().entries >= count);
      await replica.flush();
    },
    onEntry(listener) {
      replica.on("change", (change) => {
        if (change.type === "put" && !change.local) listener(change.value as string);
      });
    },
  };
}

async function openPages({ directory }: Task, index: number, seed: string): Promise<Member> {
  const own = `${directory}/member-${index}`;
  mkdirSync(own);
  const options = { durable: true, directory: own };
  if (index === 0) return { ...(await pages.openSource(options)), until: missing, onEntry: () => undefined };
  const sink = await pages.openSink(seed, options);
  return { ...sink, address: seed, fill: missing, stamp: missing };
}

function liveLinks(replica: Replica): number {
  return replica.peers().filter(({ state }) => state === "live").length;
}

function addressOf(port: number): string {
  return `ws://127.0.0.1:${port}`;
}

function missing(): never {
  throw new Error("this process does not do that");
}
