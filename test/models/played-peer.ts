/** A peer on the in-process network whose every message the test makes up: real frames, no replica behind them. */
import { decodeMessage, encodeMessage } from "../../src/codec/messages.ts";
import type { Hello, Message } from "../../src/sync/messages.ts";
import type { Channel } from "../../src/transport.ts";
import { type Entry, type Epoch, makeOrigin, type NodeId, type Origin } from "../../src/types.ts";
import type { InProcessNetwork } from "../../transports/in-process.ts";

const EPOCH = "00000000000000ee" as Epoch;

export class PlayedPeer {
  readonly nodeId: NodeId;
  readonly origin: Origin;
  readonly received: Message[] = [];
  /** Of all frames that came. */
  bytesIn = 0;
  /** Why the channel has closed. */
  closed: string | undefined;
  readonly #network: InProcessNetwork;
  #channel: Channel | undefined;
  #frames = 0;

  constructor(network: InProcessNetwork, nodeId: string) {
    this.#network = network;
    this.nodeId = nodeId as NodeId;
    this.origin = makeOrigin(this.nodeId, EPOCH);
  }

  /** Dials a replica, and says hello. Time has to pass for it. */
  async meet(nodeId: string, hello: Partial<Hello> = {}): Promise<void> {
    const transport = this.#network.transport();
    const host = {
      nodeId: this.nodeId,
      clusterId: "default",
      maxFrameBytes: 2 ** 24,
      accept: (channel: Channel) => channel.close(),
    };
    await transport.listen(host);
    this.#channel = await transport.dial(`in-process:${nodeId}`, new AbortController().signal);
    this.#channel.start({
      frame: (bytes) => {
        this.bytesIn += bytes.length;
        const decoded = decodeMessage(bytes);
        if (decoded.type === "message") this.received.push(decoded.message);
      },
      closed: (reason) => {
        this.closed = reason;
      },
    });
    this.send({
      type: "hello",
      versionMin: 1,
      versionMax: 1,
      clusterId: "default",
      nodeId: this.nodeId,
      epoch: EPOCH,
      incarnation: "00000000000000ef",
      vector: [],
      frontier: [],
      features: 0,
      addresses: [],
      links: [],
      wallClock: 0,
      ...hello,
    });
  }

  send(message: Message): void {
    this.#channel?.send(encodeMessage(message, ++this.#frames));
  }

  /** So that it does not count as silent. */
  probe(): void {
    this.send({ type: "probe", digest: "0".repeat(16), wallClock: 0 });
  }

  page(entries: readonly Entry[]): void {
    this.send({ type: "page", entries, last: true, runFrom: 0, runTo: 0, mark: null, ackNow: false });
  }
}
