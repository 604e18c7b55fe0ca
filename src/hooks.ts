/** Listeners of a replica: called in order, isolated from each other. */

import type { Version } from "./data/versions.ts";
import { ReplicaError } from "./errors.ts";
import type { Status } from "./status.ts";
import type { ChangeEvent } from "./watch/watch-events.ts";

/** `up`: a session has begun; `live`: it has brought everything that the peer had; `down`: it has ended. */
export interface PeerEvent {
  readonly type: "up" | "live" | "down";
  readonly nodeId: string;
}

/** A version of a key that took part in a conflict. */
export interface ConflictSide {
  /** Absent: a delete. */
  readonly value?: unknown;
  readonly version: Version;
  readonly stamp: number;
  /** Who wrote it. */
  readonly nodeId: string;
  /** Milliseconds since 1970. Absent: never. */
  readonly expiresAt?: number;
}

/** `winner` has replaced `loser`, and its author had not seen `loser` when it wrote. */
export interface ConflictEvent {
  readonly key: string;
  readonly winner: ConflictSide;
  readonly loser: ConflictSide;
}

interface HookArguments {
  change: ChangeEvent;
  conflict: ConflictEvent;
  peer: PeerEvent;
  status: Status;
  warning: string;
}

export type HookName = keyof HookArguments;

const HOOK_NAMES: readonly string[] = ["change", "conflict", "peer", "status", "warning"] satisfies HookName[];

interface Hook {
  /** May return a promise: an async function is a listener too. */
  readonly call: (argument: never) => unknown;
}

export class Hooks {
  readonly #hooks = new Map<HookName, Set<Hook>>();
  readonly #onError: (name: HookName, error: unknown) => void;

  /** @param onError  told what a listener has thrown, or what the promise that it returned rejected with */
  constructor(onError: (name: HookName, error: unknown) => void) {
    this.#onError = onError;
  }

  /** @returns stops it. @throws ReplicaError ERR_OPTION */
  add(name: HookName, call: (argument: never) => unknown): () => void {
    if (!HOOK_NAMES.includes(name)) {
      throw new ReplicaError("ERR_OPTION", `on takes one of ${HOOK_NAMES.join(", ")}, not "${name}"`);
    }
    if (typeof call !== "function") throw new ReplicaError("ERR_OPTION", `on("${name}") takes a function`);
    const hooks = this.#hooks.get(name) ?? new Set();
    const hook = { call };
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
    const hooks = this.#hooks.get(name);
    if (hooks === undefined) return;
    // A copy: listeners may add and remove listeners.
    for (const hook of [...hooks]) {
      if (!hooks.has(hook)) continue;
      try {
        const result = hook.call(argument as never);
        if (result instanceof Promise) {
          result.catch((error: unknown) => {
            this.#onError(name, error);
          });
        }
      } catch (error) {
        this.#onError(name, error);
      }
    }
  }

  clear(): void {
    for (const hooks of this.#hooks.values()) hooks.clear();
  }
}
