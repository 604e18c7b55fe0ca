/**
 * One connection for two: the frames of a replica, and content beside them. A transport around another one, so that content goes
 * where the index goes: over the same ports, past the same proof of who is there, and not at all where a link is down.
 *
 * The first byte of a frame says whose it is. The order is kept across both, which chunk-gifts.ts relies on: what is sent before a
 * manifest is put has arrived before that manifest has.
 */
import type { Channel, ChannelReceiver, Transport, TransportHost } from "wavekv";

/** A replica at the other end, which keeps a folder too. */
export interface Link {
  readonly nodeId: string;
  /** Bytes that must not change afterwards. Does nothing once the link has closed. */
  send(frame: Uint8Array): void;
  /** Ends the connection, for the replica as well, which dials again. */
  close(): void;
}

export interface LinkReceiver {
  frame(bytes: Uint8Array): void;
  /** Called once; nothing comes after it. */
  closed(): void;
}

/** Takes over a link once its other end has said who it is. */
export type LinkHandler = (link: Link) => LinkReceiver;

const REPLICA = 0;
const CONTENT = 1;
/** The first frame of content's own: `cluster`, a zero, `nodeId`. */
const HELLO = 2;
const TAG_BYTES = 1;

export class ContentTransport implements Transport {
  readonly #inner: Transport;
  readonly #onLink: LinkHandler;
  #host: TransportHost | undefined;
  readonly #channels = new Set<SharedChannel>();
  #isApart: (nodeId: string) => boolean = () => false;

  constructor(inner: Transport, onLink: LinkHandler) {
    this.#inner = inner;
    this.#onLink = onLink;
  }

  listen(host: TransportHost): Promise<readonly string[]> {
    this.#host = host;
    return this.#inner.listen({
      nodeId: host.nodeId,
      clusterId: host.clusterId,
      maxFrameBytes: host.maxFrameBytes + TAG_BYTES,
      accept: (channel) => host.accept(this.#share(channel, host)),
      warn: (message) => host.warn?.(message),
      refused: (reason, detail) => host.refused?.(reason, detail),
    });
  }

  seeds(): Iterable<string> {
    return this.#inner.seeds();
  }

  async dial(address: string, signal: AbortSignal): Promise<Channel> {
    const channel = await this.#inner.dial(address, signal);
    if (this.#host === undefined) throw new Error("a transport listens before it dials");
    return this.#share(channel, this.#host);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  /**
   * Cuts what is connected to some replicas, and from now on connects to none of them: for demonstrations. What held before does not
   * hold any more; who is let in again is dialed again in the replica's own time.
   */
  keepApart(isApart: (nodeId: string) => boolean): void {
    this.#isApart = isApart;
    for (const channel of [...this.#channels]) channel.checkApart();
  }

  #share(inner: Channel, host: TransportHost): Channel {
    const channel = new SharedChannel(inner, host, {
      onLink: this.#onLink,
      isApart: (nodeId) => this.#isApart(nodeId),
      onClosed: () => this.#channels.delete(channel),
    });
    this.#channels.add(channel);
    return channel;
  }
}

interface SharedChannelOptions {
  readonly onLink: LinkHandler;
  readonly isApart: (nodeId: string) => boolean;
  readonly onClosed: () => void;
}

/** What the replica has for a channel. */
class SharedChannel implements Channel {
  readonly #channel: Channel;
  readonly #host: TransportHost;
  readonly #options: SharedChannelOptions;
  #peer: string | undefined;
  #content: LinkReceiver | undefined;

  constructor(channel: Channel, host: TransportHost, options: SharedChannelOptions) {
    this.#channel = channel;
    this.#host = host;
    this.#options = options;
  }

  get remote(): string {
    return this.#channel.remote;
  }

  get peerNodeId(): string | undefined {
    return this.#channel.peerNodeId;
  }

  limitFrames(maxBytes: number): void {
    this.#channel.limitFrames?.(maxBytes + TAG_BYTES);
  }

  start(replica: ChannelReceiver): void {
    const { clusterId, nodeId } = this.#host;
    this.#channel.start({
      frame: (bytes) => {
        const rest = bytes.subarray(TAG_BYTES);
        // The first frame of all says who is there; nothing of a replica that we keep apart from is looked at.
        if (this.#peer !== undefined && this.#options.isApart(this.#peer)) return;
        if (bytes[0] === REPLICA) replica.frame(rest);
        else if (bytes[0] === CONTENT) this.#content?.frame(rest);
        else if (bytes[0] === HELLO) this.#meet(rest);
        else this.close();
      },
      closed: (reason) => {
        this.#options.onClosed();
        this.#content?.closed();
        replica.closed(reason);
      },
    });
    this.#channel.send(tagged(HELLO, Buffer.from(`${clusterId}\0${nodeId}`)));
  }

  send(frame: Uint8Array): void {
    this.#channel.send(tagged(REPLICA, frame));
  }

  close(): void {
    this.#channel.close();
  }

  checkApart(): void {
    if (this.#peer !== undefined && this.#options.isApart(this.#peer)) this.close();
  }

  /** Another cluster gets no content; its replica is refused by ours, which sees to the rest. */
  #meet(hello: Uint8Array): void {
    const [clusterId, nodeId = ""] = Buffer.from(hello.buffer, hello.byteOffset, hello.length).toString().split("\0");
    const isProved = this.peerNodeId === undefined || this.peerNodeId === nodeId;
    this.#peer ??= nodeId;
    if (this.#options.isApart(this.#peer)) return this.close();
    if (this.#content !== undefined || clusterId !== this.#host.clusterId || nodeId === "" || !isProved) return;
    this.#content = this.#options.onLink({
      nodeId,
      send: (frame) => this.#channel.send(tagged(CONTENT, frame)),
      close: () => this.close(),
    });
  }
}

function tagged(tag: number, frame: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.of(tag), frame]);
}
