/** Durability by hand: what a user asks of the directory. */
import type { CoreState } from "./core/core-state.ts";
import type { Driver } from "./driver.ts";
import { ReplicaError } from "./errors.ts";
import type { VerifyReport } from "./storage/maintenance.ts";
import type { Store } from "./storage/store.ts";

/** See the members of `Replica` with these names. */
export class Upkeep {
  readonly #state: CoreState;
  readonly #driver: Driver;
  readonly #store: Store | undefined;

  constructor({ state, driver, store }: { state: CoreState; driver: Driver; store: Store | undefined }) {
    this.#state = state;
    this.#driver = driver;
    this.#store = store;
  }

  async flush(): Promise<void> {
    await this.#driver.durable(this.#state.lsn, undefined);
    await this.#store?.flush();
  }

  async checkpoint(): Promise<void> {
    await this.#store?.checkpoint();
  }

  async verify(): Promise<VerifyReport> {
    if (this.#store === undefined) return { ok: true, problems: [], entries: this.#state.table.live, bytes: 0 };
    await this.#driver.durable(this.#state.lsn, undefined);
    return await this.#store.verify();
  }

  async backup(path: string): Promise<void> {
    if (typeof path !== "string" || path === "") throw new ReplicaError("ERR_OPTION", "backup takes a path");
    if (this.#store === undefined) throw new ReplicaError("ERR_OPTION", "a replica without a directory has no backup");
    await this.#driver.durable(this.#state.lsn, undefined);
    await this.#store.backup(path);
  }
}
