import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener, request, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { makeAuthority } from "../../demo/examples/certificates.ts";
import type { Channel } from "../../src/transport.ts";
import type { NodeId } from "../../src/types.ts";
import { WebSocketTransport, type WebSocketTransportOptions } from "../../transports/websocket.ts";
import { contractTests } from "./suite.ts";

// The port of the discard protocol: nobody has run it for decades.
const NOWHERE = "ws://127.0.0.1:9";

contractTests("WebSocket, a server of its own", () => ({
  transport: () => new WebSocketTransport({ listen: { port: 0 } }),
  nowhere: NOWHERE,
}));

contractTests("WebSocket, with a secret", () => ({
  transport: () => new WebSocketTransport({ listen: { port: 0 }, secret: "correct horse battery staple" }),
  nowhere: NOWHERE,
}));

contractTests("WebSocket, attached to servers that exist", async () => {
  // No check needs more than three.
  const servers = [1, 2, 3].map(() => createServer((_, response) => response.writeHead(404).end()));
  for (const server of servers) await once(server.listen(0, "127.0.0.1"), "listening");
  let taken = 0;
  return {
    transport: () => new WebSocketTransport({ listen: { server: servers[taken++]! } }),
    nowhere: NOWHERE,
    dispose: async () => {
      for (const server of servers) {
        expect(server.listening).toBe(true);
        await once(server.close(), "close");
      }
    },
  };
});

const authority = makeAuthority("test");
const identity = () => ({ ca: authority.ca, ...authority.issue(["127.0.0.1"]) });

contractTests("WebSocket with mutual TLS", () => ({
  transport: () => new WebSocketTransport({ listen: { port: 0 }, tls: identity() }),
  nowhere: "wss://127.0.0.1:9",
}));

contractTests("WebSocket, attached to HTTPS servers that exist", async () => {
  const servers = [1, 2, 3].map(() => createSecureServer(identity(), (_, response) => response.writeHead(404).end()));
  for (const server of servers) await once(server.listen(0, "127.0.0.1"), "listening");
  let taken = 0;
  return {
    transport: () => new WebSocketTransport({ listen: { server: servers[taken++]! }, tls: { ca: authority.ca } }),
    nowhere: "wss://127.0.0.1:9",
    dispose: async () => {
      for (const server of servers) await once(server.close(), "close");
    },
  };
});

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

describe("options", () => {
  test.each<[string, unknown, RegExp]>([
    ["an unknown option", { lisen: { port: 1 } }, /no option "lisen"/],
    ["an unknown option of listen", { listen: { port: 1, hots: "x" } }, /listen has no option "hots"/],
    ["no object", null, /takes an object/],
    ["a port in place of listen", { listen: 7001 }, /listen takes an object/],
    ["one seed that is no array", { seeds: NOWHERE }, /arrays of addresses/],
    ["another interface", { listen: { host: "0.0.0.0", port: 1 } }, /give all replicas the same `secret`/],
    ["a name that only looks like loopback", { listen: { host: "127.0.0.1.example", port: 1 } }, /`secret`/],
    ["a port that is none", { listen: { port: 65_536 } }, /0 to 65535/],
    ["no port", { listen: {} }, /0 to 65535/],
    ["a path without a slash", { listen: { port: 1, path: "x" } }, /must begin with "\/"/],
    ["a seed on another machine", { seeds: ["ws://10.0.0.1:1"] }, /`secret`/],
    ["a seed of another transport", { seeds: ["tcp://127.0.0.1:1"] }, /not an address.*wss:/],
    ["a seed with a password", { seeds: ["wss://a:b@127.0.0.1:1"] }, /not an address/],
    ["a page that is no list", { allowOrigins: "https://a.example" }, /allowOrigins is an array/],
    ["a discovery that cannot be asked", { discovery: () => [] }, /method addresses/],
    ["a seed that is no address", { seeds: ["127.0.0.1:1"] }, /not an address/],
    ["an advertised address on another machine", { advertise: ["ws://example.org:1"] }, /`secret`/],
    ["a secret of 15 bytes", { secret: "x".repeat(15) }, /16 bytes at least/],
    ["an old secret of 15 bytes", { secret: ["x".repeat(16), "x".repeat(15)] }, /16 bytes at least/],
    ["no secret in the list", { secret: [] }, /16 bytes at least/],
    ["a hook that is none", { authenticate: "a" }, /authenticate takes a function/],
    ["frames of no bytes", { maxFrameBytes: 0 }, /positive integer/],
  ])("%s is refused, with what to do", (_, options, message) => {
    const make = () => new WebSocketTransport(options as WebSocketTransportOptions);
    expect(make).toThrow(message);
    expect(make).toThrow(expect.objectContaining({ code: "ERR_OPTION" }));
  });

  test.each(["127.0.0.1", "127.9.8.7", "::1", "localhost"])("host %s is loopback", (host) => {
    const seed = host.includes(":") ? `ws://[${host}]:1` : `ws://${host}:1`;
    new WebSocketTransport({ listen: { host, port: 0 }, seeds: [seed] });
  });
});

describe("addresses", () => {
  test("an open transport has one, and listen returns it", async () => {
    const transport = new WebSocketTransport({ listen: { port: 0 } });
    expect(transport.address).toBeUndefined();
    const { addresses } = await open(transport);
    expect(transport.address).toMatch(/^ws:\/\/127\.0\.0\.1:[1-9]\d*$/);
    expect(addresses).toEqual([transport.address]);
    await transport.close();
    expect(transport.address).toBeUndefined();
  });

  test("a path is part of it", async () => {
    const { addresses } = await open(new WebSocketTransport({ listen: { port: 0, path: "/sync" } }));
    expect(addresses[0]).toMatch(/:\d+\/sync$/);
    const { dial } = await open(new WebSocketTransport());
    await dial(addresses[0]!);
    await expect(dial(addresses[0]!.replace("/sync", "/other"))).rejects.toThrow("404");
  });

  test("what is advertised goes before it; who does not listen has none", async () => {
    const advertise = ["ws://localhost:7001/tunnel"];
    expect((await open(new WebSocketTransport({ listen: { port: 0 }, advertise }))).addresses).toEqual(advertise);
    expect((await open(new WebSocketTransport())).addresses).toEqual([]);
  });

  test("a server that listens on every interface is dialed on loopback, one that does not listen yet later", async () => {
    const server = httpServer();
    const transport = new WebSocketTransport({ listen: { server } });
    expect((await open(transport)).addresses).toEqual([]);
    server.listen(0);
    await once(server, "listening");
    expect(transport.address).toBe(`ws://127.0.0.1:${portOf(server)}/wavekv`);
    await (await open(new WebSocketTransport())).dial(transport.address!);
  });
});

test("a port in use is named, with a remedy, and nothing stays open", async () => {
  const taken = createTcpServer().listen(0, "127.0.0.1");
  cleanups.push(() => taken.close());
  await once(taken, "listening");
  const { port } = taken.address() as AddressInfo;
  const transport = new WebSocketTransport({ listen: { port } });
  await expect(open(transport)).rejects.toMatchObject({
    code: "ERR_LISTEN",
    message: `cannot listen on ws://127.0.0.1:${port}: the port is in use: stop the process that has it, or choose another (0 picks a free one)`,
  });
});

describe("a server of yours", () => {
  test("goes on serving, and upgrades of other paths are its own", async () => {
    const server = httpServer((_, response) => response.end("mine"));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const paths: (string | undefined)[] = [];
    server.on("upgrade", ({ url }: IncomingMessage, socket: Socket) => {
      if (url?.startsWith("/wavekv") === true) return;
      paths.push(url);
      socket.end("HTTP/1.1 418 Teapot\r\n\r\n");
    });
    const transport = new WebSocketTransport({ listen: { server } });
    await open(transport);
    expect(await statusOf(`http://127.0.0.1:${portOf(server)}/`)).toBe(200);
    expect(await upgrade(portOf(server), "/other")).toBe(418);
    expect(paths).toEqual(["/other"]);
    expect(await upgrade(portOf(server), "/wavekv?x")).toBe(101);
    await transport.close();
    expect(server.listenerCount("upgrade")).toBe(1);
    expect(await statusOf(`http://127.0.0.1:${portOf(server)}/`)).toBe(200);
  });

  test("other paths get an answer when nobody else listens for upgrades", async () => {
    const server = httpServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    await open(new WebSocketTransport({ listen: { server } }));
    for (const path of ["/", "//", "/wavekv/x", "*"]) expect(await upgrade(portOf(server), path)).toBe(404);
  });
});

describe("whoever is not a replica", () => {
  test("a page in a browser is refused", async () => {
    const { addresses, accepted } = await open(new WebSocketTransport({ listen: { port: 0 } }));
    const page = new WebSocket(addresses[0]!, { origin: "http://127.0.0.1" });
    const [error] = (await once(page, "error").catch((caught: unknown) => [caught])) as [Error];
    expect(error.message).toContain("403");
    expect(accepted).toEqual([]);
  });

  test("a page of an allowed origin is let in, and of another one, or one that only looks like it, is not", async () => {
    const allowOrigins = ["https://admin.example.org"];
    const { addresses, accepted, refused } = await open(new WebSocketTransport({ listen: { port: 0 }, allowOrigins }));
    await once(new WebSocket(addresses[0]!, { origin: "https://admin.example.org" }), "open");
    for (const origin of ["https://admin.example.org.evil.example", "https://example.org", "null"]) {
      const page = new WebSocket(addresses[0]!, { origin });
      const [error] = (await once(page, "error").catch((caught: unknown) => [caught])) as [Error];
      expect(error.message).toContain("403");
    }
    expect(accepted.length).toBe(1);
    expect(refused.map(([reason]) => reason)).toEqual(["browser", "browser", "browser"]);
  });

  test("plain HTTP is told what this is", async () => {
    const { addresses } = await open(new WebSocketTransport({ listen: { port: 0 } }));
    expect(await statusOf(addresses[0]!.replace("ws:", "http:"))).toBe(426);
  });

  test.each<[string, (socket: WebSocket) => void, RegExp, number]>([
    ["text", (socket) => socket.send("hello"), /text/, 1003],
    ["a frame over the limit", (socket) => socket.send(new Uint8Array(1025)), /payload/i, 1009],
    ["endless fragments", (socket) => sendFragments(socket, 20), /fragments/, 1008],
  ])("%s closes the channel", async (_, send, reason, code) => {
    const { addresses, accepted } = await open(new WebSocketTransport({ listen: { port: 0 }, maxFrameBytes: 1024 }));
    const socket = new WebSocket(addresses[0]!);
    await once(socket, "open");
    const end = started(accepted[0]!);
    socket.send(new Uint8Array(1024));
    send(socket);
    socket.send(new Uint8Array(1));
    const [closeCode] = (await once(socket, "close")) as [number];
    expect(closeCode).toBe(code);
    expect(await end.closed).toMatch(reason);
    expect(end.frames.map(({ length }) => length)).toEqual([1024]);
  });
});

test("the client masks with zeros, offers no compression, and sends what one turn sent in one packet", async () => {
  const { addresses, accepted } = await open(new WebSocketTransport({ listen: { port: 0 } }));
  // A proxy that only looks.
  const seen: Buffer[] = [];
  const proxy = createTcpServer((socket) => {
    const onward = connect(Number(new URL(addresses[0]!).port), "127.0.0.1");
    socket
      .on("data", (chunk) => seen.push(chunk))
      .pipe(onward)
      .pipe(socket);
  }).listen(0, "127.0.0.1");
  cleanups.push(() => proxy.close());
  await once(proxy, "listening");
  const { dial } = await open(new WebSocketTransport());
  const { channel } = started(await dial(`ws://127.0.0.1:${(proxy.address() as AddressInfo).port}`));
  expect(Buffer.concat(seen).toString()).not.toMatch(/extensions/i);
  seen.length = 0;
  for (let n = 0; n < 100; n++) channel.send(Uint8Array.of(n));
  const theirs = started(accepted[0]!);
  channel.close();
  await theirs.closed;
  expect(theirs.frames.length).toBe(100);
  // FIN and binary; masked, one byte; the key; the byte as it is.
  expect([...seen[0]!.subarray(0, 14)]).toEqual([0x82, 0x81, 0, 0, 0, 0, 0, 0x82, 0x81, 0, 0, 0, 0, 1]);
  expect(seen[0]!.length).toBeGreaterThanOrEqual(700);
});

test("a replica that does not read is let go of, with what waits for it bounded", async () => {
  const { addresses, accepted } = await open(
    new WebSocketTransport({ listen: { port: 0 }, maxQueuedBytes: 1_000_000 }),
  );
  const raw = connect(Number(new URL(addresses[0]!).port), "127.0.0.1");
  raw.on("error", () => {});
  raw.write(upgradeRequest("/"));
  await once(raw, "data");
  raw.pause();
  await expect.poll(() => accepted.length).toBe(1);
  const end = started(accepted[0]!);
  let isClosed = false;
  void end.closed.then(() => {
    isClosed = true;
  });
  // Far more than the system takes off our hands, whatever its buffers are.
  for (let n = 0; n < 2000 && !isClosed; n++) {
    end.channel.send(new Uint8Array(100_000));
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await end.closed).toMatch(/^the other end does not read: 1\d{6} bytes wait, 1000000 is the limit$/);
  raw.destroy();
});

test.each([
  ["/nowhere", /HTTP status 404: there is no replica at this path/],
  ["http server", /HTTP status 404: no wavekv replica answers there/],
  ["nobody", /nobody listens there/],
])("a dial to %s says what is wrong", async (where, message) => {
  const other = httpServer((_, response) => response.writeHead(404).end());
  other.on("upgrade", (_request, socket) => socket.end("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"));
  await once(other.listen(0, "127.0.0.1"), "listening");
  const { addresses } = await open(new WebSocketTransport({ listen: { port: 0 } }));
  const { dial } = await open(new WebSocketTransport());
  const address = { "/nowhere": `${addresses[0]}/nowhere`, "http server": `ws://127.0.0.1:${portOf(other)}` }[where];
  await expect(dial(address ?? NOWHERE)).rejects.toThrow(message);
});

test("a dialer that connects and says nothing does not hold up close", async () => {
  const { addresses, transport } = await open(new WebSocketTransport({ listen: { port: 0 } }));
  const silent = connect(Number(new URL(addresses[0]!).port), "127.0.0.1");
  silent.on("error", () => {});
  await once(silent, "connect");
  await transport.close();
  await once(silent, "close");
});

test("a peer that does not answer our close is cut off", async () => {
  const { addresses, accepted, transport } = await open(new WebSocketTransport({ listen: { port: 0 } }));
  const raw = connect(Number(new URL(addresses[0]!).port), "127.0.0.1");
  raw.on("error", () => {});
  raw.write(upgradeRequest("/"));
  // The answer, and from then on nothing is read or said.
  await once(raw, "data");
  raw.pause();
  const end = started(accepted[0]!);
  end.channel.close();
  expect(await end.closed).toBe("closed by us");
  await transport.close();
  raw.destroy();
});

test("a connection that breaks closes the channel with a reason", async () => {
  const { addresses, accepted } = await open(new WebSocketTransport({ listen: { port: 0 } }));
  const socket = new WebSocket(addresses[0]!);
  await once(socket, "open");
  const end = started(accepted[0]!);
  socket.terminate();
  expect(await end.closed).toBe("connection lost");
});

async function open(transport: WebSocketTransport) {
  const accepted: Channel[] = [];
  const refused: [string, string][] = [];
  cleanups.push(() => transport.close());
  const addresses = await transport.listen({
    nodeId: "a" as NodeId,
    clusterId: "test",
    maxFrameBytes: 1 << 20,
    accept: (channel) => accepted.push(channel),
    refused: (reason, detail) => refused.push([reason, detail]),
  });
  const dial = (address: string) => transport.dial(address, new AbortController().signal);
  return { transport, addresses, accepted, refused, dial };
}

function started(channel: Channel) {
  const frames: Uint8Array[] = [];
  const closed = new Promise<string>((resolve) => {
    channel.start({ frame: (frame) => frames.push(frame), closed: resolve });
  });
  return { channel, frames, closed };
}

function httpServer(listener: RequestListener = () => {}): Server {
  const server = createServer(listener);
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return server;
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

async function statusOf(url: string): Promise<number | undefined> {
  const [response] = (await once(request(url, { agent: false }).end(), "response")) as [IncomingMessage];
  response.resume();
  return response.statusCode;
}

function upgradeRequest(path: string): string {
  const headers = ["Host: x", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"];
  return [`GET ${path} HTTP/1.1`, ...headers, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "\r\n"].join("\r\n");
}

/** The status of an answer to an upgrade request for exactly this path. */
async function upgrade(port: number, path: string): Promise<number> {
  const socket = connect(port, "127.0.0.1");
  cleanups.push(() => socket.destroy());
  socket.write(upgradeRequest(path));
  const [chunk] = (await once(socket, "data")) as [Buffer];
  return Number(chunk.toString().split(" ")[1]);
}

function sendFragments(socket: WebSocket, count: number): void {
  for (let n = 0; n < count; n++) socket.send(new Uint8Array(1), { fin: false });
}
