/**
 * Presence: who is here, in every process. What a process has set is gone everywhere once it closes, or, should it die
 * without a word, once its lease has run out.
 *
 *     node dist/demo/recipes/presence.js
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { openReplica } from "wavekv";
import { WebSocketTransport } from "wavekv/transports/websocket";

interface Guest {
  /** Since when, milliseconds since 1970. */
  since: number;
}

/** How long after its death a process is still shown. It shows that it lives four times as often. */
const ephemeralLeaseMs = 1000;
const [, , name, seed] = process.argv;
if (name !== undefined && seed !== undefined) await visit(name, seed);
else await watch();

/** A process of its own: is here until it is told to leave, or killed. */
async function visit(nodeId: string, address: string): Promise<void> {
  const transport = new WebSocketTransport({ listen: { port: 0 }, seeds: [address] });
  const replica = await openReplica({ nodeId, transport, ephemeralLeaseMs });
  replica.ephemeral<Guest>("guest").put(nodeId, { since: Date.now() });
  await once(process, "message");
  await replica.close();
  process.disconnect();
}

/** Sees others come and go. */
async function watch(): Promise<void> {
  const transport = new WebSocketTransport({ listen: { port: 0 } });
  const replica = await openReplica({ nodeId: "host", transport, ephemeralLeaseMs });
  const guests = replica.ephemeral<Guest>("guest");
  const events = guests.watch();
  const start = (guest: string) => fork(fileURLToPath(import.meta.url), [guest, `${transport.address}`]);

  const processes = { ada: start("ada"), bob: start("bob") };
  const seen = new Set<string>();
  for await (const event of events) {
    if (event.type === "put") seen.add(event.nodeId);
    if (event.type === "put" && seen.size === 2) {
      const keys = guests.entries().map(({ key }) => key);
      console.log(`here: ${keys.join(", ")}`);
      processes.ada.kill("SIGKILL");
    }
    if (event.type === "delete") {
      console.log(`${event.key}: ${event.cause}`);
      if (event.cause === "closed") break;
      processes.bob.send("leave");
    }
  }
  await replica.close();
}
