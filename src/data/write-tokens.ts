/** Write tokens: the name of a write, for another process to wait for. */
import { ReplicaError } from "../errors.ts";
import { type Origin, parseOrigin, type Seq } from "../types.ts";

/** Names a write, and with it all earlier ones of its replica: opaque, may travel to another process. */
export type WriteToken = string;

export function tokenOf(origin: Origin, seq: Seq): WriteToken {
  return `${seq.toString(36)}.${origin}`;
}

/** @throws ReplicaError ERR_OPTION if no replica has made this token */
export function parseToken(token: unknown): { origin: Origin; seq: Seq } {
  if (typeof token === "string") {
    const dot = token.indexOf(".");
    const origin = parseOrigin(token.slice(dot + 1));
    const seq = Number.parseInt(token.slice(0, dot), 36);
    if (origin !== undefined && Number.isSafeInteger(seq) && seq >= 0 && tokenOf(origin, seq) === token)
      return { origin, seq };
  }
  throw new ReplicaError("ERR_OPTION", "a token is what put, delete, batch or clear resolved with");
}
