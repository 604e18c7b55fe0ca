/** One WebSocket as a channel. */
import type { Duplex } from "node:stream";
import type { RawData, WebSocket } from "ws";
import type { Channel, ChannelReceiver } from "../src/transport.ts";

/** Close codes of RFC 6455, section 7.4.1. */
const NORMAL = 1000;
const UNSUPPORTED_DATA = 1003;
const LOST = 1006;

export class WebSocketChannel implements Channel {
  readonly remote: string;
  readonly #webSocket: WebSocket;
  readonly #stream: Duplex | undefined;
  #receiver: ChannelReceiver | undefined;
  #reason: string | undefined;
  #corked = false;
  /** Closed here: what still arrives is not for the receiver. */
  #left = false;
  #closed = false;

  /** @param stream  what the WebSocket writes to; without it small frames are written one by one */
  constructor(webSocket: WebSocket, stream: Duplex | undefined, remote: string) {
    this.remote = remote;
    this.#webSocket = webSocket;
    this.#stream = stream;
    // Nothing is read before `start`, so what a peer can make us keep is what the operating system keeps.
    webSocket.pause();
    webSocket.on("message", (data, isBinary) => this.#message(data, isBinary));
    webSocket.on("error", (error) => {
      this.#reason ??= error.message;
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

  send(frame: Uint8Array): void {
    if (this.#webSocket.readyState !== this.#webSocket.OPEN) return;
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
    else this.#leave("the other end sent text", UNSUPPORTED_DATA);
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
