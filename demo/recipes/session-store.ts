/**
 * A session store: sessions expire by themselves, everywhere; all sessions of a user can be ended at once.
 * A request that lands on another server than the one before brings a token, and so finds its own writes.
 *
 *     node dist/demo/recipes/session-store.js
 */
import { openReplica } from "wavekv";
import { inProcessNetwork } from "wavekv/transports/in-process";

interface Session {
  user: string;
  cart: string[];
}

const SESSION_MS = 30 * 60_000;

const network = inProcessNetwork();
const one = await openReplica({ nodeId: "server-1", transport: network.transport() });
const two = await openReplica({ nodeId: "server-2", transport: network.transport() });

// First request, on one server. The token goes to the browser, as a cookie beside the session's id.
const token = await one
  .namespace<Session>("session")
  .put("s1", { user: "ada", cart: ["apple"] }, { ttlMs: SESSION_MS });
await one.namespace<Session>("session").put("s2", { user: "ada", cart: [] }, { ttlMs: SESSION_MS });

// Next request, on the other one: wait until it has what the token names, for a second at most.
await two.reached(token, { signal: AbortSignal.timeout(1000) });
const sessions = two.namespace<Session>("session");
await sessions.transaction((tx) => {
  const session = tx.get("s1");
  if (session !== undefined) tx.put("s1", { ...session, cart: [...session.cart, "pear"] }, { ttlMs: SESSION_MS });
});
console.log(sessions.get("s1")?.cart.join(", "));

// Ada signs out everywhere.
const byUser = sessions.index("by-user", { key: ({ user }) => user });
while (byUser.get("ada").length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
await sessions.batch(byUser.get("ada").map(({ key }) => ({ type: "del", key })));
console.log([...sessions.keys()].length);

await Promise.all([one.close(), two.close()]);
