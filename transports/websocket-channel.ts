/** One WebSocket as a channel. */
import type { Duplex } from "node:stream";
import type { RawData, WebSocket } from "ws";
import type { Channel, ChannelReceiver } from "../src/transport.ts";

/** Close codes of RFC 6455, section 7.4.1. */
const NORMAL = 1000;
const UNSUPPORTED_DATA = 1003;
const LOST = 1006;
/** What a WebSocket is closed for, as it is counted. */
const REASONS: ReadonlyMap<string, string> = new Map([
  ["WS_ERR_UNSUPPORTED_MESSAGE_LENGTH", "frame-too-long"],
  ["WS_ERR_TOO_MANY_BUFFERED_PARTS", "too-many-fragments"],
]);
/** What the header of a WebSocket frame takes beside its bytes, and an answer to the upgrade that is behind it. */
const HEADER_BYTES_MAX = 64;
/** A limit above this is none of its own: the WebSocket has one. */
const LOW_LIMIT_MAX = 64 * 1024;

export interface WebSocketChannelOptions {
  /** What the WebSocket writes to; without it small frames are written one by one. */
  readonly stream: Duplex | undefined;
  /** The other end, for people. */
  readonly remote: string;
  /** What may wait to be sent; with more the channel closes. */
  readonly maxQueuedBytes: number;
  /** Told why, when what came was no WebSocket traffic of a replica. */
  readonly onRefused: (reason: string, detail: string) => void;
}

export class WebSocketChannel implements Channel {
  readonly remote: string;
  readonly #webSocket: WebSocket;
  readonly #stream: Duplex | undefined;
  readonly #maxQueuedBytes: number;
  readonly #onRefused: (reason: string, detail: string) => void;
  #receiver: ChannelReceiver | undefined;
  #reason: string | undefined;
  #corked = false;
  /** Closed here: what still arrives is not for the receiver. */
  #left = false;
  #closed = false;

  #stopCounting: () => void = () => undefined;

  constructor(webSocket: WebSocket, { stream, remote, maxQueuedBytes, onRefused }: WebSocketChannelOptions) {
    this.remote = remote;
    this.#maxQueuedBytes = maxQueuedBytes;
    this.#onRefused = onRefused;
    this.#webSocket = webSocket;
    this.#stream = stream;
    // Nothing is read before `start`, so what a peer can make us keep is what the operating system keeps.
    webSocket.pause();
    webSocket.on("message", (data, isBinary) => this.#message(data, isBinary));
    webSocket.on("error", (error: NodeJS.ErrnoException) => {
      this.#reason ??= error.message;
      if (error.code?.startsWith("WS_ERR_") !== true) return;
      this.#onRefused(REASONS.get(error.code) ?? "bad-websocket", error.message);
    });
    webSocket.once("close", (code, text) => {
      const described = text.length > 0 ? text.toString() : code === LOST ? "connection lost" : `closed, code ${code}`;
      this.#reason ??= described;
      this.#closed = true;
      this.#receiver?.closed(this.#reason);
    });
  }

  start(receiver: ChannelReceiver): void {
    this.#receiver = receiver;
    this.#webSocket.resume();
    // It closed before there was anybody to tell.
    if (this.#closed) setImmediate(() => receiver.closed(this.#reason ?? "closed"));
  }

  /**
   * The limit of a WebSocket is fixed when it is made. A lower one bounds all that comes until it is lifted, which is
   * what a handshake needs: one frame, and then nothing before the answer.
   */
  limitFrames(maxBytes: number): void {
    this.#stopCounting();
    const stream = this.#stream;
    if (stream === undefined || maxBytes > LOW_LIMIT_MAX) return;
    let left = maxBytes + HEADER_BYTES_MAX;
    // The frame that lifts the limit may come in one chunk with those behind it, which this function is then still told of.
    let counting = true;
    const count = (chunk: Buffer): void => {
      left -= chunk.length;
      if (left >= 0 || !counting || this.#left || this.#closed) return;
      this.#onRefused("frame-too-long", `more than ${maxBytes} bytes came before anything was proved`);
      this.#reason ??= "too much came before anything was proved";
      this.#webSocket.terminate();
    };
    stream.on("data", count);
    this.#stopCounting = () => {
      counting = false;
      stream.off("data", count);
    };
  }

  send(frame: Uint8Array): void {
    if (this.#webSocket.readyState !== this.#webSocket.OPEN) return;
    const queuedBytes = this.#webSocket.bufferedAmount + frame.length;
    if (queuedBytes > this.#maxQueuedBytes) {
      this.#reason ??= `the other end does not read: ${queuedBytes} bytes wait, ${this.#maxQueuedBytes} is the limit`;
      this.#left = true;
      // A close in good order would wait behind all that.
      return this.#webSocket.terminate();
    }
    this.#cork();
    this.#webSocket.send(frame);
  }

  close(): void {
    this.#leave("closed by us", NORMAL);
  }

  /** Closes, and resolves once the socket is gone: at the latest when the close times out. */
  finish(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#closed) return resolve();
      this.#webSocket.once("close", () => resolve());
      // Nobody has started it, so nothing was said that the other end would want to read.
      if (this.#receiver === undefined && !this.#left) this.#webSocket.terminate();
      else this.close();
    });
  }

  #message(data: RawData, isBinary: boolean): void {
    if (this.#left) return;
    // `binaryType` is "nodebuffer", so that anything else is not ours either.
    if (isBinary && data instanceof Uint8Array) this.#receiver?.frame(data);
    else {
      this.#onRefused("bad-websocket", "it sent text");
      this.#leave("the other end sent text", UNSUPPORTED_DATA);
    }
  }

  #leave(reason: string, code: number): void {
    if (this.#left || this.#closed) return;
    this.#left = true;
    this.#reason ??= reason;
    this.#webSocket.close(code);
    // The answer to our close has to be read, also when nobody has started the channel.
    this.#webSocket.resume();
  }

  /** Everything sent in one turn of the event loop leaves in one system call. */
  #cork(): void {
    if (this.#corked || this.#stream === undefined) return;
    const stream = this.#stream;
    this.#corked = true;
    stream.cork();
    process.nextTick(() => {
      this.#corked = false;
      stream.uncork();
    });
  }
}
