/**
 * Feature flags: every process reads them from memory, on each request if it likes, and hears of changes.
 *
 *     node dist/demo/recipes/feature-flags.js
 */
import { openReplica } from "wavekv";
import { inProcessNetwork } from "wavekv/transports/in-process";

interface Flag {
  /** Share of the users that have it, 0 to 100. */
  percent: number;
}

const network = inProcessNetwork();
// Usually two processes, with a directory and a WebSocketTransport each.
const admin = await openReplica({ nodeId: "admin", transport: network.transport() });
const server = await openReplica({ nodeId: "server", transport: network.transport() });

const flags = server.namespace<Flag>("flag");
const isOn = (name: string, user: number): boolean => user % 100 < (flags.get(name)?.percent ?? 0);

console.log(`before: ${isOn("new-checkout", 7)}`);
const changes = flags.watch({ key: "new-checkout" });
await admin.namespace<Flag>("flag").put("new-checkout", { percent: 10 });
await changes.next(); // resolves when the change has arrived and is durable here
console.log(`user 7: ${isOn("new-checkout", 7)}, user 42: ${isOn("new-checkout", 42)}`);

await changes.return?.();
await Promise.all([admin.close(), server.close()]);
