/**
 * Configuration with a schema: what does not fit is refused where it is written, defaults are filled in, and
 * a change of several settings arrives as one.
 *
 *     node dist/demo/recipes/configuration.js
 */
import { isReplicaError, openReplica } from "wavekv";
import { inProcessNetwork } from "wavekv/transports/in-process";
import { z } from "zod";

const Settings = z.object({
  url: z.url(),
  timeoutMs: z.int().positive().default(1000),
});

const network = inProcessNetwork();
const operator = await openReplica({ nodeId: "operator", transport: network.transport() });
const server = await openReplica({ nodeId: "server", transport: network.transport() });

const settings = operator.namespace("settings", { schema: Settings });
const mistake = await settings.put("mail", { url: "not a url" }).catch((error: unknown) => error);
console.log(isReplicaError(mistake) && mistake.code);

const changes = server.namespace("settings", { schema: Settings }).watch({ initial: true });
await settings.batch([
  { type: "put", key: "mail", value: { url: "smtp://127.0.0.1" } },
  { type: "put", key: "search", value: { url: "http://127.0.0.1:9200", timeoutMs: 50 } },
]);
const batches = new Set<string>();
for await (const event of changes) {
  if (event.type !== "put") continue;
  batches.add(event.batch);
  console.log(`${event.key}: ${event.value.url}, ${event.value.timeoutMs} ms`);
  if (event.key === "search") break;
}
console.log(`${batches.size} batch`);

await Promise.all([operator.close(), server.close()]);
