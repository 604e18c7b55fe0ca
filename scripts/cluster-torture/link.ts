/** The way between two nodes: a proxy for each of the two dialing the other. It can be cut, deaf in one direction, or slow. */
import { once } from "node:events";
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from "node:net";

export interface End {
  readonly nodeId: string;
  /** Where it listens now; undefined while it does not. */
  readonly port: number | undefined;
}

export type LinkState =
  | { readonly type: "up" }
  /** Connections are reset, new ones as well. */
  | { readonly type: "cut" }
  /** What this node sends, the end of connections included, arrives only later. */
  | { readonly type: "one-way"; readonly unheard: string }
  | { readonly type: "slow"; readonly delayMs: number };

const HELD_BYTES_MAX = 256 * 1024;

export class Link {
  readonly ends: readonly [End, End];
  #state: LinkState = { type: "up" };
  readonly #servers: Server[] = [];
  readonly #pipes = new Set<Pipe>();
  #bytes = 0;

  constructor(ends: readonly [End, End]) {
    this.ends = ends;
  }

  get state(): LinkState {
    return this.#state;
  }

  /** Carried so far, in both directions. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Opens the entrance for `from`. @returns the address to dial */
  async open(from: End): Promise<string> {
    const to = this.ends.find((end) => end !== from) ?? from;
    const server = createServer((socket) => this.#accept(socket, from, to));
    this.#servers.push(server);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  set(state: LinkState): void {
    this.#state = state;
    for (const pipe of this.#pipes) {
      if (state.type === "cut") pipe.cut();
      else pipe.flow();
    }
  }

  close(): void {
    this.set({ type: "cut" });
    for (const server of this.#servers) server.close();
  }

  #accept(dialer: Socket, from: End, to: End): void {
    if (this.#state.type === "cut" || to.port === undefined) {
      dialer.on("error", () => undefined).destroy();
      return;
    }
    const target = createConnection({ host: "127.0.0.1", port: to.port, noDelay: true });
    this.#pipe(from, dialer, target);
    this.#pipe(to, target, dialer);
  }

  #pipe(sender: End, source: Socket, sink: Socket): void {
    const delayMs = (): number | undefined => {
      if (this.#state.type === "one-way" && this.#state.unheard === sender.nodeId) return undefined;
      return this.#state.type === "slow" ? this.#state.delayMs : 0;
    };
    const onBytes = (count: number): void => {
      this.#bytes += count;
    };
    const pipe: Pipe = new Pipe(source, sink, delayMs, onBytes, () => this.#pipes.delete(pipe));
    this.#pipes.add(pipe);
  }
}

/** One direction of one connection. */
class Pipe {
  readonly #source: Socket;
  readonly #sink: Socket;
  readonly #delayMs: () => number | undefined;
  readonly #onClosed: () => void;
  readonly #held: { readonly bytes: Buffer; readonly dueMs: number }[] = [];
  #heldBytes = 0;
  #hasEnded = false;
  #timer: NodeJS.Timeout | undefined;

  /** @param delayMs  of what comes now; undefined: nothing passes for the time being */
  constructor(
    source: Socket,
    sink: Socket,
    delayMs: () => number | undefined,
    onBytes: (count: number) => void,
    onClosed: () => void,
  ) {
    this.#source = source;
    this.#sink = sink;
    this.#delayMs = delayMs;
    this.#onClosed = onClosed;
    source.on("error", () => undefined);
    source.on("data", (bytes: Buffer) => {
      onBytes(bytes.length);
      this.#held.push({ bytes, dueMs: performance.now() + (delayMs() ?? 0) });
      this.#heldBytes += bytes.length;
      this.flow();
    });
    source.on("close", () => {
      this.#hasEnded = true;
      this.flow();
    });
    sink.on("drain", () => this.flow());
  }

  /** Passes on what is due. */
  flow(): void {
    clearTimeout(this.#timer);
    const isHeld = this.#delayMs() === undefined;
    while (!isHeld && !this.#sink.writableNeedDrain) {
      const [next] = this.#held;
      if (next === undefined) break;
      const waitMs = next.dueMs - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.flow(), waitMs);
        break;
      }
      this.#held.shift();
      this.#heldBytes -= next.bytes.length;
      if (!this.#sink.destroyed) this.#sink.write(next.bytes);
    }
    if (this.#heldBytes > HELD_BYTES_MAX) this.#source.pause();
    else this.#source.resume();
    if (this.#hasEnded && !isHeld && (this.#held.length === 0 || this.#sink.destroyed)) this.#close();
  }

  cut(): void {
    this.#source.destroy();
    this.#close();
  }

  #close(): void {
    clearTimeout(this.#timer);
    this.#sink.destroySoon();
    this.#onClosed();
  }
}
