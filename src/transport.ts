/**
 * The port through which replicas reach each other: bytes in, bytes out, and peers that come and go.
 *
 * A transport moves opaque frames. It does not retry, order replicas, remember peers or know the
 * protocol: dialing again after a failure, backing off, flow control and heartbeats are the library's.
 * If a frame is lost, repeated, reordered or damaged, the receiving replica notices and starts the
 * session again; a channel need only deliver each frame whole or not at all.
 */
import type { NodeId } from "./types.ts";

export interface Transport {
  /**
   * Starts to accept channels. Called once, before any dial.
   *
   * @returns the addresses at which other replicas can dial this one; may be empty
   * @throws ReplicaError ERR_LISTEN when it cannot
   */
  listen(host: TransportHost): Promise<readonly string[]>;

  /** Addresses to dial before any replica is known. Asked at every attempt, so it may change. */
  seeds(): Iterable<string>;

  /**
   * Opens a channel to an address: a seed, or one that another replica's `listen` returned.
   * Rejects when the address cannot be reached, is not of this transport's kind, or `signal` aborts.
   */
  dial(address: string, signal: AbortSignal): Promise<Channel>;

  /** Stops listening and closes every channel. Idempotent. Afterwards no handle is left. */
  close(): Promise<void>;
}

/** What a transport is told about the replica that it serves. */
export interface TransportHost {
  readonly nodeId: NodeId;
  readonly clusterId: string;
  /** Takes over a channel that somebody else dialed. */
  accept(channel: Channel): void;
}

/** One connection. Full duplex. */
export interface Channel {
  /** The other end, for people: an address or a name. */
  readonly remote: string;

  /**
   * Starts the flow: from now on the channel calls `receiver`, never within this call or within `send`.
   * Frames that came earlier are kept until then. Called once.
   */
  start(receiver: ChannelReceiver): void;

  /** Sends one frame. Does not block, does not throw; after the channel has closed it does nothing. */
  send(frame: Uint8Array): void;

  /** Closes the channel, after sending what `send` took if that is possible soon. Idempotent. */
  close(): void;
}

export interface ChannelReceiver {
  /** One whole frame. The receiver may keep the bytes: the channel does not use them again. */
  frame(bytes: Uint8Array): void;
  /** The channel has closed, whoever closed it. Called exactly once; nothing comes after it. */
  closed(reason: string): void;
}
