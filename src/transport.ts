/**
 * The port through which replicas reach each other: bytes in, bytes out, and peers that come and go.
 *
 * A transport moves opaque frames. It does not retry, order replicas, remember peers or know the
 * protocol: dialing again after a failure, backing off, flow control and heartbeats are the library's.
 * If a frame is lost, repeated, reordered or damaged, the receiving replica notices and starts the
 * session again; a channel need only deliver each frame whole or not at all.
 *
 * The contract suite in src/testing/transport-contract.ts checks everything that is said here.
 */
import type { NodeId } from "./types.ts";

export interface Transport {
  /**
   * Starts to accept channels. Called once, before any dial. A transport serves one replica, once.
   *
   * @returns the addresses at which other replicas can dial this one; may be empty
   * @throws when it cannot, and nothing is left open then; the library wraps the error into ERR_LISTEN
   */
  listen(host: TransportHost): Promise<readonly string[]>;

  /** Addresses to dial before any replica is known. Asked at every attempt, so it may change. Does not throw. */
  seeds(): Iterable<string>;

  /**
   * Opens a channel to an address: a seed, or one that another replica's `listen` returned.
   * Rejects when the address cannot be reached, is not of this transport's kind, or `signal` aborts
   * (then with the signal's reason, and nothing is left open).
   */
  dial(address: string, signal: AbortSignal): Promise<Channel>;

  /**
   * Stops listening, fails the dials under way and closes every channel, by force where the other end does not
   * answer. Resolves once no handle is left. Idempotent; fine when `listen` failed or was never called.
   */
  close(): Promise<void>;
}

/** What a transport is told about the replica that it serves. */
export interface TransportHost {
  readonly nodeId: NodeId;
  readonly clusterId: string;
  /** No longer frame is ever sent. Close a channel that announces one: the length is damaged, or hostile. */
  readonly maxFrameBytes: number;
  /** Takes over a channel that somebody else dialed. May call its methods at once. */
  accept(channel: Channel): void;
  /** Something that a person should know, and the transport has survived. Tell it once, not at each attempt. */
  warn?(message: string): void;
  /**
   * Somebody was turned away before there was a channel: counted by `reason`, a word, and told now and then, so that
   * it may be called however often strangers come.
   */
  refused?(reason: string, detail: string): void;
}

/** One connection. Full duplex. */
export interface Channel {
  /** The other end, for people: an address or a name. */
  readonly remote: string;

  /** Who the other end has proved to be, where the transport makes it prove that. A hello of another nodeId is refused. */
  readonly peerNodeId?: string | undefined;

  /**
   * From now on a longer frame closes the channel, before it is taken in. Called with little for as long as the other
   * end has proved nothing, and with more then. A channel that cannot do it has no such method.
   */
  limitFrames?(maxBytes: number): void;

  /**
   * Starts the flow: from now on the channel calls `receiver`, never within a call of its own methods.
   * Frames that came earlier are kept until then, or not read yet. Called once at most.
   */
  start(receiver: ChannelReceiver): void;

  /**
   * Sends one frame, 1 to `maxFrameBytes` bytes. Does not block, does not throw; after the channel has closed it does
   * nothing. The bytes must not change afterwards: the channel may read them until they are sent.
   */
  send(frame: Uint8Array): void;

  /**
   * Closes the channel, after sending what `send` took if that is possible soon. No further frame is delivered here,
   * only `closed`. Idempotent.
   */
  close(): void;
}

export interface ChannelReceiver {
  /** One whole frame. The receiver may keep the bytes: the channel does not use them again. */
  frame(bytes: Uint8Array): void;
  /** The channel has closed, whoever closed it. Called exactly once; nothing comes after it. */
  closed(reason: string): void;
}
