/** The option `admit` on its way to the replicator: entries decoded for it, its errors and its misuse kept out. */
import { decodeKey } from "../codec/keys.ts";
import { decodeValue } from "../codec/values.ts";
import { ReplicaError } from "../errors.ts";
import type { Admit } from "../options.ts";
import { type Entry, type NodeId, nodeIdOf } from "../types.ts";

export class AdmitHook {
  readonly #admit: Admit;
  readonly #onError: (error: unknown) => void;
  #isAsking = false;

  /** @param onError  told what `admit` has thrown about a write of a peer */
  constructor(admit: Admit, onError: (error: unknown) => void) {
    this.#admit = admit;
    this.#onError = onError;
  }

  /** Whether the entry may enter. Throws what `admit` throws about a local write; of a peer's, that is a no. */
  ask(entry: Entry, peer: NodeId | undefined): boolean {
    const { key, value, origin, expiresAt } = entry;
    const shown = {
      key: decodeKey(key),
      value: value === null ? undefined : decodeValue(value),
      nodeId: nodeIdOf(origin),
      ...(expiresAt > 0 ? { expiresAt } : {}),
    };
    this.#isAsking = true;
    try {
      return this.#admit(shown, peer);
    } catch (error) {
      if (peer === undefined) throw error;
      this.#onError(error);
      return false;
    } finally {
      this.#isAsking = false;
    }
  }

  /** It is asked in the midst of a change of the store. @throws ReplicaError ERR_OPTION */
  assertIdle(): void {
    if (this.#isAsking) throw new ReplicaError("ERR_OPTION", "admit must not write: it answers, and nothing else");
  }
}
