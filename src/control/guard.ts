/** Who may ask a replica something over its control interface, and who is sent away. CONTROL.md has the whole of it. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";

/** Why a request is refused: an HTTP status, and a sentence that says what to do. */
export interface Refusal {
  readonly status: 401 | 403;
  readonly message: string;
}

const LOOPBACK_HOSTS = /^(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?$/i;

/**
 * Refuses what a browser sends on behalf of a page, and names that merely resolve to this machine: a page from
 * elsewhere must not reach a replica through the browser of somebody who works here.
 */
export function foreign({ headers }: IncomingMessage, isSocket: boolean): Refusal | undefined {
  const site = headers["sec-fetch-site"];
  if (headers.origin !== undefined || (site !== undefined && site !== "none" && site !== "same-origin")) {
    return { status: 403, message: "requests of web pages are not answered" };
  }
  if (!isSocket && !LOOPBACK_HOSTS.test(headers.host ?? "")) {
    return { status: 403, message: "use the address 127.0.0.1, localhost or [::1]" };
  }
  return undefined;
}

/**
 * As `foreign`, for a page of ours that runs scripts: what it asks for itself comes with its own origin, which is where it
 * was loaded from, and everybody else's is refused. The host is checked first, or a name that resolves here would be
 * an origin of its own.
 */
export function foreignToPage({ headers }: IncomingMessage): Refusal | undefined {
  const { host = "", origin } = headers;
  if (!LOOPBACK_HOSTS.test(host)) return { status: 403, message: "use the address 127.0.0.1, localhost or [::1]" };
  const site = headers["sec-fetch-site"];
  const isForeignOrigin = origin !== undefined && origin.toLowerCase() !== `http://${host.toLowerCase()}`;
  if (isForeignOrigin || (site !== undefined && site !== "none" && site !== "same-origin")) {
    return { status: 403, message: "requests of other web pages are not answered" };
  }
  return undefined;
}

/** On a TCP port every user of this machine can ask: for the data they need the token. */
export function unauthorized(
  { headers }: IncomingMessage,
  token: string,
  remedy = 'send "Authorization: Bearer" and what control.token has',
): Refusal | undefined {
  const [, given] = /^Bearer (\S+)$/i.exec(headers.authorization ?? "") ?? [];
  if (given !== undefined && timingSafeEqual(digest(given), digest(token))) return undefined;
  return { status: 401, message: `the token is missing or wrong: ${remedy}` };
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
