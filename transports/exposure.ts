/**
 * Who may get near: nothing leaves this machine, and nothing is let in from another one, unless something keeps
 * strangers out. Checked when a transport is made, and again for each address that is dialed. authentication.md has
 * the reasons.
 */
import type { AuthenticationOptions } from "./authentication-gate.ts";
import { isLoopback } from "./options.ts";
import { isMutual, type TlsOptions } from "./tls.ts";

/** What keeps strangers out. */
export interface Guard extends AuthenticationOptions {
  readonly tls?: TlsOptions | undefined;
}

const REMEDY =
  "give all replicas the same `secret`, or `tls` with ca, cert and key of your own authority (mutual TLS), " +
  "or a check of your own with `authenticate`; or stay on 127.0.0.1, with a tunnel between the machines";

/** Why this replica does not listen on `host`; undefined if it does. */
export function whyNotListen(host: string, guard: Guard): string | undefined {
  if (isLoopback(host) || isMutual(guard.tls) || provesItself(guard)) return undefined;
  return `listen.host ${JSON.stringify(host)} would let other machines in, and nothing would keep strangers out: ${REMEDY}`;
}

/**
 * Why this replica does not dial `address`, which is at `host`; undefined if it does. With TLS the other end shows who
 * it is, by a certificate.
 */
export function whyNotDial(address: string, host: string, isEncrypted: boolean, guard: Guard): string | undefined {
  if (isLoopback(host) || isEncrypted || provesItself(guard)) return undefined;
  return `${address} is on another machine, and in plain text nobody proves who they are: ${REMEDY}`;
}

function provesItself({ secret, authenticate }: Guard): boolean {
  return secret !== undefined || authenticate !== undefined;
}
