/** Visits every state that the actions of a scope lead to, each one once. */
import { createHash } from "node:crypto";
import type { OpenCore } from "./open-core.ts";
import { type Action, type Scope, World } from "./world.ts";

export interface Search {
  /** States that differ. */
  states: number;
  /** Steps that were taken, those to known states included. */
  steps: number;
  /** States in which nothing was under way: in each everything was healed, and had to converge. */
  quiet: number;
  /** States in which a tombstone has been collected. */
  collected: number;
  depth: number;
  /** Whether the search has seen everything, or was stopped by a bound. */
  exhausted: boolean;
  /** The actions that lead to what must not be, and what that is. */
  failure: { readonly actions: readonly Action[]; readonly message: string } | undefined;
}

export interface SearchOptions {
  readonly depthMax: number;
  readonly statesMax: number;
  readonly signal?: AbortSignal;
}

/** A state: the way to it, and what may happen there. */
interface Place {
  readonly way: readonly Action[];
  readonly actions: readonly Action[];
}

/** Breadth first, so that a failure comes by the shortest way. A state is kept as the way to it, and reached again by walking it. */
export function search(core: OpenCore, scope: Scope, { depthMax, statesMax, signal }: SearchOptions): Search {
  const result: Search = { states: 0, steps: 0, quiet: 0, collected: 0, depth: 0, exhausted: true, failure: undefined };
  const seen = new Set<string>();
  const start = new World(core, scope);
  let frontier: Place[] = [{ way: [], actions: start.actions() }];
  seen.add(hashOf(start));
  result.states = 1;
  while (frontier.length > 0) {
    const next: Place[] = [];
    for (const { way, actions } of frontier) {
      for (const action of actions) {
        if (seen.size >= statesMax || signal?.aborted === true) return { ...result, exhausted: false };
        const longer = [...way, action];
        result.steps += 1;
        try {
          const world = walked(core, scope, longer);
          const hash = hashOf(world);
          if (seen.has(hash)) continue;
          seen.add(hash);
          result.states = seen.size;
          next.push({ way: longer, actions: world.actions() });
          if (world.hasCollected) result.collected += 1;
          if (!world.isQuiet) continue;
          result.quiet += 1;
          world.settle();
        } catch (error) {
          const message = error instanceof Error ? error.message : String(error);
          return { ...result, depth: longer.length, exhausted: false, failure: { actions: longer, message } };
        }
      }
    }
    if (next.length > 0) result.depth += 1;
    frontier = next;
    if (result.depth >= depthMax && frontier.length > 0) return { ...result, exhausted: false };
  }
  return result;
}

function walked(core: OpenCore, scope: Scope, way: readonly Action[]): World {
  const world = new World(core, scope);
  for (const action of way) world.do(action);
  return world;
}

function hashOf(world: World): string {
  return createHash("sha1").update(world.fingerprint()).digest("base64");
}
