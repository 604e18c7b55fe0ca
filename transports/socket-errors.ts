/** What the operating system says when sockets fail, as what to do about it. */
import { isReplicaError, ReplicaError } from "../src/errors.ts";
import { explainTls } from "./tls.ts";

/** Of a server that cannot listen at `address`. */
export function listenError(address: string, cause: unknown): ReplicaError {
  const { code = "", message } = cause as NodeJS.ErrnoException;
  const isPath = address.startsWith("unix:");
  const why = (isPath ? PATH_REMEDIES : PORT_REMEDIES).get(code) ?? message;
  return new ReplicaError("ERR_LISTEN", `cannot listen on ${address}: ${why}`, { cause });
}

/**
 * Of a dial that failed. ERR_AUTH where somebody has to change something (a certificate); a plain error where trying
 * again may help.
 */
export function dialError(address: string, cause: Error): Error {
  if (isReplicaError(cause))
    return new ReplicaError(cause.code, `cannot reach ${address}: ${cause.message}`, { cause });
  const tls = explainTls(cause);
  if (tls !== undefined) return new ReplicaError("ERR_AUTH", `cannot reach ${address}: ${tls}`, { cause });
  const why = DIAL_REASONS.get((cause as NodeJS.ErrnoException).code ?? "") ?? cause.message;
  return new Error(`cannot reach ${address}: ${why}`, { cause });
}

const PORT_REMEDIES: ReadonlyMap<string, string> = new Map([
  ["EADDRINUSE", "the port is in use: stop the process that has it, or choose another (0 picks a free one)"],
  ["EACCES", "the port is reserved: choose one above 1023"],
  ["EADDRNOTAVAIL", "this machine does not have that address: use 127.0.0.1"],
  ["ENOTFOUND", "that name does not resolve: use 127.0.0.1"],
]);

const PATH_REMEDIES: ReadonlyMap<string, string> = new Map([
  ["EADDRINUSE", "something is there already: stop the process that listens on it, or choose another path"],
  // Node.js says the same in both cases.
  ["EACCES", "its directory does not exist, or this process may not make files in it"],
]);

const DIAL_REASONS: ReadonlyMap<string, string> = new Map([
  ["ECONNREFUSED", "nobody listens there"],
  ["ENOENT", "there is no such socket"],
  ["ENOTFOUND", "the name does not resolve"],
  ["EAI_AGAIN", "the name server does not answer"],
  ["EHOSTUNREACH", "there is no route to the host"],
  ["ENETUNREACH", "there is no route to the network"],
  ["ETIMEDOUT", "no answer"],
  ["ECONNRESET", "the other end broke the connection off"],
]);
