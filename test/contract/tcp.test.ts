import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import { TcpTransport, type TcpTransportOptions } from "wavekv/transports/tcp";
import { makeAuthority } from "../../demo/examples/certificates.ts";
import type { Channel } from "../../src/transport.ts";
import type { NodeId } from "../../src/types.ts";
import { contractTests } from "./suite.ts";

// The port of the discard protocol: nobody has run it for decades.
contractTests("TCP", () => ({
  transport: () => new TcpTransport({ listen: { port: 0 } }),
  nowhere: "tcp://127.0.0.1:9",
}));

contractTests("TCP, with a secret", () => ({
  transport: () => new TcpTransport({ listen: { port: 0 }, secret: "correct horse battery staple" }),
  nowhere: "tcp://127.0.0.1:9",
}));

const directory = mkdtempSync(join(tmpdir(), "wavekv-unix-"));
afterAll(() => rmSync(directory, { recursive: true }));

let sockets = 0;
contractTests("unix sockets", () => ({
  transport: () => new TcpTransport({ listen: { path: join(directory, `${++sockets}.sock`) } }),
  nowhere: `unix://${directory}/nobody.sock`,
}));

const authority = makeAuthority("test");
contractTests("TLS, mutual", () => ({
  transport: () => {
    const tls = { ca: authority.ca, ...authority.issue(["127.0.0.1"]) };
    return new TcpTransport({ listen: { port: 0 }, tls });
  },
  nowhere: "tls://127.0.0.1:9",
}));

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

describe("options", () => {
  test.each<[string, unknown, RegExp]>([
    ["an unknown option", { lisen: { port: 1 } }, /no option "lisen"/],
    ["an unknown option of listen", { listen: { port: 1, hots: "x" } }, /listen has no option "hots"/],
    ["a port and a path", { listen: { port: 1, path: "/x" } }, /listen has no option "port"/],
    ["no object", null, /takes an object/],
    ["a port in place of listen", { listen: 7001 }, /listen takes an object/],
    ["no port", { listen: {} }, /0 to 65535/],
    ["another interface", { listen: { host: "0.0.0.0", port: 1 } }, /give all replicas the same `secret`/],
    ["a relative path", { listen: { path: "replica.sock" } }, /listen\.path must be an absolute path/],
    ["a path that the system would cut", { listen: { path: `/${"x".repeat(103)}` } }, /at most 103 bytes.*got 104/],
    ["a seed on another machine", { seeds: ["tcp://10.0.0.1:1"] }, /in plain text nobody proves who they are/],
    ["a seed of another transport", { seeds: ["ws://127.0.0.1:1"] }, /dials tcp:\/\/host:port, tls/],
    ["a seed without a port", { seeds: ["tcp://127.0.0.1"] }, /not an address/],
    ["a seed with a path", { seeds: ["tcp://127.0.0.1:1/x"] }, /not an address/],
    ["a seed with a user", { seeds: ["tcp://a@127.0.0.1:1"] }, /not an address/],
    ["a socket on another machine", { seeds: ["unix://host/x"] }, /not an address/],
    ["a socket that is badly encoded", { seeds: ["unix:///%zz"] }, /the path must be an absolute path/],
    ["a queue of no bytes", { maxQueuedBytes: 0 }, /maxQueuedBytes must be a positive integer/],
  ])("%s is refused, with what to do", (_, options, message) => {
    const make = () => new TcpTransport(options as TcpTransportOptions);
    expect(make).toThrow(message);
    expect(make).toThrow(expect.objectContaining({ code: "ERR_OPTION" }));
  });

  test("what is on this machine, encrypted, or guarded by a secret may be dialed", () => {
    const seeds = ["tcp://127.9.8.7:1", "tcp://[::1]:1", "tcp://localhost:1", "tls://10.0.0.1:1", "unix:///x%20y"];
    new TcpTransport({ seeds });
    new TcpTransport({ seeds: ["tcp://10.0.0.1:1"], secret: "a secret of 16 bytes" });
  });
});

describe("what cannot be listened at is named, with a remedy", () => {
  test("a port in use", async () => {
    const taken = await open(new TcpTransport({ listen: { port: 0 } }));
    const port = Number(new URL(taken.address).port);
    await expect(open(new TcpTransport({ listen: { port } }))).rejects.toMatchObject({
      code: "ERR_LISTEN",
      message: `cannot listen on tcp://127.0.0.1:${port}: the port is in use: stop the process that has it, or choose another (0 picks a free one)`,
    });
  });

  test.each([
    ["a directory that is not there", "nowhere/x.sock", /its directory does not exist/],
    ["a file that is no socket", "file", /something is there already/],
  ])("%s", async (_, name, message) => {
    writeFileSync(join(directory, "file"), "precious");
    const path = join(directory, name);
    await expect(open(new TcpTransport({ listen: { path } }))).rejects.toThrow(message);
    expect(readFileSync(join(directory, "file"), "utf8")).toBe("precious");
  });

  test("a socket on which somebody listens", async () => {
    const path = join(directory, "taken.sock");
    const { accepted } = await open(new TcpTransport({ listen: { path } }));
    await expect(open(new TcpTransport({ listen: { path } }))).rejects.toThrow(/something is there already/);
    const { dial } = await open(new TcpTransport());
    await dial(`unix://${path}`);
    await expect.poll(() => accepted.length).toBe(1);
  });
});

test("a socket that a killed process left behind is replaced, and one of ours is removed", async () => {
  const path = join(directory, "left behind.sock");
  const source = `require("node:net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
  spawnSync(process.execPath, ["-e", source]);
  expect(existsSync(path)).toBe(true);
  const { transport, address } = await open(new TcpTransport({ listen: { path } }));
  expect(address).toBe(`unix://${directory}/left%20behind.sock`);
  await (await open(new TcpTransport())).dial(address);
  await transport.close();
  expect(existsSync(path)).toBe(false);
});

test.each([
  ["nobody listens there", "tcp://127.0.0.1:9"],
  ["the name does not resolve", "tls://replica.invalid:1"],
  ["there is no such socket", "unix:///nowhere/x.sock"],
])("a dial says when %s", async (reason, address) => {
  const { dial } = await open(new TcpTransport());
  await expect(dial(address)).rejects.toThrow(`cannot reach ${address}: ${reason}`);
});

test("on every interface, it is dialed on the loopback one; what is advertised goes before it", async () => {
  const secret = "a secret of 16 bytes";
  const { address, dial } = await open(new TcpTransport({ listen: { host: "0.0.0.0", port: 0 }, secret }));
  expect(address).toMatch(/^tcp:\/\/127\.0\.0\.1:\d+$/);
  await dial(address);
  const advertise = ["tcp://10.0.0.1:7001"];
  const { addresses } = await open(new TcpTransport({ listen: { port: 0 }, advertise, secret }));
  expect(addresses).toEqual(advertise);
});

describe("a stranger", () => {
  test("that says nothing is let go after 5 s, and was never a channel", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    cleanups.push(() => vi.useRealTimers());
    const { address, accepted, refused } = await open(new TcpTransport({ listen: { port: 0 } }));
    const silent = connect(Number(new URL(address).port), "127.0.0.1").on("error", () => {});
    // Greets, so that the greeting of the replica shows that it waits.
    await once(silent, "data");
    vi.advanceTimersByTime(4999);
    expect(silent.destroyed).toBe(false);
    vi.advanceTimersByTime(1);
    await once(silent, "close");
    expect(refused).toEqual([["greeting", expect.stringContaining("no greeting within 5000 ms")]]);
    expect(accepted).toEqual([]);
  });

  test("that speaks HTTP, and one that is gone before it has greeted, are refused", async () => {
    const { address, accepted, refused } = await open(new TcpTransport({ listen: { port: 0 } }));
    const port = Number(new URL(address).port);
    const http = connect(port, "127.0.0.1")
      .on("error", () => {})
      .resume();
    http.write("GET / HTTP/1.1\r\n\r\n");
    await once(http, "close");
    const gone = connect(port, "127.0.0.1")
      .on("error", () => {})
      .resume();
    gone.end("wave");
    await once(gone, "close");
    expect(refused.map(([reason]) => reason)).toEqual(["greeting", "greeting"]);
    expect(refused[0]![1]).toContain("no wavekv replica");
    expect(accepted).toEqual([]);
  });

  test("that greets and then announces too long a frame is closed, before any of it has come", async () => {
    const { address, accepted } = await open(new TcpTransport({ listen: { port: 0 }, maxFrameBytes: 1000 }));
    const stranger = connect(Number(new URL(address).port), "127.0.0.1")
      .on("error", () => {})
      .resume();
    stranger.write(
      Buffer.concat([
        Buffer.from("wavekv\0\x01"),
        Buffer.of(0, 0, 3, 232),
        Buffer.alloc(1000),
        Buffer.of(0, 0, 3, 233),
      ]),
    );
    await expect.poll(() => accepted.length).toBe(1);
    const lengths: number[] = [];
    const closed = new Promise<string>((resolve) => {
      accepted[0]!.start({ frame: ({ length }) => lengths.push(length), closed: resolve });
    });
    expect(await closed).toMatch(/a frame of 1001 bytes, 1000 is the limit/);
    expect(lengths).toEqual([1000]);
  });
});

async function open(transport: TcpTransport) {
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
  return { transport, addresses, address: addresses[0] ?? "", accepted, refused, dial };
}
