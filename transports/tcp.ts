/**
 * Replicas over byte streams: TCP, TLS and unix sockets, with addresses `tcp://host:port`, `tls://host:port` and
 * `unix:///path`. Both ends begin with a greeting, so that a port with somebody else behind it is told apart from a
 * replica, and a TLS server that refuses our certificate from one that has taken it; frames follow.
 */
import { connect as connectTcp, createServer, type ListenOptions, type Server, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from "node:tls";
import { ReplicaError } from "../src/errors.ts";
import type { Channel, Transport, TransportHost } from "../src/transport.ts";
import { type Evidence, Gate, type GuardedHost } from "./authentication-gate.ts";
import { type Guard, whyNotDial, whyNotListen } from "./exposure.ts";
import { greet, HANDSHAKE_MS_MAX, refuse } from "./greeting.ts";
import {
  checkPeerOptions,
  checkPort,
  dialableHost,
  hostOf,
  inAddress,
  isObject,
  onlyKeys,
  optionError,
  PEER_OPTIONS,
  type PeerOptions,
  QUEUED_BYTES_MAX,
} from "./options.ts";
import { Seeds } from "./seeds.ts";
import { dialError, listenError } from "./socket-errors.ts";
import { StreamChannel, type StreamChannelOptions } from "./stream-channel.ts";
import {
  certificateOf,
  checkTls,
  clientTls,
  explainTls,
  isMutual,
  serverTls,
  type TlsOptions,
  whyNotAuthorized,
} from "./tls.ts";
import { decodePath, removeStaleSocket, unixAddress, whyNotSocketPath } from "./unix-sockets.ts";

export type { TlsOptions } from "./tls.ts";
export { StreamChannel, type StreamChannelOptions };

/** How to be found, whom to find, and who is let in. */
export interface TcpTransportOptions extends PeerOptions {
  /** Default: do not listen, only dial. */
  readonly listen?: TcpListen;
}

export type TcpListen =
  | {
      /** Default "127.0.0.1". */
      readonly host?: string;
      /** 0: any that is free. */
      readonly port: number;
    }
  | {
      /**
       * A unix socket, absolute. Who may connect is who may write to it: the directory, and the umask, decide. One
       * that a killed process has left behind is replaced.
       */
      readonly path: string;
    };

export class TcpTransport implements Transport {
  readonly #options: TcpTransportOptions;
  readonly #channels = new Set<StreamChannel>();
  /** Every socket that is open, whatever it has come to. */
  readonly #sockets = new Set<Socket>();
  readonly #greeting = new Set<Socket>();
  /** Accepted and not yet handed over, by address and port: a TLS connection is another socket than the one below it. */
  readonly #strangers = new Map<string, () => void>();
  #seeds: Seeds | undefined;
  #server: Server | undefined;
  readonly #gate: Gate;
  #host: GuardedHost | undefined;
  #closing: Promise<void> | undefined;

  /** @throws ReplicaError ERR_OPTION for an unknown option, an address that is none, and what strangers could reach */
  constructor(options: TcpTransportOptions = {}) {
    checkOptions(options);
    this.#options = options;
    this.#gate = new Gate(options);
  }

  /** Where this replica can be dialed: `tcp://127.0.0.1:7001`. Undefined while, or when, it does not listen. */
  get address(): string | undefined {
    const bound = this.#server?.address();
    if (bound === null || bound === undefined) return undefined;
    if (typeof bound === "string") return unixAddress(bound);
    return addressOf(this.#options.tls, dialableHost(bound.address), bound.port);
  }

  async listen(host: TransportHost): Promise<readonly string[]> {
    const { listen, advertise, seeds, discovery } = this.#options;
    if (this.#host !== undefined || this.#closing !== undefined) {
      throw new ReplicaError("ERR_LISTEN", "this transport has served its replica; make a new one");
    }
    const guarded = this.#gate.open(host);
    this.#host = guarded;
    if (listen !== undefined) {
      this.#server = await this.#open(listen, guarded);
      if (this.#closing !== undefined) {
        await this.#closeServer();
        throw new ReplicaError("ERR_LISTEN", "the transport was closed meanwhile");
      }
    }
    this.#seeds = new Seeds({ fixed: seeds, discovery, warn: (message) => host.warn?.(message) });
    this.#seeds.open();
    return advertise ?? (this.address === undefined ? [] : [this.address]);
  }

  seeds(): Iterable<string> {
    return this.#seeds?.current() ?? this.#options.seeds ?? [];
  }

  async dial(address: string, signal: AbortSignal): Promise<Channel> {
    const target = targetOf(address, this.#options);
    if (typeof target === "string") throw optionError(target);
    const host = this.#host;
    if (host === undefined) throw new ReplicaError("ERR_CLOSED", "the transport is not open");
    if (this.#closing !== undefined) throw new ReplicaError("ERR_CLOSED", "the transport is closed");
    signal.throwIfAborted();
    const socket = this.#own(this.#connect(target));
    try {
      await this.#greet(socket, signal);
    } catch (error) {
      signal.throwIfAborted();
      throw dialError(address, error as Error);
    }
    return await this.#gate.dial(this.#adopt(socket, address, host), evidenceOf(socket), signal);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#seeds?.close();
    const closed = this.#closeServer();
    for (const socket of this.#greeting) socket.destroy();
    await Promise.all([...this.#channels].map((channel) => channel.finish()));
    // What never came as far as a greeting.
    await Promise.all([closed, ...[...this.#sockets].map(destroyed)]);
  }

  async #closeServer(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server !== undefined) await new Promise((resolve) => server.close(resolve));
  }

  async #open(listen: TcpListen, host: GuardedHost): Promise<Server> {
    const { tls } = this.#options;
    const isPath = "path" in listen;
    const server =
      tls === undefined || isPath
        ? createServer({ noDelay: true }, (socket) => void this.#accept(socket, host))
        : createTlsServer({ ...serverTls(tls), noDelay: true, handshakeTimeout: HANDSHAKE_MS_MAX }, (socket) =>
            this.#acceptTls(socket, host),
          );
    // With TLS these are the sockets below, which are there before a handshake is.
    server.on("connection", (socket: Socket) => this.#welcome(this.#own(socket), host));
    server.on("tlsClientError", (error: Error, { remoteAddress }: TLSSocket) => {
      host.refused?.("tls", `${remoteAddress ?? "?"}: ${explainTls(error) ?? error.message}`);
    });
    const where = isPath ? { path: listen.path } : { host: listen.host ?? "127.0.0.1", port: listen.port };
    try {
      await listening(server, where);
    } catch (error) {
      const isStale = isPath && (error as NodeJS.ErrnoException).code === "EADDRINUSE";
      if (!isStale || !(await removeStaleSocket(listen.path))) {
        throw listenError(
          isPath ? unixAddress(listen.path) : addressOf(tls, listen.host ?? "127.0.0.1", listen.port),
          error,
        );
      }
      await listening(server, where);
    }
    // A connection that could not be accepted (out of file descriptors) is the dialer's to try again.
    server.on("error", () => undefined);
    return server;
  }

  /** Bounds those who connect and say nothing. */
  #welcome(socket: Socket, host: GuardedHost): void {
    const { remoteAddress } = socket;
    // Who may connect to a unix socket, its directory decides.
    if (remoteAddress === undefined) return;
    const { lobby } = this.#gate;
    const turnAway = (reason: string, detail: string): void => {
      host.refused?.(reason, `${remoteAddress}: ${detail}`);
      socket.destroy();
    };
    if (!lobby.admits(remoteAddress)) return turnAway("too-fast", "this address connects too often");
    const leave = lobby.enter(remoteAddress, () => turnAway("too-many-handshakes", "it had to make room for others"));
    const key = keyOf(socket);
    this.#strangers.set(key, leave);
    socket.once("close", () => this.#letGo(key));
  }

  #letGo(key: string): void {
    this.#strangers.get(key)?.();
    this.#strangers.delete(key);
  }

  #acceptTls(socket: TLSSocket, host: GuardedHost): void {
    const refusal = isMutual(this.#options.tls) ? whyNotAuthorized(socket) : undefined;
    if (refusal === undefined) return void this.#accept(socket, host);
    host.refused?.("certificate", `${socket.remoteAddress ?? "?"}: ${refusal}`);
    refuse(socket, refusal);
  }

  /** Does not reject. */
  async #accept(socket: Socket, host: GuardedHost): Promise<void> {
    const { remoteAddress, remotePort } = socket;
    const remote = remoteAddress === undefined ? "unix socket" : `${inAddress(remoteAddress)}:${remotePort ?? 0}`;
    try {
      await this.#greet(socket);
    } catch (error) {
      host.refused?.("greeting", `${remote}: ${(error as Error).message}`);
      return;
    }
    this.#letGo(keyOf(socket));
    host.accept(this.#adopt(socket, remote, host), evidenceOf(socket));
  }

  async #greet(socket: Socket, signal?: AbortSignal): Promise<void> {
    this.#greeting.add(socket);
    try {
      await greet(socket, signal);
    } finally {
      this.#greeting.delete(socket);
    }
  }

  #connect(target: Target): Socket {
    if (!target.isEncrypted) return connectTcp({ ...target.where, noDelay: true });
    return connectTls({ ...target.where, ...clientTls(this.#options.tls ?? {}) }).setNoDelay();
  }

  #adopt(socket: Socket, remote: string, host: GuardedHost): StreamChannel {
    const { maxFrameBytes: ours, maxQueuedBytes = QUEUED_BYTES_MAX } = this.#options;
    const maxFrameBytes = ours === undefined ? host.maxFrameBytes : ours + this.#gate.overheadBytes;
    const onRefused = (detail: string): void => host.refused?.("bad-frame", `${remote}: ${detail}`);
    const channel = new StreamChannel(socket, { remote, maxFrameBytes, maxQueuedBytes, onRefused });
    this.#channels.add(channel);
    socket.once("close", () => this.#channels.delete(channel));
    // Closed while the greeting was on its way to us.
    if (this.#closing !== undefined) socket.destroy();
    return channel;
  }

  #own<S extends Socket>(socket: S): S {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    return socket;
  }
}

function keyOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress ?? ""} ${remotePort ?? 0}`;
}

/** What an `authenticate` hook may go by. */
function evidenceOf(socket: Socket): Evidence {
  return { address: socket.remoteAddress, certificate: certificateOf(socket) };
}

function checkOptions(options: TcpTransportOptions): void {
  onlyKeys("TcpTransport", options, ["listen", ...PEER_OPTIONS]);
  const { listen, tls } = options;
  if (tls !== undefined) checkTls(tls, isObject(listen) && "port" in listen);
  if (listen !== undefined) checkListen(listen, options);
  checkPeerOptions(options, "tcp://127.0.0.1:7001", (address) => {
    const target = targetOf(address, options);
    return typeof target === "string" ? target : undefined;
  });
}

function checkListen(listen: TcpListen, guard: Guard): void {
  if (!isObject(listen)) throw optionError("listen takes an object with host and port, or with path");
  if ("path" in listen) {
    onlyKeys("listen", listen, ["path"]);
    const refusal = whyNotSocketPath(listen.path);
    if (refusal !== undefined) throw optionError(`listen.path ${refusal}`);
    return;
  }
  onlyKeys("listen", listen, ["host", "port"]);
  checkPort(listen.port);
  const refusal = whyNotListen(listen.host ?? "127.0.0.1", guard);
  if (refusal !== undefined) throw optionError(refusal);
}

/** Where to connect. */
interface Target {
  readonly where: { readonly host: string; readonly port: number } | { readonly path: string };
  readonly isEncrypted: boolean;
}

/** Takes an address apart; a string says why this transport does not dial it. */
function targetOf(address: string, guard: Guard): Target | string {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url?.protocol === "unix:" && url.host === "" && url.search === "" && url.hash === "") {
    const path = decodePath(url.pathname);
    const refusal = whyNotSocketPath(path);
    return refusal === undefined ? { where: { path }, isEncrypted: false } : `${address}: the path ${refusal}`;
  }
  const isEncrypted = url?.protocol === "tls:";
  if (url === undefined || !(isEncrypted || url.protocol === "tcp:") || !isHostAndPort(url)) {
    return `${JSON.stringify(address)} is not an address of this transport: it dials tcp://host:port, tls://host:port and unix:///path`;
  }
  const host = hostOf(url);
  return whyNotDial(address, host, isEncrypted, guard) ?? { where: { host, port: Number(url.port) }, isEncrypted };
}

function isHostAndPort(url: URL): boolean {
  const rest = url.username + url.password + url.pathname + url.search + url.hash;
  return url.hostname !== "" && Number(url.port) > 0 && rest === "";
}

function addressOf(tls: TlsOptions | undefined, host: string, port: number): string {
  return `${tls === undefined ? "tcp" : "tls"}://${inAddress(host)}:${port}`;
}

/** Rejects with what the server fails with. */
function listening(server: Server, where: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(where, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

function destroyed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once("close", () => resolve());
    socket.destroy();
  });
}
