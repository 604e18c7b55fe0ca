/** Listeners of a replica: called in order, isolated from each other. */
import type { Status } from "./status.ts";
import type { ChangeEvent } from "./watchers.ts";

/** `up`: a session has begun; `live`: it has brought everything that the peer had; `down`: it has ended. */
export interface PeerEvent {
  readonly type: "up" | "live" | "down";
  readonly nodeId: string;
}

interface HookArguments {
  change: ChangeEvent;
  peer: PeerEvent;
  status: Status;
  warning: string;
}

export type HookName = keyof HookArguments;

interface Hook {
  readonly call: (argument: never) => void;
  readonly onError: (error: unknown) => void;
}

export class Hooks {
  readonly #hooks = new Map<HookName, Set<Hook>>();

  add(name: HookName, call: (argument: never) => void, onError: (error: unknown) => void): () => void {
    const hooks = this.#hooks.get(name) ?? new Set();
    const hook = { call, onError };
    hooks.add(hook);
    this.#hooks.set(name, hooks);
    return () => {
      hooks.delete(hook);
    };
  }

  has(name: HookName): boolean {
    return (this.#hooks.get(name)?.size ?? 0) > 0;
  }

  emit<Name extends HookName>(name: Name, argument: HookArguments[Name]): void {
    for (const { call, onError } of this.#hooks.get(name) ?? []) {
      try {
        call(argument as never);
      } catch (error) {
        onError(error);
      }
    }
  }

  clear(): void {
    this.#hooks.clear();
  }
}
