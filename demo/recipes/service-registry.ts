/**
 * A service registry: each instance announces itself with a time to live and renews it; who wants to call a
 * service looks for one in memory, by an index. An instance that dies is gone when its time is over.
 *
 *     node dist/demo/recipes/service-registry.js
 */
import { openReplica, type Replica } from "wavekv";
import { inProcessNetwork } from "wavekv/transports/in-process";

interface Instance {
  service: string;
  url: string;
}

/** Above what the clocks of the machines differ by. */
const TTL_MS = 1500;

/** Announces an instance until the function that it returns is called. */
function announce(replica: Replica, id: string, instance: Instance): () => Promise<void> {
  const instances = replica.namespace<Instance>("instance");
  const renew = (): void => {
    instances.put(id, instance, { ttlMs: TTL_MS }).catch((error: unknown) => console.error("not announced:", error));
  };
  renew();
  const timer = setInterval(renew, TTL_MS / 3);
  return async () => {
    clearInterval(timer);
    await instances.delete(id);
  };
}

const network = inProcessNetwork();
const shop = await openReplica({ nodeId: "shop", transport: network.transport() });
const payments = await openReplica({ nodeId: "payments", transport: network.transport() });

const instances = shop.namespace<Instance>("instance");
const byService = instances.index("by-service", { key: ({ service }) => service });
const changes = instances.watch();

const leave = announce(payments, "p1", { service: "payments", url: "http://127.0.0.1:8001" });
await changes.next();
console.log(
  byService
    .get("payments")
    .map(({ key, value }) => `${key} at ${value.url}`)
    .join(", "),
);

// An instance that dies without a word: announced once, and never again.
await payments
  .namespace<Instance>("instance")
  .put("p2", { service: "payments", url: "http://127.0.0.1:8002" }, { ttlMs: TTL_MS });
for await (const event of changes) if (event.type === "expire" && event.key === "p2") break;
console.log(
  byService
    .get("payments")
    .map(({ key }) => key)
    .join(", "),
);

await leave();
await Promise.all([shop.close(), payments.close()]);
