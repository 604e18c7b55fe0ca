/**
 * A channel over any duplex stream of bytes: a socket, a TLS connection, a pipe, what a tunnel or a peer-to-peer
 * library hands out. Frames are as in frame-parser.ts.
 */
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Channel, ChannelReceiver } from "../src/transport.ts";
import { FrameParser, lengthOf } from "./frame-parser.ts";
import { QUEUED_BYTES_MAX } from "./options.ts";

export interface StreamChannelOptions {
  /** The other end, for people. */
  readonly remote: string;
  /** `host.maxFrameBytes`, or less. */
  readonly maxFrameBytes: number;
  /** What may wait in the stream to be sent; with more the channel closes. Default 64 MiB. */
  readonly maxQueuedBytes?: number;
  /** Told why, when what came were no frames that a replica sends. */
  readonly onRefused?: (detail: string) => void;
}

/** A channel whose other end does not answer our close is cut off after this. */
const CLOSE_MS_MAX = 1000;
/** Below this, copying a frame behind its length costs less than handing two pieces to the system. */
const COPY_BYTES_MAX = 2048;

export class StreamChannel implements Channel {
  readonly remote: string;
  readonly #stream: Duplex;
  readonly #parser: FrameParser;
  readonly #maxFrameBytes: number;
  readonly #maxQueuedBytes: number;
  readonly #onRefused: (detail: string) => void;
  #receiver: ChannelReceiver | undefined;
  #reason: string | undefined;
  #corked = false;
  /** Closed here: what still arrives is not for the receiver. */
  #left = false;
  #closed = false;

  /**
   * Takes over `stream`, which must be open, readable as bytes, and have no reader. What it was told before stays in
   * it until `start`.
   */
  constructor(stream: Duplex, options: StreamChannelOptions) {
    const { remote, maxFrameBytes, maxQueuedBytes = QUEUED_BYTES_MAX, onRefused = () => undefined } = options;
    this.remote = remote;
    this.#maxFrameBytes = maxFrameBytes;
    this.#onRefused = onRefused;
    this.#stream = stream;
    this.#parser = new FrameParser(maxFrameBytes);
    this.#maxQueuedBytes = maxQueuedBytes;
    // Nothing is read before `start`, so what a peer can make us keep is what one read of the stream brings.
    stream.pause();
    stream.on("error", (error: Error) => {
      this.#reason ??= error.message;
      stream.destroy();
    });
    stream.once("end", () => this.#ended());
    stream.once("close", () => {
      this.#closed = true;
      this.#receiver?.closed(this.#reason ?? "connection lost");
    });
    // Frames may wait behind the end of a stream: it is closed once they have been read.
    this.#closed = stream.closed;
  }

  start(receiver: ChannelReceiver): void {
    this.#receiver = receiver;
    // It closed before there was anybody to tell.
    if (this.#closed) return void setImmediate(() => receiver.closed(this.#reason ?? "connection lost"));
    this.#stream.on("data", (chunk: Buffer) => this.#read(chunk));
    this.#stream.resume();
  }

  limitFrames(maxBytes: number): void {
    this.#parser.limit(Math.min(maxBytes, this.#maxFrameBytes));
  }

  send(frame: Uint8Array): void {
    if (this.#left || !this.#stream.writable) return;
    const queuedBytes = this.#stream.writableLength + frame.length;
    if (queuedBytes > this.#maxQueuedBytes) {
      return this.#breakOff(
        `the other end does not read: ${queuedBytes} bytes wait, ${this.#maxQueuedBytes} is the limit`,
      );
    }
    this.#cork();
    const length = lengthOf(frame);
    if (frame.length <= COPY_BYTES_MAX) {
      this.#stream.write(Buffer.concat([length, frame], length.length + frame.length));
    } else {
      this.#stream.write(length);
      this.#stream.write(frame);
    }
  }

  close(): void {
    this.#leave("closed by us");
  }

  /** Closes, and resolves once the stream has closed: at the latest when the close times out. */
  finish(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#closed) return resolve();
      this.#stream.once("close", () => resolve());
      // Nobody has started it, so nothing was said that the other end would want to read.
      if (this.#receiver === undefined && !this.#left) this.#breakOff("closed by us");
      else this.close();
    });
  }

  #read(chunk: Buffer): void {
    const broken = this.#parser.push(chunk, (frame) => {
      if (!this.#left) this.#receiver?.frame(frame);
      return !this.#left;
    });
    if (broken === undefined || this.#left) return;
    this.#onRefused(broken);
    this.#breakOff(broken);
  }

  #ended(): void {
    this.#reason ??= this.#parser.isWithinFrame ? "connection lost within a frame" : "closed by the other end";
    this.#leave(this.#reason);
  }

  #leave(reason: string): void {
    if (this.#left || this.#closed) return;
    this.#left = true;
    this.#reason ??= reason;
    this.#stream.end();
    // Whatever still comes is read, and dropped, only to see the other end close.
    this.#stream.resume();
    const timer = setTimeout(() => this.#stream.destroy(), CLOSE_MS_MAX);
    this.#stream.once("close", () => clearTimeout(timer));
  }

  /** What waits to be sent is lost: the other end is to hear soon, or cannot hear at all. */
  #breakOff(reason: string): void {
    this.#left = true;
    this.#reason ??= reason;
    this.#stream.destroy();
  }

  /** Everything sent in one turn of the event loop leaves in one system call, and never within `send`. */
  #cork(): void {
    if (this.#corked) return;
    this.#corked = true;
    this.#stream.cork();
    const uncork = (): void => {
      this.#corked = false;
      this.#stream.uncork();
    };
    // A stream that is no socket may hand over at once, and two that answer each other would starve the event loop.
    if (this.#stream instanceof Socket) process.nextTick(uncork);
    else setImmediate(uncork);
  }
}
