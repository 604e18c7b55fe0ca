/** The conflicts that a replica has told of since its page was opened to the world: the newest ones, and a count. */
import type { Replica } from "../replica.ts";
import { conflictView } from "./view.ts";
import type { ConflictView } from "./wire.ts";

const CONFLICTS_KEPT_MAX = 100;

export class Conflicts {
  readonly #stop: () => void;
  #newest: ConflictView[] = [];
  #total = 0;

  constructor(replica: Replica) {
    this.#stop = replica.on("conflict", (conflict) => {
      this.#total += 1;
      this.#newest = [conflictView(conflict), ...this.#newest.slice(0, CONFLICTS_KEPT_MAX - 1)];
    });
  }

  get total(): number {
    return this.#total;
  }

  newest(): readonly ConflictView[] {
    return this.#newest;
  }

  close(): void {
    this.#stop();
  }
}
