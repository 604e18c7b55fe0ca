/** Replicas that find each other by a name, over real sockets, and go on finding each other when they move. */
import { afterEach, describe, expect, test } from "vitest";
import { openReplica, type Replica, type Transport } from "wavekv";
import { type Discovery, dnsDiscovery } from "wavekv/discovery";
import { TcpTransport } from "wavekv/transports/tcp";
import { WebSocketTransport } from "wavekv/transports/websocket";

const open: Replica[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((replica) => replica.close()));
});

const kinds = [
  { name: "WebSocket", scheme: "ws", make: WebSocketTransport },
  { name: "TCP", scheme: "tcp", make: TcpTransport },
];

describe.each(kinds)("$name", ({ scheme, make: Kind }) => {
  test("a replica that is found by service records, and moves to another port, is found again", async () => {
    const services: { name: string; port: number; priority: number }[] = [];
    const resolver = {
      lookup: async () => [],
      // Until there is somebody, as a headless service without ready pods answers.
      resolveSrv: async () => {
        if (services.length === 0) throw new Error("querySrv ENODATA");
        return services;
      },
    };
    const address = `${scheme}://_wavekv._tcp.replicas.internal`;
    const discovery = dnsDiscovery({ address, records: "srv", refreshMs: 20, resolver });
    const warnings: string[] = [];
    const a = await start("a", new Kind({ discovery }), warnings);
    await expect.poll(() => warnings, { timeout: 5000 }).toEqual([expect.stringContaining("ENODATA")]);

    const first = new Kind({ listen: { port: 0 } });
    const b = await start("b", first);
    services.push({ name: "127.0.0.1", port: portOf(first), priority: 0 });
    await b.put("from", "the first port");
    await holds(a, "from", "the first port");

    await b.close();
    await a.put("meanwhile", 1);
    const second = new Kind({ listen: { port: 0 } });
    const again = await start("b", second);
    services.splice(0, 1, { name: "127.0.0.1", port: portOf(second), priority: 0 });
    await holds(again, "meanwhile", 1);
    await again.put("from", "the second port");
    await holds(a, "from", "the second port");
  });

  test("a member that comes back elsewhere is reached at the address that it announces, without its help", async () => {
    // `b` knows `a`; `c` knows `a` only, and learns from it where `b` is.
    const seedOf = (transport: { address: string | undefined }) => ({ seeds: [transport.address!] });
    const transportA = new Kind({ listen: { port: 0 } });
    const a = await start("a", transportA);
    const c = await start("c", new Kind({ listen: { port: 0 }, ...seedOf(transportA) }));
    const b = await start("b", new Kind({ listen: { port: 0 }, ...seedOf(transportA) }));
    await expect.poll(() => c.status().peers["b"]?.state, { timeout: 10_000 }).toBe("live");
    await b.close();
    const transportB = new Kind({ listen: { port: 0 }, ...seedOf(transportA) });
    await start("b", transportB);
    await expect
      .poll(() => c.members().find(({ nodeId }) => nodeId === "b")?.addresses, { timeout: 10_000 })
      .toEqual([transportB.address]);
    await expect.poll(() => c.status().peers["b"]?.state, { timeout: 10_000 }).toBe("live");
    expect(a.status().peers["b"]?.state).toBe("live");
  });
});

test("a failing discovery costs nothing but a warning: the known seeds are dialed", async () => {
  const discovery: Discovery = { addresses: () => Promise.reject(new Error("the registry is down")) };
  const listening = new TcpTransport({ listen: { port: 0 } });
  await start("a", listening);
  const warnings: string[] = [];
  const b = await start("b", new TcpTransport({ seeds: [listening.address!], discovery }), warnings);
  await expect.poll(() => b.status().peers["a"]?.state, { timeout: 10_000 }).toBe("live");
  expect(warnings).toEqual(["discovery failed, the last known addresses stay in use: Error: the registry is down"]);
});

async function start(nodeId: string, transport: Transport, warnings: string[] = []): Promise<Replica> {
  const silent = (): void => undefined;
  const logger = { debug: silent, info: silent, warn: (message: string) => warnings.push(message), error: silent };
  const replica = await openReplica({ nodeId, transport, logger });
  open.push(replica);
  return replica;
}

async function holds(replica: Replica, key: string, value: unknown): Promise<void> {
  for await (const event of replica.watch({ key, initial: true, signal: AbortSignal.timeout(15_000) })) {
    if (event.type === "put" && event.value === value) return;
  }
}

function portOf({ address }: { address: string | undefined }): number {
  return Number(new URL(address!).port);
}
