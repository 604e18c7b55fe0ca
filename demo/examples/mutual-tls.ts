/**
 * Three replicas over TLS, each with a certificate of one authority, and each only let in under the name in its
 * certificate. Two strangers try: one with a certificate of another authority, one with a valid certificate and the
 * name of somebody else. Run: npm run build && node dist/demo/examples/mutual-tls.js
 */
import { openReplica, type Replica } from "wavekv";
import { TcpTransport, type TlsOptions } from "wavekv/transports/tcp";
import { makeAuthority } from "./certificates.ts";

const authority = makeAuthority("our replicas");
const replicas: Replica[] = [];

/** @param tls  in production: `{ ca: readFileSync("ca.pem"), cert: readFileSync("paris.pem"), key: ... }` */
async function join(nodeId: string, tls: TlsOptions): Promise<Replica> {
  const transport = new TcpTransport({
    listen: { port: 0 }, // `host: "0.0.0.0"` is allowed, because strangers cannot get in
    tls,
    // The addresses of whoever is there already; one would do.
    seeds: replicas.flatMap((replica) => replica.members().flatMap(({ addresses }) => addresses)),
    // Pins the name: a replica has to be who its certificate says, whether we dialed it or it dialed us.
    authenticate: ({ certificate }) => {
      const name = certificate?.subject.CN;
      return typeof name === "string" && name;
    },
  });
  const logger = { debug: nothing, info: nothing, warn: (text: string) => say(nodeId, text), error: nothing };
  return await openReplica({ nodeId, transport, logger });
}

/** The name goes first: it is the subject. The address is where it is dialed. */
const certified = (name: string): TlsOptions => ({ ca: authority.ca, ...authority.issue([name, "127.0.0.1"]) });

for (const name of ["paris", "oslo", "rome"]) replicas.push(await join(name, certified(name)));
await until(() => replicas.every((replica) => replica.peers().filter(({ state }) => state === "live").length === 2));
say(
  "all",
  `connected: ${
    replicas[0]
      ?.members()
      .flatMap(({ addresses }) => addresses)
      .join(", ") ?? ""
  }`,
);
await replicas[0]?.put("greeting", "salut", { acks: 3 });
say("rome", `has ${String(replicas[2]?.get("greeting"))}`);

const others = makeAuthority("somebody else");
const stranger = await join("stranger", { ca: authority.ca, ...others.issue(["stranger", "127.0.0.1"]) });
await until(() => refusals("certificate") > 0 && stranger.status().reasons.length > 0);
say("all", `the stranger holds ${stranger.status().entries} entries`);

const impostor = await join("paris", certified("oslo"));
await until(() => refusals("unauthenticated") > 0 && impostor.status().reasons.length > 0);
say("all", `the impostor holds ${impostor.status().entries} entries`);

await Promise.all([stranger, impostor, ...replicas].map((replica) => replica.close()));

/** How often one of the three has turned somebody away for this. */
function refusals(reason: string): number {
  return Math.max(...replicas.map((replica) => replica.status().refused[reason] ?? 0));
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
