/** What the options of all transports have in common: how they are checked, and who may be let near. */
import { isIP, isIPv4 } from "node:net";
import { ReplicaError } from "../src/errors.ts";
import type { AuthenticationOptions } from "./authentication-gate.ts";
import type { Discovery } from "./discovery.ts";
import type { TlsOptions } from "./tls.ts";

/** Options that mean the same in every transport that reaches other processes. */
export interface PeerOptions extends AuthenticationOptions {
  /** Addresses to dial before any replica is known. One is enough to find everybody. */
  readonly seeds?: readonly string[];
  /** Asked again and again for more such addresses: see `wavekv/discovery`. */
  readonly discovery?: Discovery;
  /** The addresses under which others dial this replica. Default: where it listens. */
  readonly advertise?: readonly string[];
  /** Frames above this close the channel. Default: what the library sends at most, 16 MiB. */
  readonly maxFrameBytes?: number;
  /** What may wait to be sent to one replica; a channel with more is closed, and dialed again. Default 64 MiB. */
  readonly maxQueuedBytes?: number;
  /** Listens with TLS, and says who we are where we dial with TLS. */
  readonly tls?: TlsOptions;
}

export const PEER_OPTIONS = [
  "seeds",
  "discovery",
  "advertise",
  "maxFrameBytes",
  "maxQueuedBytes",
  "tls",
  "secret",
  "authenticate",
] as const;

/**
 * More than the library ever has under way to a replica that reads (a batch of 32 MiB behind a window of 4 MiB), so
 * that only one that does not read meets it.
 */
export const QUEUED_BYTES_MAX = 64 * 1024 * 1024;

/**
 * @param whyNotDialable  an address in, and out why this transport cannot dial it, if so
 * @throws ReplicaError ERR_OPTION
 */
export function checkPeerOptions(
  options: PeerOptions,
  example: string,
  whyNotDialable: (address: string) => string | undefined,
): void {
  const { seeds = [], advertise = [], discovery, maxFrameBytes, maxQueuedBytes } = options;
  if (!isStrings(seeds) || !isStrings(advertise)) {
    throw optionError(`seeds and advertise are arrays of addresses: [${JSON.stringify(example)}]`);
  }
  for (const address of [...seeds, ...advertise]) {
    const refusal = whyNotDialable(address);
    if (refusal !== undefined) throw optionError(refusal);
  }
  if (discovery !== undefined && !(isObject(discovery) && typeof discovery.addresses === "function")) {
    throw optionError("discovery is an object with a method addresses(signal), see wavekv/discovery");
  }
  for (const [name, value] of Object.entries({ maxFrameBytes, maxQueuedBytes })) {
    if (value !== undefined && !(Number.isSafeInteger(value) && value > 0)) {
      throw optionError(`${name} must be a positive integer: got ${String(value)}`);
    }
  }
}

/** @throws ReplicaError ERR_OPTION unless `value` is an object with no other keys */
export function onlyKeys(what: string, value: object, known: readonly string[]): void {
  if (!isObject(value)) throw optionError(`${what} takes an object with ${known.join(", ")}`);
  const unknown = Object.keys(value).find((key) => !known.includes(key));
  if (unknown !== undefined) throw optionError(`${what} has no option "${unknown}": it takes ${known.join(", ")}`);
}

/** @throws ReplicaError ERR_OPTION unless `port` can be listened at; 0 is any that is free */
export function checkPort(port: unknown): void {
  if (typeof port === "number" && Number.isInteger(port) && port >= 0 && port <= 65_535) return;
  throw optionError(`listen.port must be an integer from 0 to 65535: got ${String(port)}`);
}

export function optionError(message: string): ReplicaError {
  return new ReplicaError("ERR_OPTION", message);
}

export function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/** Whether only this machine can reach `host`, or be reached by it. Names count as other machines, save "localhost". */
export function isLoopback(host: string): boolean {
  const v4 = host.replace(/^::ffff:/i, "");
  return host === "localhost" || host === "::1" || (isIPv4(v4) && v4.startsWith("127."));
}

/** The host of a URL, as `connect` takes it. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, "");
}

/** `host` as part of an address. */
export function inAddress(host: string): string {
  return isIP(host) === 6 ? `[${host}]` : host;
}

/** The host at which a server can be dialed. One on every interface is reached on the loopback one. */
export function dialableHost(bound: string): string {
  return bound === "::" || bound === "0.0.0.0" ? "127.0.0.1" : bound;
}

export function isStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}
