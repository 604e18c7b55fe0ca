/**
 * Replicas that only talk to those who know a secret, and how to change it while they run: no connection is lost, and
 * who still has the old one stays out. Run: npm run build && node dist/demo/examples/secrets.js
 */
import { randomBytes } from "node:crypto";
import { openReplica, type Replica } from "wavekv";
import { WebSocketTransport } from "wavekv/transports/websocket";

const oldSecret = randomBytes(32).toString("base64url");
const newSecret = randomBytes(32).toString("base64url");

/** Where a service would read a file, or ask its vault: what each replica is configured with now. */
const configured = new Map<string, readonly string[]>();
const addresses: string[] = [];

async function join(nodeId: string): Promise<Replica> {
  const transport = new WebSocketTransport({
    listen: { port: 0 },
    seeds: [...addresses],
    // A function is asked at every handshake; a string would do if it never changed.
    secret: () => configured.get(nodeId) ?? [],
  });
  const logger = { debug: nothing, info: nothing, warn: (text: string) => say(nodeId, text), error: nothing };
  const replica = await openReplica({ nodeId, transport, logger });
  if (transport.address !== undefined) addresses.push(transport.address);
  replica.on("peer", ({ type, nodeId: peer }) => {
    if (type === "down") lost.push(`${nodeId} has lost ${peer}`);
  });
  return replica;
}

const lost: string[] = [];
const names = ["paris", "oslo", "rome"];
for (const name of names) configured.set(name, [oldSecret]);
const replicas: Replica[] = [];
for (const name of names) replicas.push(await join(name));
await until(() => replicas.every((replica) => liveWith(replica) === 2));
say("all", "three replicas, connected under the old secret");

// 1. Everybody accepts the new secret. 2. Everybody proves with it. 3. Nobody accepts the old one.
const steps = [[oldSecret, newSecret], [newSecret, oldSecret], [newSecret]];
for (const [index, secrets] of steps.entries()) {
  // One replica after the other, as a rollout does. In between they differ, and understand each other still.
  for (const name of names) {
    configured.set(name, secrets);
    await replicas[0]?.put(`step ${index + 1}`, name);
    await until(() => replicas.every((replica) => replica.get(`step ${index + 1}`) === name));
  }
  say("all", `step ${index + 1} of ${steps.length} is done`);
}
say("all", `connections lost on the way: ${lost.length}`);
if (lost.length > 0) process.exitCode = 1;

configured.set("ghost", [oldSecret]);
const ghost = await join("ghost");
await until(() => (ghost.status().refused["wrong-secret"] ?? 0) > 0);
await until(() => replicas.some((replica) => (replica.status().refused["wrong-secret"] ?? 0) > 0));
say("all", `ghost holds ${ghost.status().entries} of ${replicas[0]?.status().entries ?? 0} entries`);

await Promise.all([ghost, ...replicas].map((replica) => replica.close()));

function liveWith(replica: Replica): number {
  return replica.peers().filter(({ state }) => state === "live").length;
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error("it did not happen within ten seconds");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function say(who: string, text: string): void {
  console.log(`${who}: ${text}`);
}

function nothing(): void {
  // Only warnings are of interest here.
}
