/**
 * Replicas over WebSocket. On the loopback interface, unless replicas have to prove who they are: authentication.md says
 * how, and what can then still be read on the way.
 */
import { createServer, type IncomingMessage, type Server } from "node:http";
import { type AddressInfo, isIPv4 } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocket, WebSocketServer } from "ws";
import { ReplicaError } from "../src/errors.ts";
import type { Channel, Transport, TransportHost } from "../src/transport.ts";
import { type Authenticate, Gate, type GuardedHost, type Secret } from "./authentication-gate.ts";
import { WebSocketChannel } from "./websocket-channel.ts";

/** How to be found, and whom to find. */
export interface WebSocketTransportOptions {
  /** Default: do not listen, only dial. */
  readonly listen?: WebSocketListen;
  /** Addresses to dial before any replica is known: `ws://127.0.0.1:7002`. One is enough to find everybody. */
  readonly seeds?: readonly string[];
  /** The addresses under which others dial this replica. Default: where it listens. */
  readonly advertise?: readonly string[];
  /** Frames above this close the channel. Default: what the library sends at most, 16 MiB. */
  readonly maxFrameBytes?: number;
  /** What all replicas of the cluster know. Of several the first is used to prove, and all are accepted. */
  readonly secret?: Secret;
  /** A check of your own, on each connection, beside that of the secret. */
  readonly authenticate?: Authenticate;
}

export type WebSocketListen =
  | {
      /** Default "127.0.0.1". */
      readonly host?: string;
      /** 0: any that is free. */
      readonly port: number;
      /** Default "/". */
      readonly path?: string;
    }
  | {
      /** A server of yours. We answer its upgrade requests for `path`, nothing else, and never close it. */
      readonly server: Server;
      /** Default "/wavekv". */
      readonly path?: string;
    };

/** A handshake that takes longer has failed. */
const HANDSHAKE_MS_MAX = 5000;
/** A channel whose other end does not answer our close is cut off after this. */
const CLOSE_MS_MAX = 1000;

export class WebSocketTransport implements Transport {
  readonly #options: WebSocketTransportOptions;
  readonly #path: string;
  readonly #channels = new Set<WebSocketChannel>();
  readonly #dials = new Set<WebSocket>();
  #server: Server | undefined;
  #upgrades: WebSocketServer | undefined;
  #stopAccepting: (() => void) | undefined;
  #host: GuardedHost | undefined;
  readonly #gate: Gate;
  #closing: Promise<void> | undefined;

  /** @throws ReplicaError ERR_OPTION for an unknown option, and for a host, seed or address beyond loopback */
  constructor(options: WebSocketTransportOptions = {}) {
    checkOptions(options);
    this.#options = options;
    this.#gate = new Gate(options);
    this.#path = options.listen?.path ?? (options.listen !== undefined && "server" in options.listen ? "/wavekv" : "/");
  }

  /** Where this replica can be dialed: `ws://127.0.0.1:7001`. Undefined while, or when, it does not listen. */
  get address(): string | undefined {
    // A pipe has a name, not an address that others could dial.
    const bound = this.#server?.address();
    if (bound === null || bound === undefined || typeof bound === "string") return undefined;
    return `ws://${dialableHost(bound)}:${bound.port}${this.#path === "/" ? "" : this.#path}`;
  }

  async listen(host: TransportHost): Promise<readonly string[]> {
    const { listen, advertise } = this.#options;
    if (this.#host !== undefined || this.#closing !== undefined) {
      throw new ReplicaError("ERR_LISTEN", "this transport has served its replica; make a new one");
    }
    this.#host = this.#gate.open(host);
    if (listen !== undefined) {
      this.#upgrades = new WebSocketServer({ noServer: true, clientTracking: false, ...this.#limits(this.#host) });
      const server = "server" in listen ? listen.server : await openServer(listen.host ?? "127.0.0.1", listen.port);
      this.#server = server;
      if (this.#closing !== undefined) {
        await this.#closeServer();
        throw new ReplicaError("ERR_LISTEN", "the transport was closed meanwhile");
      }
      const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void =>
        this.#upgrade(server, request, socket, head);
      server.on("upgrade", onUpgrade);
      this.#stopAccepting = () => void server.off("upgrade", onUpgrade);
    }
    return advertise ?? (this.address === undefined ? [] : [this.address]);
  }

  seeds(): Iterable<string> {
    return this.#options.seeds ?? [];
  }

  async dial(address: string, signal: AbortSignal): Promise<Channel> {
    const refusal = whyNotDialable(address, this.#gate.isGuarded);
    if (refusal !== undefined) throw new ReplicaError("ERR_OPTION", refusal);
    if (this.#host === undefined) throw new ReplicaError("ERR_CLOSED", "the transport is not open");
    if (this.#closing !== undefined) throw new ReplicaError("ERR_CLOSED", "the transport is closed");
    signal.throwIfAborted();
    try {
      return await this.#gate.dial(await this.#connect(address, this.#host, signal), {}, signal);
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    }
  }

  #connect(address: string, host: TransportHost, signal: AbortSignal): Promise<Channel> {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(address, {
        ...this.#limits(host),
        handshakeTimeout: HANDSHAKE_MS_MAX,
        // Masking keeps a script in a browser from forging requests that a proxy would understand. On loopback nothing
        // is between the ends, and a key of zeros saves a pass over every byte, in JavaScript.
        ...(isLoopback(hostOf(address)) ? { generateMask: (mask: Buffer) => void mask.fill(0) } : {}),
      });
      this.#dials.add(socket);
      let stream: Duplex | undefined;
      let failure = new Error(`cannot reach ${address}: the connection was closed`);
      const onAbort = (): void => socket.terminate();
      signal.addEventListener("abort", onAbort);
      const settle = (): void => {
        signal.removeEventListener("abort", onAbort);
        this.#dials.delete(socket);
      };
      socket.on("upgrade", (response) => {
        stream = response.socket;
      });
      socket.on("error", (cause) => {
        failure = new Error(`cannot reach ${address}: ${cause.message}`, { cause });
      });
      socket.once("open", () => {
        settle();
        // The channel has its own listeners; `close` below finds the promise settled.
        resolve(this.#adopt(socket, stream, address));
      });
      socket.once("close", () => {
        settle();
        reject(failure);
      });
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#stopAccepting?.();
    for (const socket of this.#dials) socket.terminate();
    await Promise.all([this.#closeServer(), ...[...this.#channels].map((channel) => channel.finish())]);
  }

  async #closeServer(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const { listen } = this.#options;
    if (server === undefined || listen === undefined || "server" in listen) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    // Requests that are not, or not yet, channels.
    server.closeAllConnections();
    await closed;
  }

  #upgrade(server: Server, request: IncomingMessage, socket: Duplex, head: Buffer): void {
    if (request.url?.split("?", 1)[0] !== this.#path) {
      // Another listener's business, if there is one; else nobody would ever answer.
      if (server.listenerCount("upgrade") === 1) refuseUpgrade(socket, "404 Not Found");
      return;
    }
    const { remoteAddress: address, remotePort } = request.socket;
    const remote = `${address ?? "?"}:${remotePort ?? "?"}`;
    const refuse = (status: string, reason: string, detail: string): void => {
      refuseUpgrade(socket, status);
      this.#host?.refused?.(reason, `${remote}: ${detail}`);
    };
    if (!this.#gate.lobby.admits(address)) {
      return refuse("429 Too Many Requests", "too-fast", "this address connects too often");
    }
    if (!isLoopback(address ?? "") && !this.#gate.isGuarded) {
      return refuse("403 Forbidden", "no-secret", "it is on another machine, and this transport has no secret");
    }
    // Only browsers send it: a page of any site may open a WebSocket to this machine, and must get nothing.
    if (request.headers.origin !== undefined) return refuse("403 Forbidden", "browser", "it is a page in a browser");
    this.#upgrades?.handleUpgrade(request, socket, head, (webSocket) => {
      this.#host?.accept(this.#adopt(webSocket, socket, remote), { address, headers: request.headers });
    });
  }

  #adopt(webSocket: WebSocket, stream: Duplex | undefined, remote: string): WebSocketChannel {
    const channel = new WebSocketChannel(webSocket, stream, remote, (reason, text) => {
      this.#host?.refused?.(reason, `${remote}: ${text}`);
    });
    this.#channels.add(channel);
    webSocket.once("close", () => this.#channels.delete(channel));
    return channel;
  }

  #limits(host: TransportHost) {
    const { maxFrameBytes: ours } = this.#options;
    const maxFrameBytes = ours === undefined ? host.maxFrameBytes : ours + this.#gate.overheadBytes;
    return {
      // Entries are small and mixed; compressing them costs more than a loopback has to give, and memory per channel.
      perMessageDeflate: false,
      maxPayload: maxFrameBytes,
      // We send a message as one fragment.
      maxFragments: 16,
      // A frame may come in as many reads as there are packets, so this allows 1 KiB a read, not a byte.
      maxBufferedChunks: Math.ceil(maxFrameBytes / 1024) + 64,
      closeTimeout: CLOSE_MS_MAX,
    };
  }
}

/** Opens a server for us alone. */
function openServer(host: string, port: number): Promise<Server> {
  const server = createServer(
    {
      headersTimeout: HANDSHAKE_MS_MAX,
      requestTimeout: HANDSHAKE_MS_MAX,
      connectionsCheckingInterval: 1000,
    },
    (_request, response) => {
      response.writeHead(426, { connection: "close", "content-type": "text/plain" });
      response.end("This is a wavekv replica. It speaks WebSocket.\n");
    },
  );
  return new Promise((resolve, reject) => {
    server.once("error", (cause) => reject(listenError(host, port, cause)));
    server.listen({ host, port }, () => {
      server.removeAllListeners("error");
      // A connection that could not be accepted (out of file descriptors) is the dialer's to try again.
      server.on("error", () => undefined);
      resolve(server);
    });
  });
}

function listenError(host: string, port: number, cause: NodeJS.ErrnoException): ReplicaError {
  const remedies: Record<string, string> = {
    EADDRINUSE: "the port is in use: stop the process that has it, or choose another (0 picks a free one)",
    EACCES: "the port is reserved: choose one above 1023",
    EADDRNOTAVAIL: "this machine does not have that address: use 127.0.0.1",
  };
  const why = remedies[cause.code ?? ""] ?? cause.message;
  return new ReplicaError("ERR_LISTEN", `cannot listen on ws://${host}:${port}: ${why}`, { cause });
}

function refuseUpgrade(socket: Duplex, status: string): void {
  // Whoever is refused may be gone already.
  socket.on("error", () => socket.destroy());
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}

function checkOptions(options: WebSocketTransportOptions): void {
  if (!Array.isArray(options?.seeds ?? []) || !Array.isArray(options?.advertise ?? [])) {
    throw new ReplicaError("ERR_OPTION", 'seeds and advertise are arrays of addresses: ["ws://127.0.0.1:7001"]');
  }
  onlyKeys("WebSocketTransport", options, ["listen", "seeds", "advertise", "maxFrameBytes", "secret", "authenticate"]);
  const { listen, seeds = [], advertise = [], maxFrameBytes, secret, authenticate } = options;
  const isGuarded = secret !== undefined || authenticate !== undefined;
  if (listen !== undefined) checkListen(listen, isGuarded);
  for (const address of [...seeds, ...advertise]) {
    const refusal = whyNotDialable(address, isGuarded);
    if (refusal !== undefined) throw new ReplicaError("ERR_OPTION", refusal);
  }
  if (maxFrameBytes !== undefined && !(Number.isSafeInteger(maxFrameBytes) && maxFrameBytes > 0)) {
    throw new ReplicaError("ERR_OPTION", `maxFrameBytes must be a positive integer: got ${maxFrameBytes}`);
  }
}

function checkListen(listen: WebSocketListen, isGuarded: boolean): void {
  if (!isObject(listen)) throw new ReplicaError("ERR_OPTION", "listen takes an object with host, port, path");
  if (listen.path !== undefined && !listen.path.startsWith("/")) {
    throw new ReplicaError("ERR_OPTION", `listen.path must begin with "/": got ${JSON.stringify(listen.path)}`);
  }
  if ("server" in listen) return onlyKeys("listen", listen, ["server", "path"]);
  onlyKeys("listen", listen, ["host", "port", "path"]);
  const { host = "127.0.0.1", port } = listen;
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new ReplicaError("ERR_OPTION", `listen.port must be an integer from 0 to 65535: got ${String(port)}`);
  }
  if (!isLoopback(host) && !isGuarded) {
    throw new ReplicaError(
      "ERR_OPTION",
      `listen.host ${JSON.stringify(host)} would let other machines in: give all replicas the same \`secret\`, ` +
        `or a check of your own with \`authenticate\`; or listen on "127.0.0.1"`,
    );
  }
}

function onlyKeys(what: string, value: object, known: readonly string[]): void {
  if (!isObject(value)) throw new ReplicaError("ERR_OPTION", `${what} takes an object with ${known.join(", ")}`);
  const unknown = Object.keys(value).find((key) => !known.includes(key));
  if (unknown !== undefined) {
    throw new ReplicaError("ERR_OPTION", `${what} has no option "${unknown}": it takes ${known.join(", ")}`);
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/** Why this transport does not dial `address`; undefined if it does. */
function whyNotDialable(address: string, isGuarded: boolean): string | undefined {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined || url.protocol !== "ws:" || url.hash !== "" || url.username !== "" || url.password !== "") {
    return `${JSON.stringify(address)} is not an address of this transport: it dials ws://HOST:PORT`;
  }
  if (isGuarded || isLoopback(hostOf(address))) return undefined;
  return `${address} is on another machine: give all replicas the same \`secret\`, or dial 127.0.0.1`;
}

function hostOf(address: string): string {
  return new URL(address).hostname.replace(/^\[|\]$/g, "");
}

function isLoopback(host: string): boolean {
  const v4 = host.replace(/^::ffff:/i, "");
  return host === "localhost" || host === "::1" || (isIPv4(v4) && v4.startsWith("127."));
}

/** The host to dial for a bound address. A server on every interface is reached on the loopback one. */
function dialableHost({ address, family }: AddressInfo): string {
  if (address === "::" || address === "0.0.0.0") return "127.0.0.1";
  return family === "IPv6" ? `[${address}]` : address;
}
