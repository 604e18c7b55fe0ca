/**
 * Where a transport finds out whom it talks to: nothing passes to the replica, or from it, before the other end has
 * proved that it may. One for each transport.
 */
import { randomBytes } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { Socket } from "node:net";
import type { PeerCertificate } from "node:tls";
import { ReplicaError } from "../src/errors.ts";
import type { Channel, TransportHost } from "../src/transport.ts";
import { isNodeId } from "../src/types.ts";
import { CHECK_BYTES, proveChannel } from "./authentication-channel.ts";
import { acceptorHandshake, dialerHandshake, NONCE_BYTES, refusalFrame } from "./authentication-handshake.ts";
import { Lobby } from "./authentication-lobby.ts";

/**
 * What all replicas of a cluster know and nobody else does: 16 bytes at least, better 32 random ones. Of several the
 * first is used to prove and all are accepted. A function is asked at every handshake, so that secrets can change while
 * the replica runs.
 */
export type Secret = string | readonly string[] | (() => string | readonly string[]);

/**
 * Decides about a connection, before anything else is said on it. Takes 5 seconds at most.
 *
 * @returns the nodeId that the other end has to be, `true` if it may be any, `false` to refuse it; to throw is to refuse
 */
export type Authenticate = (connection: Connection) => string | boolean | Promise<string | boolean>;

/** What is known of the other end. */
export interface Connection {
  /** Whether we dialed. */
  readonly dialed: boolean;
  /** The other end, for people. */
  readonly remote: string;
  /** Its IP address, of an accepted connection, where there is one. */
  readonly address?: string | undefined;
  /** Of the request that opened it, where there was one. */
  readonly headers?: IncomingHttpHeaders | undefined;
  /** Its certificate, only if TLS has found it valid. */
  readonly certificate?: PeerCertificate | undefined;
}

export interface AuthenticationOptions {
  readonly secret?: Secret | undefined;
  readonly authenticate?: Authenticate | undefined;
}

/** What is said to an address that connects more often than replicas do. */
export const TOO_FAST = "this address connects too often";

/** What a transport knows of a connection; the gate adds the rest. */
export type Evidence = Pick<Connection, "address" | "headers" | "certificate">;

/** A host that looks who is there before it takes over a channel. */
export interface GuardedHost extends TransportHost {
  accept(channel: Channel, evidence?: Evidence): void;
}

/** A handshake, and the answer of the hook, take no longer. */
const HANDSHAKE_MS_MAX = 5000;
const SECRET_BYTES_MIN = 16;
const SECRETS_MAX = 8;

export class Gate {
  /** Connections that have not shown yet who they are. */
  readonly lobby = new Lobby();
  readonly #options: AuthenticationOptions;
  #host: TransportHost | undefined;
  /** Sockets on which nothing has been said yet, by address and port: TLS puts another socket on the one below it. */
  readonly #silent = new Map<string, () => void>();

  /** @throws ReplicaError ERR_OPTION for a secret or hook that is none */
  constructor(options: AuthenticationOptions) {
    this.#options = options;
    if (options.secret !== undefined) secretsOf(options.secret);
    if (options.authenticate !== undefined && typeof options.authenticate !== "function") {
      throw new ReplicaError("ERR_OPTION", "authenticate takes a function");
    }
  }

  /** Whether the other end has to prove anything. */
  get isGuarded(): boolean {
    return this.#options.secret !== undefined || this.#options.authenticate !== undefined;
  }

  /** By how much a frame of the transport is longer than one of the library. */
  get overheadBytes(): number {
    return this.#options.secret === undefined ? 0 : CHECK_BYTES;
  }

  /** The host that the transport has to work with, in place of the replica's. */
  open(host: TransportHost): GuardedHost {
    this.#host = host;
    const maxFrameBytes = host.maxFrameBytes + this.overheadBytes;
    return { ...host, maxFrameBytes, accept: (channel, evidence = {}) => this.#accept(host, channel, evidence) };
  }

  /**
   * Bounds those who connect and say nothing, and those who connect too often: to be called with each connection that a
   * server of ours accepts. Of a unix socket there is nothing to say: who may connect to it, its directory decides.
   *
   * @returns whether it may stay
   */
  meet(socket: Socket): boolean {
    const { remoteAddress: address, remotePort } = socket;
    if (address === undefined) return true;
    const turnAway = (reason: string, text: string): void => {
      this.#host?.refused?.(reason, `${address}:${remotePort ?? 0}: ${text}`);
      socket.destroy();
    };
    if (!this.lobby.admits(address)) {
      turnAway("too-fast", TOO_FAST);
      return false;
    }
    // A socket that has closed does not know its address any more.
    const key = keyOf(socket);
    const leave = this.lobby.enter(address, () => turnAway("too-many-handshakes", "it had to make room for others"));
    this.#silent.set(key, leave);
    socket.once("close", () => this.#release(key));
    return true;
  }

  /** The connection has said what a dialer says: from now on a channel is made of it. Idempotent. */
  recognize(socket: Socket): void {
    this.#release(keyOf(socket));
  }

  /**
   * The channel to give to the library in place of the one that was dialed.
   * @throws ReplicaError ERR_AUTH if one of the two ends refuses the other; an Error if it closes before; the reason of
   *   `signal`. The channel is closed then
   */
  async dial(channel: Channel, evidence: Evidence, signal: AbortSignal): Promise<Channel> {
    if (!this.isGuarded) return channel;
    const host = this.#host;
    if (host === undefined) throw new ReplicaError("ERR_CLOSED", "the transport is not open");
    const outcome = await this.#check(host, channel, true, evidence, signal);
    signal.throwIfAborted();
    if (outcome.type === "let in") return outcome.channel;
    if (outcome.type === "lost") throw new Error(`cannot reach ${channel.remote}: ${outcome.reason}`);
    // The replica tells and counts what this rejects with.
    throw new ReplicaError("ERR_AUTH", textOf(outcome), { cause: outcome.reason });
  }

  #release(key: string): void {
    this.#silent.get(key)?.();
    this.#silent.delete(key);
  }

  #accept(host: TransportHost, channel: Channel, evidence: Evidence): void {
    if (!this.isGuarded) return host.accept(channel);
    const eviction = new AbortController();
    const leave = this.lobby.enter(evidence.address, () => {
      host.refused?.("too-many-handshakes", `${channel.remote} had to make room for others`);
      eviction.abort();
    });
    void this.#check(host, channel, false, evidence, eviction.signal).then((outcome) => {
      leave();
      if (outcome.type === "let in") host.accept(outcome.channel);
      else if (outcome.type === "refused") host.refused?.(outcome.reason, `${channel.remote}: ${remedyOf(outcome)}`);
    });
  }

  /** Never rejects. */
  async #check(
    host: TransportHost,
    channel: Channel,
    dialed: boolean,
    evidence: Evidence,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const remote = channel.remote;
    const refuse = (reason: string, why?: string): Outcome => {
      channel.send(refusalFrame(reason));
      channel.close();
      return { type: "refused", remote, reason, byPeer: false, why };
    };
    const answer = await this.#ask({ dialed, remote, ...evidence }, signal);
    if (signal.aborted) {
      channel.close();
      return { type: "lost", reason: "given up" };
    }
    if (answer.refused !== undefined) return refuse(answer.refused, answer.why);
    if (this.#options.secret === undefined) return { type: "let in", channel: named(channel, answer.nodeId) };
    let secrets: readonly [Uint8Array, ...Uint8Array[]];
    try {
      secrets = secretsOf(this.#options.secret);
    } catch (error) {
      return refuse("no-secret", error instanceof Error ? error.message : String(error));
    }
    const nonce = randomBytes(NONCE_BYTES);
    const outcome = await proveChannel(channel, {
      handshake: dialed ? dialerHandshake(host, secrets[0], nonce) : acceptorHandshake(host, secrets, nonce),
      maxFrameBytes: host.maxFrameBytes,
      deadlineMs: HANDSHAKE_MS_MAX,
      signal,
      onAltered: () => host.refused?.("altered-frame", `${remote}: ${REMEDIES["altered-frame"] ?? ""}`),
    });
    if (outcome.type === "refused") return { ...outcome, remote };
    if (outcome.type === "lost") return outcome;
    if (answer.nodeId !== undefined && answer.nodeId !== outcome.peer) {
      outcome.channel.close();
      const why = `"${outcome.peer}" came with what belongs to "${answer.nodeId}"`;
      return { type: "refused", remote, reason: "wrong-node", byPeer: false, why };
    }
    return { type: "let in", channel: outcome.channel };
  }

  /** What the hook says; without one, that anybody may come. */
  async #ask(connection: Connection, signal: AbortSignal): Promise<Answer> {
    const { authenticate } = this.#options;
    if (authenticate === undefined) return {};
    const timeout = AbortSignal.timeout(HANDSHAKE_MS_MAX);
    let stop = (): void => undefined;
    const ended = new Promise<Answer>((resolve) => {
      stop = () => resolve({ refused: "timeout" });
      for (const either of [signal, timeout]) either.addEventListener("abort", stop);
    });
    try {
      return await Promise.race([answerOf(authenticate, connection), ended]);
    } finally {
      for (const either of [signal, timeout]) either.removeEventListener("abort", stop);
    }
  }
}

/**
 * The bytes of the secrets, the one to prove with first.
 * @throws ReplicaError ERR_OPTION; the message does not show them
 */
export function secretsOf(secret: Secret): readonly [Uint8Array, ...Uint8Array[]] {
  const given: unknown = typeof secret === "function" ? secret() : secret;
  const list: readonly unknown[] = Array.isArray(given) ? given : [given];
  const isSecret = (item: unknown): item is string =>
    typeof item === "string" && Buffer.byteLength(item) >= SECRET_BYTES_MIN;
  if (list.length > SECRETS_MAX || !list.every(isSecret)) throw noSecret();
  const [first, ...rest] = list.map((item) => Buffer.from(item));
  if (first === undefined) throw noSecret();
  return [first, ...rest];
}

type Refused = {
  readonly type: "refused";
  readonly remote: string;
  readonly reason: string;
  readonly byPeer: boolean;
  /** In place of the remedy that belongs to the reason. */
  readonly why?: string | undefined;
};

type Outcome =
  | { readonly type: "let in"; readonly channel: Channel }
  | { readonly type: "lost"; readonly reason: string }
  | Refused;

interface Answer {
  readonly nodeId?: string | undefined;
  /** Why not. */
  readonly refused?: string;
  readonly why?: string | undefined;
}

const SAME_SECRET = "give both replicas the same secret";
/** By reason: what a person has to do. */
const REMEDIES: Readonly<Record<string, string>> = {
  "no-secret": `one of the two has a secret and the other has none; ${SAME_SECRET}`,
  "wrong-secret": `the two have different secrets; ${SAME_SECRET}, and when you change it, add the new one everywhere before any replica puts it first`,
  "cluster-mismatch": "it knows the secret and has another clusterId; give both the same",
  malformed: "what came is no handshake of this version of the library",
  timeout: `nothing was proved within ${HANDSHAKE_MS_MAX / 1000} s`,
  "not-allowed": "the `authenticate` hook does not let it in",
  "altered-frame": "a frame was altered, repeated or lost on the way",
};

function remedyOf({ reason, byPeer, why }: Refused): string {
  return why ?? REMEDIES[reason] ?? (byPeer ? "the other end gives no reason that we know" : reason);
}

/** For the side that dialed: who refused whom is news to it. */
function textOf(refused: Refused): string {
  const { remote, reason, byPeer } = refused;
  return `${byPeer ? `${remote} refuses us` : `refused ${remote}`} (${reason}): ${remedyOf(refused)}`;
}

function keyOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress ?? ""} ${remotePort ?? 0}`;
}

async function answerOf(authenticate: Authenticate, connection: Connection): Promise<Answer> {
  try {
    const answer = await authenticate(connection);
    if (answer === true) return {};
    if (typeof answer === "string" && isNodeId(answer)) return { nodeId: answer };
    if (answer === false) return { refused: "not-allowed" };
    return { refused: "not-allowed", why: "the `authenticate` hook has returned neither a nodeId nor true nor false" };
  } catch (error) {
    return { refused: "not-allowed", why: `the \`authenticate\` hook has thrown: ${String(error)}` };
  }
}

/** The same channel, with the name that the other end has to have. */
function named(channel: Channel, peerNodeId: string | undefined): Channel {
  if (peerNodeId === undefined) return channel;
  return {
    remote: channel.remote,
    peerNodeId,
    start: (receiver) => channel.start(receiver),
    send: (frame) => channel.send(frame),
    close: () => channel.close(),
  };
}

function noSecret(): ReplicaError {
  return new ReplicaError(
    "ERR_OPTION",
    `secret takes a string of ${SECRET_BYTES_MIN} bytes at least, or 1 to ${SECRETS_MAX} of them; make one with: ` +
      `node -p "require('node:crypto').randomBytes(32).toString('base64url')"`,
  );
}
