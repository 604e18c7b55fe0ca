/**
 * Replicas over WebSocket, `ws://` and `wss://`: on a server of their own, or on an HTTP or HTTPS server that is there
 * already. On the loopback interface, unless replicas have to prove who they are: authentication.md says how, and what
 * can then still be read on the way.
 */
import type { ClientRequest, IncomingMessage, Server } from "node:http";
import type { Server as SecureServer } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket, Server as TlsServer } from "node:tls";
import { WebSocket, WebSocketServer } from "ws";
import { ReplicaError } from "../src/errors.ts";
import type { Channel, Transport, TransportHost } from "../src/transport.ts";
import { Gate, type GuardedHost, TOO_FAST } from "./authentication-gate.ts";
import { type Guard, whyNotDial, whyNotListen } from "./exposure.ts";
import {
  checkPeerOptions,
  checkPort,
  dialableHost,
  hostOf,
  inAddress,
  isLoopback,
  isObject,
  isStrings,
  onlyKeys,
  optionError,
  PEER_OPTIONS,
  type PeerOptions,
  QUEUED_BYTES_MAX,
} from "./options.ts";
import { Seeds } from "./seeds.ts";
import { dialError } from "./socket-errors.ts";
import { certificateOf, checkTls, clientTls, explainTls, isMutual, WENT_AWAY, whyNotAuthorized } from "./tls.ts";
import { WebSocketChannel } from "./websocket-channel.ts";
import { HANDSHAKE_MS_MAX, openServer, REFUSAL_HEADER, refuseUpgrade } from "./websocket-server.ts";

export type { PeerOptions } from "./options.ts";
export type { Pem, TlsOptions } from "./tls.ts";

/** How to be found, whom to find, and who is let in. */
export interface WebSocketTransportOptions extends PeerOptions {
  /** Default: do not listen, only dial. */
  readonly listen?: WebSocketListen;
  /**
   * Pages that may connect, by the `Origin` that their browser sends: `https://admin.example.org`. Default: none. A
   * page is let in only as far as everybody else: to be of use it has to speak the protocol.
   */
  readonly allowOrigins?: readonly string[];
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
      /**
       * A server of yours, with TLS or without. We answer its upgrade requests for `path`, nothing else, and never
       * close it.
       */
      readonly server: Server | SecureServer;
      /** Default "/wavekv". */
      readonly path?: string;
    };

/** A channel whose other end does not answer our close is cut off after this. */
const CLOSE_MS_MAX = 1000;

export class WebSocketTransport implements Transport {
  readonly #options: WebSocketTransportOptions;
  readonly #path: string;
  readonly #channels = new Set<WebSocketChannel>();
  readonly #dials = new Set<WebSocket>();
  #seeds: Seeds | undefined;
  #server: Server | SecureServer | undefined;
  #upgrades: WebSocketServer | undefined;
  #stopAccepting: (() => void) | undefined;
  #host: GuardedHost | undefined;
  readonly #gate: Gate;
  #closing: Promise<void> | undefined;

  /** @throws ReplicaError ERR_OPTION for an unknown option, an address that is none, and what strangers could reach */
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
    const scheme = this.#server instanceof TlsServer ? "wss" : "ws";
    return `${scheme}://${inAddress(dialableHost(bound.address))}:${bound.port}${this.#path === "/" ? "" : this.#path}`;
  }

  async listen(host: TransportHost): Promise<readonly string[]> {
    const { listen, advertise, seeds, discovery, tls } = this.#options;
    if (this.#host !== undefined || this.#closing !== undefined) {
      throw new ReplicaError("ERR_LISTEN", "this transport has served its replica; make a new one");
    }
    this.#host = this.#gate.open(host);
    if (listen !== undefined) {
      this.#upgrades = new WebSocketServer({ noServer: true, clientTracking: false, ...this.#limits(this.#host) });
      const isOwn = !("server" in listen);
      const server = isOwn ? await openServer(listen.host ?? "127.0.0.1", listen.port, tls) : listen.server;
      this.#server = server;
      if (this.#closing !== undefined) {
        await this.#closeServer();
        throw new ReplicaError("ERR_LISTEN", "the transport was closed meanwhile");
      }
      if (isOwn) server.on("connection", (socket: Socket) => this.#gate.meet(socket));
      const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void =>
        this.#upgrade(server, request, socket, head);
      server.on("upgrade", onUpgrade);
      this.#stopAccepting = () => void server.off("upgrade", onUpgrade);
      if (isOwn)
        server.on("tlsClientError", (error: Error, { remoteAddress }: TLSSocket) =>
          this.#refused("tls", remoteAddress, explainTls(error) ?? WENT_AWAY),
        );
    }
    this.#seeds = new Seeds({ fixed: seeds, discovery, warn: (message) => host.warn?.(message) });
    this.#seeds.open();
    return advertise ?? (this.address === undefined ? [] : [this.address]);
  }

  seeds(): Iterable<string> {
    return this.#seeds?.current() ?? this.#options.seeds ?? [];
  }

  async dial(address: string, signal: AbortSignal): Promise<Channel> {
    const refusal = whyNotDialable(address, this.#options);
    if (refusal !== undefined) throw optionError(refusal);
    if (this.#host === undefined) throw new ReplicaError("ERR_CLOSED", "the transport is not open");
    if (this.#closing !== undefined) throw new ReplicaError("ERR_CLOSED", "the transport is closed");
    signal.throwIfAborted();
    try {
      const { channel, stream } = await this.#connect(address, this.#host, signal);
      return await this.#gate.dial(channel, { certificate: certificateOf(stream) }, signal);
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    }
  }

  #connect(address: string, host: TransportHost, signal: AbortSignal): Promise<Opened> {
    return new Promise((resolve, reject) => {
      const url = new URL(address);
      const isPrivate = isLoopback(hostOf(url)) || url.protocol === "wss:";
      const socket = new WebSocket(address, {
        ...this.#limits(host),
        ...clientTls(this.#options.tls ?? {}),
        handshakeTimeout: HANDSHAKE_MS_MAX,
        // Masking keeps a script in a browser from forging requests that a proxy would understand. On loopback and
        // within TLS nothing is between the ends, and a key of zeros saves a pass over every byte, in JavaScript.
        ...(isPrivate ? { generateMask: (mask: Buffer) => void mask.fill(0) } : {}),
      });
      this.#dials.add(socket);
      let stream: Duplex | undefined;
      let failure: Error | undefined;
      const onAbort = (): void => socket.terminate();
      signal.addEventListener("abort", onAbort);
      const settle = (): void => {
        signal.removeEventListener("abort", onAbort);
        this.#dials.delete(socket);
      };
      socket.on("upgrade", (response) => {
        stream = response.socket;
      });
      socket.on("unexpected-response", (_request: ClientRequest, response: IncomingMessage) => {
        failure ??= refusalOf(address, response);
        socket.terminate();
      });
      socket.on("error", (cause) => {
        failure ??= dialError(address, cause);
      });
      socket.once("open", () => {
        settle();
        // The channel has its own listeners; `close` below finds the promise settled.
        resolve({ channel: this.#adopt(socket, stream, address), stream });
      });
      socket.once("close", () => {
        settle();
        reject(failure ?? new Error(`cannot reach ${address}: the connection was closed`));
      });
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#seeds?.close();
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

  #upgrade(server: Server | SecureServer, request: IncomingMessage, socket: Duplex, head: Buffer): void {
    if (request.url?.split("?", 1)[0] !== this.#path) {
      // Another listener's business, if there is one; else nobody would ever answer.
      if (server.listenerCount("upgrade") === 1)
        refuseUpgrade(socket, "404 Not Found", "there is no replica at this path");
      return;
    }
    const { remoteAddress: address, remotePort } = request.socket;
    const refusal = this.#whyNot(request);
    if (refusal !== undefined) {
      const [status, reason, text] = refusal;
      refuseUpgrade(socket, status, text);
      return this.#refused(reason, address, text);
    }
    this.#gate.recognize(request.socket);
    this.#upgrades?.handleUpgrade(request, socket, head, (webSocket) => {
      const evidence = { address, headers: request.headers, certificate: certificateOf(request.socket) };
      this.#host?.accept(this.#adopt(webSocket, socket, `${address ?? "?"}:${remotePort ?? "?"}`), evidence);
    });
  }

  /** Why an upgrade request is turned away: the status, a word to count it by, and a text for both sides. */
  #whyNot({ socket, headers: { origin } }: IncomingMessage): readonly [string, string, string] | undefined {
    const { listen, tls, allowOrigins = [] } = this.#options;
    const { remoteAddress: address = "" } = socket;
    const isOwn = listen !== undefined && !("server" in listen);
    // On a server of our own the connection itself was counted.
    if (!isOwn && !this.#gate.lobby.admits(address)) return ["429 Too Many Requests", "too-fast", TOO_FAST];
    const isAuthorized = socket instanceof TLSSocket && socket.authorized;
    // A server of yours asks for certificates, or does not, as you have told it.
    if (socket instanceof TLSSocket && isMutual(tls) && isOwn) {
      const refusal = whyNotAuthorized(socket);
      if (refusal !== undefined) return ["403 Forbidden", "certificate", refusal];
    }
    if (!isLoopback(address) && !this.#gate.isGuarded && !isAuthorized) {
      const text = "the dialer is on another machine, and this transport has no secret and has seen no certificate";
      return ["403 Forbidden", "no-secret", text];
    }
    // Only browsers send it: a page of any site may open a WebSocket to this machine, and must get nothing.
    if (origin !== undefined && !allowOrigins.includes(origin)) {
      return ["403 Forbidden", "browser", "a page in a browser, and not one of allowOrigins"];
    }
    return undefined;
  }

  #refused(reason: string, address: string | undefined, text: string): void {
    this.#host?.refused?.(reason, `${address ?? "?"}: ${text}`);
  }

  #adopt(webSocket: WebSocket, stream: Duplex | undefined, remote: string): WebSocketChannel {
    const channel = new WebSocketChannel(webSocket, {
      stream,
      remote,
      maxQueuedBytes: this.#options.maxQueuedBytes ?? QUEUED_BYTES_MAX,
      onRefused: (reason, text) => this.#refused(reason, remote, text),
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

interface Opened {
  readonly channel: WebSocketChannel;
  /** What the WebSocket runs on. */
  readonly stream: Duplex | undefined;
}

/** A dial that was answered, and not with a WebSocket. What the other end says is bounded, and cannot hold controls. */
function refusalOf(address: string, { statusCode = 0, headers }: IncomingMessage): Error {
  const reason = headers[REFUSAL_HEADER];
  if (typeof reason === "string" && (statusCode === 401 || statusCode === 403)) {
    return new ReplicaError("ERR_AUTH", `cannot reach ${address}: refused by the other end: ${reason.slice(0, 256)}`);
  }
  const why = typeof reason === "string" ? reason.slice(0, 256) : "no wavekv replica answers there";
  return new Error(`cannot reach ${address}: HTTP status ${statusCode}: ${why}`);
}

function checkOptions(options: WebSocketTransportOptions): void {
  onlyKeys("WebSocketTransport", options, ["listen", "allowOrigins", ...PEER_OPTIONS]);
  const { listen, tls, allowOrigins = [] } = options;
  if (tls !== undefined) checkTls(tls, isObject(listen) && "port" in listen);
  if (listen !== undefined) checkListen(listen, options);
  if (!isStrings(allowOrigins)) throw optionError('allowOrigins is an array: ["https://admin.example.org"]');
  checkPeerOptions(options, "ws://127.0.0.1:7001", (address) => whyNotDialable(address, options));
}

function checkListen(listen: WebSocketListen, guard: Guard): void {
  if (!isObject(listen)) throw optionError("listen takes an object with host, port, path");
  if (listen.path !== undefined && !listen.path.startsWith("/")) {
    throw optionError(`listen.path must begin with "/": got ${JSON.stringify(listen.path)}`);
  }
  if ("server" in listen) return onlyKeys("listen", listen, ["server", "path"]);
  onlyKeys("listen", listen, ["host", "port", "path"]);
  checkPort(listen.port);
  const refusal = whyNotListen(listen.host ?? "127.0.0.1", guard);
  if (refusal !== undefined) throw optionError(refusal);
}

/** Why this transport does not dial `address`; undefined if it does. */
function whyNotDialable(address: string, guard: Guard): string | undefined {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  const isEncrypted = url?.protocol === "wss:";
  if (url === undefined || !(isEncrypted || url.protocol === "ws:") || url.username + url.password + url.hash !== "") {
    return `${JSON.stringify(address)} is not an address of this transport: it dials ws://host:port and wss://host:port`;
  }
  return whyNotDial(address, hostOf(url), isEncrypted, guard);
}
