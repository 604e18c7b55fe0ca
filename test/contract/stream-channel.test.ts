/** StreamChannel makes a transport out of whatever hands out duplex streams. */
import { type Duplex, duplexPair } from "node:stream";
import { expect, test } from "vitest";
import type { Transport, TransportHost } from "wavekv";
import { StreamChannel } from "wavekv/transports/tcp";
import { contractTests } from "./suite.ts";

contractTests("StreamChannel over streams in memory", () => {
  const hosts = new Map<string, (stream: Duplex) => void>();
  return { transport: () => memoryTransport(hosts), nowhere: "memory:nobody" };
});

/** What one side writes is in the other at once: the strictest case for "nothing is called back within a call". */
function memoryTransport(hosts: Map<string, (stream: Duplex) => void>): Transport {
  const open = new Set<Duplex>();
  let own: { host: TransportHost; address: string } | undefined;
  const channelOf = (stream: Duplex, remote: string) => {
    open.add(stream);
    stream.once("close", () => open.delete(stream));
    return new StreamChannel(stream, { remote, maxFrameBytes: own?.host.maxFrameBytes ?? 0 });
  };
  return {
    async listen(host) {
      own = { host, address: `memory:${hosts.size}` };
      hosts.set(own.address, (stream) => host.accept(channelOf(stream, "somebody")));
      return [own.address];
    },
    seeds: () => [],
    async dial(address, signal) {
      signal.throwIfAborted();
      const accept = hosts.get(address);
      if (accept === undefined || own === undefined) throw new Error(`nobody is at ${address}`);
      const [ours, theirs] = duplexPair();
      // A pair does not tell one half that the other was destroyed, as a connection does.
      ours.once("close", () => theirs.destroy());
      theirs.once("close", () => ours.destroy());
      const channel = channelOf(ours, address);
      accept(theirs);
      await new Promise((resolve) => setImmediate(resolve));
      if (signal.aborted) ours.destroy();
      signal.throwIfAborted();
      return channel;
    },
    async close() {
      hosts.delete(own?.address ?? "");
      own = undefined;
      await Promise.all([...open].map((stream) => new Promise((resolve) => stream.once("close", resolve).destroy())));
    },
  };
}

test("whoever does not read is let go, with what waits bounded", async () => {
  const [ours] = duplexPair();
  const channel = new StreamChannel(ours, { remote: "x", maxFrameBytes: 1000, maxQueuedBytes: 10_000 });
  const closed = new Promise<string>((resolve) => channel.start({ frame: () => {}, closed: resolve }));
  let queued = 0;
  for (let n = 0; n < 100; n++) {
    channel.send(new Uint8Array(1000));
    queued = Math.max(queued, ours.writableLength);
  }
  expect(await closed).toMatch(/^the other end does not read: \d+ bytes wait, 10000 is the limit$/);
  expect(queued).toBeGreaterThan(8000);
  expect(queued).toBeLessThanOrEqual(10_000);
});

test("a stream that ends within a frame says so", async () => {
  const [ours, theirs] = duplexPair();
  const channel = new StreamChannel(ours, { remote: "x", maxFrameBytes: 1000 });
  const frames: Uint8Array[] = [];
  const closed = new Promise<string>((resolve) => {
    channel.start({ frame: (frame) => frames.push(frame), closed: resolve });
  });
  theirs.end(Buffer.of(0, 0, 0, 1, 7, 0, 0, 0, 2, 8));
  theirs.resume();
  expect(await closed).toBe("connection lost within a frame");
  expect(frames).toEqual([Buffer.of(7)]);
});

test("a length over the limit ends it", async () => {
  const [ours, theirs] = duplexPair();
  const channel = new StreamChannel(ours, { remote: "x", maxFrameBytes: 1000 });
  const closed = new Promise<string>((resolve) => channel.start({ frame: () => {}, closed: resolve }));
  theirs.write(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
  expect(await closed).toMatch(/announced a frame of 1195725856 bytes, 1000 is the limit/);
});
