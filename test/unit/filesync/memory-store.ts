import type { Store, StoreOperation } from "../../../demo/filesync/file-store.ts";

/** A replica for tests: takes writes at once, as the real one does, and counts those of this side. */
export class MemoryStore implements Store {
  writes = 0;
  /** `put KEY` and `del KEY`, in order. */
  readonly log: string[] = [];
  /** Runs before a put of this side resolves. */
  beforeResolve?: () => Promise<void>;
  readonly data = new Map<string, { value: unknown; version: string; nodeId: string }>();
  #version = 0;

  get(key: string): unknown {
    return this.data.get(key)?.value;
  }
  has(key: string): boolean {
    return this.data.has(key);
  }
  entry(key: string) {
    return this.data.get(key);
  }
  *entries({ prefix }: { prefix: string }): Generator<readonly [string, unknown]> {
    for (const key of this.keys({ prefix })) yield [key, this.get(key)];
  }
  *keys({ prefix, limit = Infinity }: { prefix: string; limit?: number }): Generator<string> {
    yield* Array.from(this.data.keys(), String)
      .filter((key) => key.startsWith(prefix))
      .sort()
      .slice(0, limit);
  }
  async put(key: string, value: unknown): Promise<void> {
    await this.batch([{ type: "put", key, value }]);
    await this.beforeResolve?.();
  }
  async delete(key: string): Promise<void> {
    await this.batch([{ type: "del", key }]);
  }
  async batch(operations: readonly StoreOperation[], nodeId = "self"): Promise<void> {
    if (nodeId === "self") this.writes += 1;
    for (const operation of operations) {
      this.log.push(`${operation.type} ${operation.key}`);
      if (operation.type === "del") this.data.delete(operation.key);
      else {
        const value = structuredClone(operation.value);
        this.data.set(operation.key, { value, version: String(++this.#version), nodeId });
      }
    }
  }
}
