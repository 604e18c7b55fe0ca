/** TLS, the same for both transports that have it: who is let in, and what both sides are told. */
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { makeAuthority } from "../../demo/examples/certificates.ts";
import type { Channel, Transport } from "../../src/transport.ts";
import type { NodeId } from "../../src/types.ts";
import type { PeerOptions } from "../../transports/options.ts";
import { TcpTransport } from "../../transports/tcp.ts";
import { WebSocketTransport } from "../../transports/websocket.ts";

const LONG_AGO = { from: new Date("2020-01-01"), to: new Date("2021-01-01") };
const ours = makeAuthority("ours");
const theirs = makeAuthority("theirs");
const good = { ca: ours.ca, ...ours.issue(["127.0.0.1", "localhost"]) };

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const kinds = [
  {
    name: "TCP",
    make: (options: PeerOptions, port?: number) => new TcpTransport({ ...options, ...listenAt(port) }),
    at: (scheme: "plain" | "secure", port: string) => `${scheme === "plain" ? "tcp" : "tls"}://127.0.0.1:${port}`,
  },
  {
    name: "WebSocket",
    make: (options: PeerOptions, port?: number) => new WebSocketTransport({ ...options, ...listenAt(port) }),
    at: (scheme: "plain" | "secure", port: string) => `${scheme === "plain" ? "ws" : "wss"}://127.0.0.1:${port}`,
  },
];

describe.each(kinds)("$name", ({ name, make, at }) => {
  const server = (tls: NonNullable<PeerOptions["tls"]>) => open(make({ tls }, 0));
  const client = (options: PeerOptions = {}) => open(make(options));

  test("the certificates of both ends go to `authenticate`, which says who may come", async () => {
    const seen: unknown[] = [];
    const authenticate = ({ certificate, dialed }: { certificate?: { subject: { CN: string } }; dialed: boolean }) => {
      seen.push([dialed, certificate?.subject.CN]);
      return dialed || "gateway";
    };
    const hook = { authenticate: authenticate as NonNullable<PeerOptions["authenticate"]> };
    const { accepted, address } = await open(make({ tls: good, ...hook }, 0));
    const tls = { ca: ours.ca, ...ours.issue(["gateway.example"]) };
    await (await client({ tls, ...hook })).dial(address);
    await expect.poll(() => accepted.length).toBe(1);
    expect(seen).toContainEqual([false, "gateway.example"]);
    expect(seen).toContainEqual([true, "127.0.0.1"]);
    expect(accepted[0]!.peerNodeId).toBe("gateway");
  });

  test.each([
    ["no certificate", { ca: ours.ca }, /a certificate is needed here: give tls\.cert and tls\.key/],
    [
      "a certificate of another authority",
      { ca: ours.ca, ...theirs.issue(["127.0.0.1"]) },
      /the certificate of the dialer was refused: tls\.ca has not signed it/,
    ],
    [
      "a certificate that has expired",
      { ca: ours.ca, ...ours.issue(["127.0.0.1"], LONG_AGO) },
      /the certificate of the dialer was refused: it has expired/,
    ],
  ])("a dialer with %s is refused, and both sides are told why", async (_, tls, reason) => {
    const { accepted, address, refused } = await server(good);
    const failure = (await client({ tls })).dial(address);
    await expect(failure).rejects.toThrow(reason);
    await expect(failure).rejects.toMatchObject({ code: "ERR_AUTH" });
    expect(refused).toEqual([["certificate", expect.stringMatching(reason)]]);
    expect(accepted).toEqual([]);
  });

  test.each([
    [
      "of another authority",
      { ca: theirs.ca, ...theirs.issue(["127.0.0.1"]) },
      /not signed by an authority that we trust: give that one in tls\.ca/,
    ],
    ["that has expired", { ca: ours.ca, ...ours.issue(["127.0.0.1"], LONG_AGO) }, /has expired: renew it/],
    ["for another name", { ca: ours.ca, ...ours.issue(["10.0.0.1"]) }, /for another name: .*tls\.servername/],
  ])("a replica with a certificate %s is not talked to", async (_, tls, reason) => {
    const { accepted, address } = await server({ ...tls, mutual: false });
    const failure = (await client({ tls: good })).dial(address);
    await expect(failure).rejects.toThrow(reason);
    await expect(failure).rejects.toMatchObject({ code: "ERR_AUTH" });
    expect(accepted).toEqual([]);
  });

  test("servername is the name that the certificate must have", async () => {
    const { address } = await server({ ca: ours.ca, ...ours.issue(["replicas.internal"]), mutual: false });
    await (await client({ tls: { ca: ours.ca, servername: "replicas.internal" } })).dial(address);
    await expect((await client({ tls: { ca: ours.ca, servername: "other.internal" } })).dial(address)).rejects.toThrow(
      "for another name",
    );
  });

  test("without `mutual` anybody on loopback is let in who trusts us", async () => {
    const { address } = await server({ ...good, mutual: false });
    await (await client({ tls: { ca: ours.ca } })).dial(address);
  });

  test("one end with TLS and the other without are told so", async () => {
    const secure = await server(good);
    const plain = await open(make({}, 0));
    const portOf = (address: string): string => new URL(address).port;
    const plainly = (await client()).dial(at("plain", portOf(secure.address)));
    await expect(plainly).rejects.toThrow(name === "TCP" ? "or it speaks TLS and is to be dialed so" : "cannot reach");
    const securely = (await client({ tls: good })).dial(at("secure", portOf(plain.address)));
    await expect(securely).rejects.toThrow("one end speaks TLS and the other does not");
  });

  test("a stranger that says nothing, and one that talks nonsense, do not hold up close", async () => {
    const { address, transport, refused } = await server(good);
    const port = Number(new URL(address).port);
    const strangers = ["", "GET / HTTP/1.1\r\n\r\n"].map((text) => {
      const socket = connect(port, "127.0.0.1", () => socket.write(text || Buffer.alloc(0)));
      return socket.on("error", () => {}).resume();
    });
    await once(strangers[1]!, "close");
    expect(refused.map(([reason]) => reason)).toEqual(["tls"]);
    const closed = once(strangers[0]!, "close");
    await transport.close();
    await closed;
  });

  test("listens on every interface with mutual TLS, and with TLS alone does not", async () => {
    const tls = { tls: { cert: good.cert, key: good.key } };
    const anywhere = { listen: { host: "0.0.0.0", port: 0 } };
    const Kind = name === "TCP" ? TcpTransport : WebSocketTransport;
    expect(() => new Kind({ ...anywhere, ...tls })).toThrow(/would let other machines in.*mutual TLS/);
    expect(() => new Kind({ ...anywhere, tls: { ...good, mutual: false } })).toThrow(/would let other machines in/);
    const { address } = await open(new Kind({ ...anywhere, tls: good }));
    await (await client({ tls: good })).dial(address);
  });

  test.each<[string, PeerOptions["tls"], RegExp]>([
    ["a certificate without a key", { cert: good.cert }, /cert and tls\.key go together/],
    ["a key of another certificate", { cert: good.cert, key: theirs.issue(["x"]).key }, /does not belong/],
    ["a path in place of a text", { cert: "./cert.pem", key: "./key.pem" }, /is no PEM text/],
    ["mutual without an authority", { cert: good.cert, key: good.key, mutual: true }, /takes tls\.ca/],
    ["nothing to listen with", { ca: ours.ca }, /to listen with TLS takes tls\.cert and tls\.key/],
    ["an unknown word", { certificate: good.cert } as PeerOptions["tls"], /tls has no option "certificate"/],
  ])("%s is refused at once", (_, tls, message) => {
    const make_ = () => make(tls === undefined ? {} : { tls }, 0);
    expect(make_).toThrow(message);
    expect(make_).toThrow(expect.objectContaining({ code: "ERR_OPTION" }));
  });
});

test("whoever answers on a port and is no replica is told apart from one", async () => {
  const http = createHttpServer().listen(0, "127.0.0.1");
  const silent = createTcpServer((socket) => socket.on("error", () => {}).end()).listen(0, "127.0.0.1");
  cleanups.push(
    () => http.close(),
    () => silent.close(),
  );
  await Promise.all([once(http, "listening"), once(silent, "listening")]);
  const port = (server: typeof silent): number => (server.address() as AddressInfo).port;
  const { dial } = await open(new TcpTransport());
  await expect(dial(`tcp://127.0.0.1:${port(http)}`)).rejects.toThrow("something else answered");
  await expect(dial(`tcp://127.0.0.1:${port(silent)}`)).rejects.toThrow("closed the connection before its greeting");
  const webSocket = await open(new WebSocketTransport());
  await expect(webSocket.dial(`ws://127.0.0.1:${port(http)}`)).rejects.toThrow(/cannot reach/);
});

function listenAt(port: number | undefined) {
  return port === undefined ? {} : { listen: { port } };
}

async function open(transport: Transport) {
  const accepted: Channel[] = [];
  const refused: [string, string][] = [];
  cleanups.push(() => transport.close());
  const [address = ""] = await transport.listen({
    nodeId: "a" as NodeId,
    clusterId: "test",
    maxFrameBytes: 1 << 20,
    accept: (channel) => accepted.push(channel),
    refused: (reason, detail) => refused.push([reason, detail]),
  });
  const dial = (to: string) => transport.dial(to, new AbortController().signal);
  return { transport, address, accepted, refused, dial };
}
