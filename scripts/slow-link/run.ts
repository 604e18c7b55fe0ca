/** Two replicas on the two ends of a slow link: one has much to tell, and both write while it does. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { openReplica, type Replica } from "wavekv";
import { TcpTransport } from "wavekv/transports/tcp";
import { type LinkCounts, type LinkOptions, SlowLink } from "./link.ts";

export interface SlowLinkReport {
  /** Keys and values that one replica had to tell the other. */
  readonly payloadBytes: number;
  readonly seconds: number;
  /** Most that was given to the socket and had not been taken by the link. */
  readonly queuedBytesMax: number;
  readonly counts: LinkCounts;
}

const VALUE_BYTES = 2000;

/** @param entries  how many of 2,000 bytes the one replica holds when the other comes */
export async function runSlowLink(options: LinkOptions, entries: number, signal: AbortSignal): Promise<SlowLinkReport> {
  const link = new SlowLink(options);
  // Advertised nowhere: the other one must not find a way around the link.
  const listening = new TcpTransport({ listen: { port: 0 }, advertise: [] });
  const open: Replica[] = [];
  try {
    const far = await openReplica({ nodeId: "far", transport: listening, logger: SILENT });
    open.push(far);
    const port = await link.open(Number(new URL(listening.address ?? "").port));
    // Values that nothing could compress, and that say which they are.
    const value = new Uint8Array(VALUE_BYTES).map((_, index) => (index * 2_654_435_761) >>> 24);
    const near = await openReplica({
      nodeId: "near",
      transport: new TcpTransport({ seeds: [`tcp://127.0.0.1:${port}`] }),
      logger: SILENT,
    });
    open.push(near);
    await until(() => near.peers().some(({ state }) => state === "live"), signal);
    let queuedBytesMax = 0;
    const beginMs = performance.now();
    const takenBefore = link.counts.taken[0];
    const sentBefore = near.status().peers["far"]?.bytesOut ?? 0;
    for (let n = 0; n < entries; n++) {
      await near.put(`near/${n}`, value);
      // The other direction is in use as well: its acknowledgements must not starve.
      if (n % 50 === 0) await far.put(`far/${n}`, n);
    }
    const sample = (): void => {
      const sent = (near.status().peers["far"]?.bytesOut ?? 0) - sentBefore;
      queuedBytesMax = Math.max(queuedBytesMax, sent - (link.counts.taken[0] - takenBefore));
    };
    await until(() => {
      sample();
      return near.status().digest === far.status().digest && near.status().entries === far.status().entries;
    }, signal);
    const seconds = (performance.now() - beginMs) / 1000;
    return {
      payloadBytes: entries * VALUE_BYTES,
      seconds,
      queuedBytesMax,
      counts: link.counts,
    };
  } finally {
    await Promise.all(open.map((replica) => replica.close()));
    await link.close();
  }
}

/** How long the same link takes for as many bytes of anything, in seconds. */
export async function measureLink(options: LinkOptions, bytes: number): Promise<number> {
  const link = new SlowLink(options);
  let received = 0;
  const server = createServer((socket) => {
    socket.on("data", ({ length }) => {
      received += length;
      if (received === bytes) server.emit("received");
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const all = once(server, "received");
  const socket = connect(await link.open((server.address() as AddressInfo).port), "127.0.0.1");
  await once(socket, "connect");
  const beginMs = performance.now();
  socket.write(Buffer.alloc(bytes));
  await all;
  const seconds = (performance.now() - beginMs) / 1000;
  await link.close();
  await new Promise((resolve) => server.close(resolve));
  return seconds;
}

const nothing = (): void => undefined;
const SILENT = { debug: nothing, info: nothing, warn: nothing, error: nothing };

async function until(condition: () => boolean, signal: AbortSignal): Promise<void> {
  while (!condition()) {
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
