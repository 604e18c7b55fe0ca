/**
 * A channel on which nobody else can speak: it carries the handshake, and then every frame with a check under a key that
 * only the two ends have. What is sent can still be read on the way: that takes TLS.
 *
 * A frame is followed by 16 bytes of HMAC-SHA-256(key of this channel and direction, number of the frame | frame). The
 * number is counted, not sent, so a frame that was altered, left out, repeated, moved, or taken from another channel or
 * direction does not check, and ends the channel.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { Channel, ChannelReceiver } from "../src/transport.ts";
import type { NodeId } from "../src/types.ts";
import { type FrameKeys, HANDSHAKE_FRAME_BYTES_MAX, type Handshake, refusalFrame } from "./authentication-handshake.ts";

/** By so much a frame grows, bytes. */
export const CHECK_BYTES = 16;

export type ProofOutcome =
  | { readonly type: "proved"; readonly channel: Channel; readonly peer: NodeId }
  /** The channel is closing. `byPeer`: the other end refused, and says why. */
  | { readonly type: "refused"; readonly reason: string; readonly byPeer: boolean }
  /** The channel has closed before anybody had refused. */
  | { readonly type: "lost"; readonly reason: string };

export interface ProofOptions {
  readonly handshake: Handshake;
  /** Of the frames that the new channel takes. Those below it carry CHECK_BYTES more. */
  readonly maxFrameBytes: number;
  readonly deadlineMs: number;
  /** Ends the handshake early. */
  readonly signal?: AbortSignal | undefined;
  /** Called at most once, when the channel was proved and later a frame did not check. */
  readonly onAltered: () => void;
}

/** Takes `channel` over and resolves once the other end has proved, or failed to prove, that it knows a secret of ours. */
export function proveChannel(channel: Channel, options: ProofOptions): Promise<ProofOutcome> {
  return new Promise((resolve) => {
    new AuthenticatedChannel(channel, options, resolve).begin();
  });
}

type Kept = { readonly frame: Uint8Array } | { readonly closed: string };

class AuthenticatedChannel implements Channel {
  readonly remote: string;
  peerNodeId: string | undefined;
  readonly #inner: Channel;
  readonly #options: ProofOptions;
  /** Undefined once the handshake is over. */
  #settle: ((outcome: ProofOutcome) => void) | undefined;
  #keys: FrameKeys | undefined;
  #sent = 0;
  #received = 0;
  #receiver: ChannelReceiver | undefined;
  /** What came before `start`. */
  readonly #kept: Kept[] = [];
  #keptBytes = 0;
  /** Closed here: frames are not for the receiver any more. */
  #left = false;
  #reason: string | undefined;
  #cancel: () => void = () => undefined;

  constructor(inner: Channel, options: ProofOptions, settle: (outcome: ProofOutcome) => void) {
    this.remote = inner.remote;
    this.#inner = inner;
    this.#options = options;
    this.#settle = settle;
  }

  begin(): void {
    const { handshake, deadlineMs, signal } = this.#options;
    const timer = setTimeout(() => this.#refuse("timeout"), deadlineMs);
    timer.unref();
    const onAbort = (): void => this.#end({ type: "lost", reason: "given up" });
    signal?.addEventListener("abort", onAbort);
    this.#cancel = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    };
    // Who has proved nothing yet cannot make us keep more than this.
    this.#inner.limitFrames?.(HANDSHAKE_FRAME_BYTES_MAX);
    if (handshake.opening !== undefined) this.#inner.send(handshake.opening);
    this.#inner.start({
      frame: (bytes) => {
        if (this.#left) return;
        if (this.#keys === undefined) this.#prove(bytes);
        else this.#open(bytes, this.#keys.receiving);
      },
      closed: (reason) => {
        if (this.#settle !== undefined) this.#end({ type: "lost", reason });
        else this.#deliver({ closed: this.#reason ?? reason });
      },
    });
    if (signal?.aborted === true) onAbort();
  }

  start(receiver: ChannelReceiver): void {
    this.#receiver = receiver;
    queueMicrotask(() => this.#drain());
  }

  send(frame: Uint8Array): void {
    if (this.#keys === undefined || this.#left) return;
    const sealed = new Uint8Array(frame.length + CHECK_BYTES);
    sealed.set(frame);
    sealed.set(checkOf(this.#keys.sending, this.#sent++, frame).subarray(0, CHECK_BYTES), frame.length);
    this.#inner.send(sealed);
  }

  close(): void {
    this.#left = true;
    this.#inner.close();
  }

  #prove(bytes: Uint8Array): void {
    const step = this.#options.handshake.receive(bytes);
    switch (step.type) {
      case "continue":
        this.#inner.send(step.send);
        return;
      case "proved":
        this.#keys = step.keys;
        this.peerNodeId = step.peer;
        if (step.send !== undefined) this.#inner.send(step.send);
        this.#inner.limitFrames?.(this.#options.maxFrameBytes + CHECK_BYTES);
        this.#finish({ type: "proved", channel: this, peer: step.peer });
        return;
      case "refused":
        this.#refuse(step.reason);
        return;
      case "rejected":
        this.#end({ type: "refused", reason: step.reason, byPeer: true });
    }
  }

  #refuse(reason: string): void {
    this.#inner.send(refusalFrame(reason));
    this.#end({ type: "refused", reason, byPeer: false });
  }

  /** The handshake has failed. */
  #end(outcome: ProofOutcome): void {
    this.close();
    this.#finish(outcome);
  }

  #finish(outcome: ProofOutcome): void {
    this.#cancel();
    this.#settle?.(outcome);
    this.#settle = undefined;
  }

  #open(sealed: Uint8Array, key: Uint8Array): void {
    const length = sealed.length - CHECK_BYTES;
    const frame = sealed.subarray(0, Math.max(0, length));
    // The length is no secret, the rest is compared in constant time.
    const check = checkOf(key, this.#received++, frame).subarray(0, CHECK_BYTES);
    if (length < 1 || !timingSafeEqual(check, sealed.subarray(length))) {
      this.#drop("a frame was altered, repeated or lost on the way");
      this.#options.onAltered();
      return;
    }
    this.#deliver({ frame });
    if (this.#keptBytes > this.#options.maxFrameBytes) this.#drop("frames came before anybody wanted them");
  }

  #drop(reason: string): void {
    this.#reason ??= reason;
    this.close();
  }

  #deliver(event: Kept): void {
    if (this.#receiver !== undefined && this.#kept.length === 0) {
      this.#pass(event, this.#receiver);
      return;
    }
    this.#kept.push(event);
    if ("frame" in event) this.#keptBytes += event.frame.length;
  }

  #drain(): void {
    for (let next = this.#kept[0]; next !== undefined && this.#receiver !== undefined; next = this.#kept[0]) {
      this.#pass(next, this.#receiver);
      // Behind the call: what comes during it has to queue up.
      this.#kept.shift();
    }
    this.#keptBytes = 0;
  }

  #pass(event: Kept, receiver: ChannelReceiver): void {
    if ("closed" in event) receiver.closed(event.closed);
    else if (!this.#left) receiver.frame(event.frame);
  }
}

const numberBytes = Buffer.alloc(8);

function checkOf(key: Uint8Array, frameNumber: number, frame: Uint8Array): Buffer {
  numberBytes.writeUInt32BE(Math.floor(frameNumber / 2 ** 32), 0);
  numberBytes.writeUInt32BE(frameNumber >>> 0, 4);
  return createHmac("sha256", key).update(numberBytes).update(frame).digest();
}
