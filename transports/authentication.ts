/**
 * A secret, or a check of your own, for any transport, also one that you wrote: replicas that cannot prove that they
 * belong together do not get to talk. WebSocketTransport takes the same options itself.
 *
 * authentication.md says what this protects from, and from what it does not.
 */
import { ReplicaError } from "../src/errors.ts";
import type { Transport } from "../src/transport.ts";
import { type AuthenticationOptions, Gate } from "./authentication-gate.ts";

export type { Authenticate, AuthenticationOptions, Connection, Secret } from "./authentication-gate.ts";

/**
 * The same transport, over which only replicas with the secret reach each other, or such as the hook lets in. Both ends
 * of a connection need it, with a secret in common.
 *
 * With a secret the other end also has to be who it said it was at that moment, and each frame carries 16 bytes by which
 * one that was altered, repeated or forged on the way is noticed; it then closes the channel. Frames are not encrypted.
 *
 * @throws ReplicaError ERR_OPTION without a secret and a hook, and for a secret below 16 bytes
 */
export function authenticated(transport: Transport, options: AuthenticationOptions): Transport {
  const gate = new Gate(options);
  if (!gate.isGuarded) throw new ReplicaError("ERR_OPTION", "authenticated takes { secret }, { authenticate } or both");
  return {
    listen: (host) => transport.listen(gate.open(host)),
    seeds: () => transport.seeds(),
    dial: async (address, signal) => await gate.dial(await transport.dial(address, signal), {}, signal),
    close: () => transport.close(),
  };
}
