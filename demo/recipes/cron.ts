/**
 * A job that one of all processes runs: whoever holds the lease does, and the others take over when it goes.
 * In a partition each side has a holder, so the job says with its token that it is the latest: here the
 * report remembers the greatest token that it has seen, and refuses less.
 *
 *     node dist/demo/recipes/cron.js
 */
import { openReplica, type Replica } from "wavekv";
import { inProcessNetwork } from "wavekv/transports/in-process";

/** The resource that the lease protects: a database row, a file with a version, a service that compares. */
class Report {
  #greatest = 0;
  readonly lines: string[] = [];

  append(line: string, token: number): void {
    if (token < this.#greatest) throw new Error("somebody else holds the lease by now");
    this.#greatest = token;
    this.lines.push(line);
  }
}

/** Runs the job each `everyMs` as long as this replica holds the lease; asks for it again when it was lost. */
async function runAsOne(
  replica: Replica,
  everyMs: number,
  job: (token: number) => void,
  stop: AbortSignal,
): Promise<void> {
  while (!stop.aborted) {
    await using lease = await replica.lease("report", { ttlMs: 1000, signal: stop });
    while (lease.isHeld && !stop.aborted) {
      job(lease.token);
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
  }
}

const network = inProcessNetwork();
const a = await openReplica({ nodeId: "a", transport: network.transport() });
const b = await openReplica({ nodeId: "b", transport: network.transport() });
const report = new Report();
const stop = new AbortController();
let hasFollowed = (): void => undefined;
const followed = new Promise<void>((resolve) => (hasFollowed = resolve));

const start = async (replica: Replica): Promise<void> => {
  const job = (token: number): void => {
    report.append(replica.nodeId, token);
    if (replica === b) hasFollowed();
  };
  await runAsOne(replica, 20, job, stop.signal).catch((error: unknown) => {
    // Closed, or told to stop: the end of an ordinary day.
    if (!stop.signal.aborted && replica !== a) console.error(error);
  });
};
const running = start(a);
while (a.leaseHolder("report")?.nodeId !== "a" || report.lines.length === 0) {
  await new Promise((resolve) => setTimeout(resolve, 5));
}
const next = start(b);
await a.close(); // gives the lease back
await followed;
stop.abort();
await Promise.all([running, next]);
console.log([...new Set(report.lines)].join(", then "));
await b.close();
