/**
 * `npm run demo:mesh`: five replicas in one process that write now and then, and a page on which to cut links, take
 * replicas away, and watch everybody converge again. Until Ctrl-C. PORT says where the page is; default: any free one.
 */
import { setTimeout as delay } from "node:timers/promises";
import { openReplica, type Replica } from "wavekv";
import { inProcessNetwork } from "wavekv/transports/in-process";
import { serveUi } from "wavekv/ui";
import { meshControls } from "./controls.ts";

const NAMES = ["lima", "oslo", "paris", "rome", "tokyo"];
const WRITE_MS = 250;
const KEYS = 40;

const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => stop.abort());
const port = Number(process.env.PORT ?? 0);

const network = inProcessNetwork();
const replicas = new Map<string, Replica>();
const silent = (): void => undefined;
// That a link was cut is shown on the page.
const logger = { debug: silent, info: silent, warn: silent, error: console.error };
for (const nodeId of NAMES) replicas.set(nodeId, await openReplica({ nodeId, transport: network.transport(), logger }));
const [first] = replicas.values();
if (first === undefined) throw new Error("there is no replica");
try {
  await using ui = await serveUi(first, { port, extras: meshControls(network, replicas) });
  console.log(`\n  ${ui.link}\n\nOpen it in a browser. Ctrl-C stops everything.`);
  for (let count = 0; !stop.signal.aborted; count++) {
    const author = replicas.get(NAMES[count % NAMES.length] ?? "");
    const degrees = Math.round(180 + 60 * Math.sin(count / 17)) / 10;
    await author?.put(`sensor/${String(count % KEYS).padStart(2, "0")}`, { degrees, count });
    await delay(WRITE_MS, undefined, { signal: stop.signal }).catch(silent);
  }
} finally {
  await Promise.all([...replicas.values()].map((replica) => replica.close()));
}
