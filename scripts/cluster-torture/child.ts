/** One node of the tortured cluster. Started by scripts/cluster-torture.js, not by hand. */
import { writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { type BatchOperation, openReplica, type WriteToken } from "wavekv";
import { WebSocketTransport } from "wavekv/transports/websocket";
import { choicesOf } from "../crash/random.ts";
import { type Answer, type Job, type NumberedRequest, type Report, type Write, writtenValue } from "./messages.ts";
import { drawStep, type Step, twinKeys } from "./workload.ts";

const WRITERS = 6;
const PAUSE_MS_MAX = 60;
const ACKS_MS_MAX = 8000;
const STDOUT = 1;

// Whoever started us has gone: so do we.
const leave = (): never => process.exit(3);
process.stdin.on("close", leave);

const job = JSON.parse(process.argv[2] ?? "") as Job;
const transport = new WebSocketTransport({ listen: { port: 0 }, seeds: job.seeds, advertise: [] });
const warn = (message: string): void => report({ type: "warning", message });
let skewMs = 0;
const replica = await openReplica({
  directory: job.directory,
  clock: { now: () => Date.now() + skewMs },
  nodeId: job.nodeId,
  transport,
  logger: { debug: () => undefined, info: () => undefined, warn, error: warn },
});
let nextNumber = job.firstNumber;
/** The last stamp that is known to be taken by a write of ours: later ones are above it. */
let lastStamp = 0;
let isQuiet = false;
let isClosing = false;

report({ type: "opened", port: Number(new URL(transport.address ?? "").port), epoch: replica.status().epoch });
const writers = Array.from({ length: WRITERS }, (_, index) => write(choicesOf(job.seed + index)));

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line) as NumberedRequest;
  void answerTo(request).then((answer) => report({ type: "answer", id: request.id, answer }));
}

async function answerTo(request: NumberedRequest): Promise<Answer> {
  switch (request.type) {
    case "quiet":
      isQuiet = true;
      await Promise.all(writers);
      return {};
    case "status": {
      const { digest, health, reasons, peers } = replica.status();
      const entriesIn = Object.values(peers).reduce((sum, peer) => sum + peer.entriesIn, 0);
      return { digest, entriesIn, ...(health === "red" ? { failures: reasons } : { reasons }) };
    }
    case "clock":
      skewMs = request.skewMs;
      return {};
    case "steady":
      for (let n = 0; n < request.writes; n++) {
        const key = `steady/${job.nodeId}/${n}`;
        await issue({ writes: [[key, "put"]], length: 100, safe: false, isBatch: false });
      }
      return {};
    case "close":
      process.stdin.off("close", leave);
      isQuiet = true;
      isClosing = true;
      await replica.close();
      return {};
    case "dump": {
      const entries = [...replica.keys()].flatMap((key) => replica.entry(key) ?? []);
      return {
        entries: entries.map(({ key, value, stamp, expiresAt = 0 }) => [key, value, stamp, expiresAt]),
      };
    }
    case "spread": {
      const stop = new AbortController();
      const waits = request.among.map((peer) => replica.settled({ peers: [peer], signal: stop.signal }));
      await Promise.any(waits);
      stop.abort();
      await Promise.allSettled(waits);
      return {};
    }
  }
}

async function write(choices: ReturnType<typeof choicesOf>): Promise<void> {
  while (!isQuiet) {
    await delay(choices.below(PAUSE_MS_MAX));
    if (isClosing) return;
    checkTwins(choices.below(1000));
    // Now and then several at once, without waiting in between.
    const burst = choices.below(10) === 0 ? 2 + choices.below(10) : 1;
    await Promise.all(Array.from({ length: burst }, () => issue(drawStep(choices, job.nodeId))));
  }
}

/** Both keys are only ever written in one batch, and with one value. */
function checkTwins(number: number): void {
  const [left, right] = twinKeys(number).map((key) => replica.entry(key));
  if (left?.value === right?.value && left?.stamp === right?.stamp) return;
  const show = (entry: typeof left): string => `${String(entry?.value).slice(0, 12)} at ${entry?.stamp}`;
  const [key] = twinKeys(number);
  report({ type: "wrong", what: `a batch is seen in part: ${key} is ${show(left)}, its twin ${show(right)}` });
}

/** Issues the step in this turn. Resolves when that is settled, one way or the other. */
async function issue({ writes: drawn, length, safe, ttlMs, isBatch }: Step): Promise<void> {
  if (isClosing) return;
  // Deletes of absent keys write nothing.
  const writes = drawn.filter(([key, type]) => type === "put" || replica.has(key));
  if (writes.length === 0) return;
  const number = nextNumber++;
  const value = writtenValue(job.nodeId, number, length);
  report({ type: "sent", number, safe, writes, expires: ttlMs !== undefined });
  const low = lastStamp + 1;
  const written = apply(writes, value, safe, ttlMs, isBatch);
  const put = writes.find(([, type]) => type === "put");
  const entry = put === undefined ? undefined : replica.entry(put[0]);
  if (entry !== undefined) {
    lastStamp = entry.stamp;
    report({ type: "issued", number, low: lastStamp, high: lastStamp, expiresAt: entry.expiresAt ?? 0 });
  } else {
    // A delete shows its stamp nowhere: it is below that of the next write.
    const next = issue({ writes: [[`mark/${job.nodeId}`, "put"]], length: 0, safe: false, isBatch: false });
    report({ type: "issued", number, low, high: lastStamp, expiresAt: 0 });
    await next;
  }
  try {
    await written;
    report({ type: "acknowledged", number });
  } catch (error) {
    // Nobody to hold it in time: it stays written, but nothing was promised.
    if (!isClosing && !(error instanceof DOMException))
      report({ type: "wrong", what: `write ${number}: ${String(error)}` });
  }
}

function apply(
  writes: readonly Write[],
  value: string,
  safe: boolean,
  ttlMs: number | undefined,
  isBatch: boolean,
): Promise<WriteToken> {
  const options = safe ? { acks: 2, signal: AbortSignal.timeout(ACKS_MS_MAX) } : {};
  const ttl = ttlMs === undefined ? {} : { ttlMs };
  const [[key, type] = ["", "del"]] = writes;
  if (!isBatch) return type === "del" ? replica.delete(key, options) : replica.put(key, value, { ...options, ...ttl });
  const operations = writes.map(([key, type]): BatchOperation => {
    return type === "del" ? { type, key } : { type, key, value, ...ttl };
  });
  return replica.batch(operations, options);
}

/** In one piece: the parent reads a line whole, or it was cut off by the kill. */
function report(message: Report): void {
  let rest = Buffer.from(`${JSON.stringify(message)}\n`);
  while (rest.length > 0) rest = rest.subarray(writeSync(STDOUT, rest));
}
