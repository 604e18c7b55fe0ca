/**
 * Replicas over byte streams: TCP, TLS and unix sockets, with addresses `tcp://host:port`, `tls://host:port` and
 * `unix:///path`. Both ends begin with a greeting, so that a port with somebody else behind it is told apart from a
 * replica, and a TLS server that refuses our certificate from one that has taken it; frames follow.
 */
import { connect as connectTcp, type Server, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { ReplicaError } from "../src/errors.ts";
import type { Channel, Transport, TransportHost } from "../src/transport.ts";
import { type Evidence, Gate, type GuardedHost } from "./authentication-gate.ts";
import { greet } from "./greeting.ts";
import { dialableHost, inAddress, optionError, QUEUED_BYTES_MAX } from "./options.ts";
import { Seeds } from "./seeds.ts";
import { dialError } from "./socket-errors.ts";
import { StreamChannel, type StreamChannelOptions } from "./stream-channel.ts";
import {
  addressOf,
  checkTcpOptions,
  type Target,
  type TcpListen,
  type TcpTransportOptions,
  targetOf,
} from "./tcp-options.ts";
import { openTcpServer } from "./tcp-server.ts";
import { certificateOf, clientTls } from "./tls.ts";
import { unixAddress } from "./unix-sockets.ts";

export type { PeerOptions } from "./options.ts";
export type { TcpListen, TcpTransportOptions } from "./tcp-options.ts";
export type { Pem, TlsOptions } from "./tls.ts";
export { StreamChannel, type StreamChannelOptions };

export class TcpTransport implements Transport {
  readonly #options: TcpTransportOptions;
  readonly #channels = new Set<StreamChannel>();
  /** Every socket that is open, whatever it has come to. */
  readonly #sockets = new Set<Socket>();
  readonly #greeting = new Set<Socket>();
  #seeds: Seeds | undefined;
  #server: Server | undefined;
  readonly #gate: Gate;
  #host: GuardedHost | undefined;
  #closing: Promise<void> | undefined;

  /** @throws ReplicaError ERR_OPTION for an unknown option, an address that is none, and what strangers could reach */
  constructor(options: TcpTransportOptions = {}) {
    checkTcpOptions(options);
    this.#options = options;
    this.#gate = new Gate(options);
  }

  /** Where this replica can be dialed: `tcp://127.0.0.1:7001`. Undefined while, or when, it does not listen. */
  get address(): string | undefined {
    const bound = this.#server?.address();
    if (bound === null || bound === undefined) return undefined;
    if (typeof bound === "string") return unixAddress(bound);
    return addressOf({ host: dialableHost(bound.address), port: bound.port }, this.#options.tls);
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
    await Promise.all([closed, ...[...this.#sockets].map(gone)]);
  }

  async #closeServer(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server !== undefined) await new Promise((resolve) => server.close(resolve));
  }

  #open(listen: TcpListen, host: GuardedHost): Promise<Server> {
    return openTcpServer({
      listen,
      tls: this.#options.tls,
      admit: (socket) => this.#gate.meet(this.#own(socket)),
      accept: (socket) => void this.#accept(socket, host),
      onRefused: (reason, socket, detail) => host.refused?.(reason, `${remoteOf(socket)}: ${detail}`),
    });
  }

  /** Does not reject. */
  async #accept(socket: Socket, host: GuardedHost): Promise<void> {
    const remote = remoteOf(socket);
    try {
      await this.#greet(socket);
    } catch (error) {
      host.refused?.("greeting", `${remote}: ${(error as Error).message}`);
      return;
    }
    this.#gate.recognize(socket);
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

/** What an `authenticate` hook may go by. */
function evidenceOf(socket: Socket): Evidence {
  return { address: socket.remoteAddress, certificate: certificateOf(socket) };
}

function remoteOf({ remoteAddress, remotePort, destroyed }: Socket): string {
  if (remoteAddress !== undefined) return `${inAddress(remoteAddress)}:${remotePort ?? 0}`;
  return destroyed ? "somebody who is gone" : "a unix socket";
}

function gone(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once("close", () => resolve());
    socket.destroy();
  });
}
