/**
 * A slow and lossy way between two replicas: a proxy between TCP connections, modelled as one link for each direction.
 *
 * What is modelled: a rate (bytes leave one after the other), a delay (the same for every byte), and loss. A segment
 * that is lost is not gone, since TCP brings it again: it takes the link once more, and arrives one round trip later,
 * and whatever is behind it waits, as with a fast retransmission. What is not modelled is congestion control: a real
 * sender would slow down at each loss, so a real link of this kind carries less than its rate. "What the link allows"
 * is therefore what this model allows, to anybody.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

export interface LinkOptions {
  readonly bytesPerSecond: number;
  /** One way. */
  readonly delayMs: number;
  /** Of all segments, 0 to 1. */
  readonly lossRate: number;
  /** Draws from 0 to 1. */
  readonly random: () => number;
}

export interface LinkCounts {
  /** Bytes taken from the senders, by direction: from who dialed, and to it. */
  readonly taken: [number, number];
  readonly delivered: [number, number];
  lostSegments: number;
  segments: number;
}

const SEGMENT_BYTES = 1460;
/** What the link has taken and not sent yet: as a router's queue. Above it, the sender's own buffers fill. */
const QUEUED_BYTES_MAX = 64 * 1024;

export class SlowLink {
  readonly counts: LinkCounts = { taken: [0, 0], delivered: [0, 0], lostSegments: 0, segments: 0 };
  readonly #options: LinkOptions;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /** Opens the near end. @returns its port */
  async open(toPort: number): Promise<number> {
    const server = createServer({ noDelay: true }, (near) => {
      const far = connect({ port: toPort, host: "127.0.0.1", noDelay: true });
      for (const socket of [near, far]) {
        this.#sockets.add(socket);
        socket.on("error", () => undefined);
        socket.once("close", () => this.#sockets.delete(socket));
      }
      near.once("close", () => far.destroy());
      far.once("close", () => near.destroy());
      carry(near, far, 0, this.#options, this.counts);
      carry(far, near, 1, this.#options, this.counts);
    });
    this.#server = server;
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    const server = this.#server;
    for (const socket of this.#sockets) socket.destroy();
    if (server !== undefined) await new Promise((resolve) => server.close(resolve));
  }
}

interface Segment {
  /** Undefined: the end of the stream. */
  readonly bytes: Buffer | undefined;
  /** When the link has sent it, and when it arrives. */
  readonly sentAtMs: number;
  readonly arrivesAtMs: number;
}

function carry(from: Socket, to: Socket, direction: 0 | 1, options: LinkOptions, counts: LinkCounts): void {
  const { bytesPerSecond, delayMs, lossRate, random } = options;
  const underWay: Segment[] = [];
  let sentAtMs = 0;
  let arrivesAtMs = 0;

  // One timer looks at the head of the queue: timers of their own could fire out of order.
  const timer = setInterval(() => {
    const nowMs = performance.now();
    for (let first = underWay[0]; first !== undefined && first.arrivesAtMs <= nowMs; first = underWay[0]) {
      underWay.shift();
      if (first.bytes === undefined) to.end();
      else to.write(first.bytes);
      counts.delivered[direction] += first.bytes?.length ?? 0;
    }
    if (queuedBytes(nowMs) < QUEUED_BYTES_MAX) from.resume();
  }, 1);
  from.once("close", () => clearInterval(timer));

  const queuedBytes = (nowMs: number): number => {
    let bytes = 0;
    for (let at = underWay.length - 1; at >= 0; at--) {
      const segment = underWay[at];
      if (segment === undefined || segment.sentAtMs <= nowMs) break;
      bytes += segment.bytes?.length ?? 0;
    }
    return bytes;
  };

  from.on("data", (chunk: Buffer) => {
    const nowMs = performance.now();
    counts.taken[direction] += chunk.length;
    for (let at = 0; at < chunk.length; at += SEGMENT_BYTES) {
      const bytes = chunk.subarray(at, at + SEGMENT_BYTES);
      const isLost = random() < lossRate;
      sentAtMs = Math.max(sentAtMs, nowMs) + ((isLost ? 2 : 1) * bytes.length * 1000) / bytesPerSecond;
      // Nothing overtakes: TCP hands over in order.
      arrivesAtMs = Math.max(arrivesAtMs, sentAtMs + (isLost ? 3 : 1) * delayMs);
      counts.segments += 1;
      if (isLost) counts.lostSegments += 1;
      underWay.push({ bytes, sentAtMs, arrivesAtMs });
    }
    if (queuedBytes(nowMs) >= QUEUED_BYTES_MAX) from.pause();
  });
  from.once("end", () => underWay.push({ bytes: undefined, sentAtMs, arrivesAtMs }));
}
