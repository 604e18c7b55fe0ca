/**
 * A connection that is there and carries nothing: a cable that was pulled, a host that hangs. No transport hears of it;
 * the library notices 15 s of silence, on every one of them, and both ends are let go of. Time is virtual, sockets are not.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { openReplica, type Replica, type Transport } from "wavekv";
import { type PeerOptions, TcpTransport } from "wavekv/transports/tcp";
import { WebSocketTransport } from "wavekv/transports/websocket";
import { makeAuthority } from "../../demo/examples/certificates.ts";
import { VirtualTime } from "../models/virtual-time.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const authority = makeAuthority("test");
const tls = () => ({ tls: { ca: authority.ca, ...authority.issue(["127.0.0.1"]) } });

type Kind = new (options: PeerOptions & { listen?: { port: number } }) => Transport & { address: string | undefined };
const kinds: { name: string; Kind: Kind; options: () => PeerOptions }[] = [
  { name: "TCP", Kind: TcpTransport, options: () => ({}) },
  { name: "TLS", Kind: TcpTransport, options: tls },
  { name: "WebSocket", Kind: WebSocketTransport, options: () => ({}) },
  { name: "WebSocket with TLS", Kind: WebSocketTransport, options: tls },
];

describe.each(kinds)("$name", ({ Kind, options }) => {
  test("a link that falls silent is noticed after 15 s, and dialed again once it is back", async () => {
    const time = new VirtualTime();
    // Advertised nowhere: the proxy is the only way.
    const listening = new Kind({ ...options(), listen: { port: 0 }, advertise: [] });
    const b = await start("b", listening, time);
    const url = new URL(listening.address!);
    const proxy = await openProxy(Number(url.port));
    url.port = String(proxy.port);
    const a = await start("a", new Kind({ ...options(), seeds: [url.href.replace(/\/$/, "")] }), time);
    const states = () => [a.status().peers["b"]?.state, b.status().peers["a"]?.state];
    await passUntil(time, () => states().every((state) => state === "live"));
    // Neither of them notices as long as the other answers.
    await pass(time, 60_000);
    expect(states()).toEqual(["live", "live"]);

    proxy.freeze();
    await a.put("meanwhile", 1);
    const beganMs = time.now();
    await passUntil(time, () => states().every((state) => state === "down"));
    expect(time.now() - beganMs).toBeGreaterThan(9000);
    expect(time.now() - beganMs).toBeLessThanOrEqual(15_100);

    proxy.thaw();
    await passUntil(time, () => b.get("meanwhile") === 1 && states().every((state) => state === "live"));
  });
});

async function start(nodeId: string, transport: Transport, time: VirtualTime): Promise<Replica> {
  const silent = (): void => undefined;
  const logger = { debug: silent, info: silent, warn: silent, error: silent };
  const replica = await openReplica({ nodeId, transport, clock: time, timers: time, logger });
  cleanups.push(() => replica.close());
  return replica;
}

/** Lets virtual time pass no faster than the sockets can follow: an answer is there before the next tick. */
async function pass(time: VirtualTime, ms: number): Promise<void> {
  for (let at = 0; at < ms; at += 50) {
    time.advance(50);
    for (let turn = 0; turn < 6; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
}

async function passUntil(time: VirtualTime, condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 20_000;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error("waited 20 s");
    await pass(time, 50);
  }
}

/** A proxy that can stop carrying anything, the end of connections included. */
async function openProxy(to: number) {
  const sockets = new Set<Socket>();
  let isFrozen = false;
  const server = createServer((near) => {
    if (isFrozen) return void near.pause();
    const far = connect(to, "127.0.0.1");
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.once("close", () => sockets.delete(socket));
    }
    near.pipe(far).pipe(near);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    freeze() {
      isFrozen = true;
      for (const socket of sockets) socket.unpipe().pause();
    },
    thaw() {
      isFrozen = false;
      for (const socket of sockets) socket.destroy();
    },
  };
}
