/** Checks of what is given to `openReplica` and to the members of a replica: the error names the option and what it takes. */
import { ReplicaError } from "./errors.ts";
import { PEERS_MAX } from "./limits.ts";

const TTL_MS_MAX = 2 ** 45;
/** What a timer of Node.js can wait. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

/** @throws ReplicaError ERR_OPTION if `options` is no object or has a field that is not in `names` */
export function knownFields(options: unknown, names: readonly string[], what: string): void {
  if (typeof options !== "object" || options === null) throw new ReplicaError("ERR_OPTION", `${what} takes an object`);
  for (const name of Object.keys(options)) {
    if (names.includes(name)) continue;
    throw new ReplicaError("ERR_OPTION", `${what} has no option "${name}"; it has ${names.join(", ")}`);
  }
}

/** @throws ReplicaError ERR_OPTION */
export function checkFlag(name: string, value: unknown): void {
  if (typeof value !== "boolean") throw optionError(name, "true or false");
}

/** How many replicas are to hold a write. @throws ReplicaError ERR_OPTION */
export function checkAcks(acks: unknown): void {
  if (acks !== undefined) inRange("acks", acks, 1, PEERS_MAX);
}

/** @throws ReplicaError ERR_OPTION */
export function checkIfVersion(ifVersion: unknown): void {
  if (ifVersion !== undefined && ifVersion !== null && typeof ifVersion !== "string") {
    throw optionError("ifVersion", "a version, or null for a key that must be absent");
  }
}

/** @throws ReplicaError ERR_OPTION */
export function checkSignal(signal: unknown): void {
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw optionError("signal", "an AbortSignal");
}

/** The deadline of a call, milliseconds; `undefined`: none. @throws ReplicaError ERR_OPTION */
export function checkTimeout(timeoutMs: unknown): asserts timeoutMs is number | undefined {
  if (timeoutMs !== undefined) inRange("timeoutMs", timeoutMs, 0, TIMEOUT_MS_MAX);
}

/** The moment at which an entry written `now` expires; 0: never. */
export function expiryOf(ttlMs: unknown, now: number): number {
  if (ttlMs === undefined) return 0;
  if (typeof ttlMs !== "number" || !(ttlMs > 0 && ttlMs <= TTL_MS_MAX)) {
    throw optionError("ttlMs", "a number above 0, at most 2^45");
  }
  return Math.ceil(now + ttlMs);
}

/** A whole number, both bounds included. @throws ReplicaError ERR_OPTION */
export function inRange(name: string, value: unknown, least: number, most: number): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < least || value > most) {
    throw optionError(name, `a whole number from ${least} to ${most}`);
  }
  return value;
}

export function optionError(name: string, takes: string): ReplicaError {
  return new ReplicaError("ERR_OPTION", `${name} takes ${takes}`);
}

/** What a call that may not throw makes of an error. Handed on as it is, for a getter of a value may throw anything. */
export async function rejection(error: unknown): Promise<never> {
  throw error;
}
