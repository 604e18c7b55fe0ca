import type { Store } from "./store.ts";

/** Keys in one sorted array, values beside them: the limit of scans. Filled once; knows no `put` behind the first scan. */
export class SortedArray implements Store {
  readonly #map = new Map<string, string>();
  #keys: string[] = [];
  #values: string[] = [];

  put(key: string, value: unknown): undefined {
    this.#map.set(key, value as string);
  }

  get(key: string): string | undefined {
    return this.#map.get(key);
  }

  scan(from: string, rows: number): number {
    if (this.#keys.length === 0) {
      this.#keys = [...this.#map.keys()].sort();
      this.#values = this.#keys.map((key) => this.#map.get(key) ?? "");
    }
    let low = 0;
    for (let high = this.#keys.length; low < high; ) {
      const middle = (low + high) >>> 1;
      if ((this.#keys[middle] ?? "") < from) low = middle + 1;
      else high = middle;
    }
    let characters = 0;
    const end = Math.min(low + rows, this.#keys.length);
    for (let at = low; at < end; at += 1) {
      characters += (this.#keys[at] ?? "").length > 0 ? (this.#values[at] ?? "").length : 0;
    }
    return characters;
  }

  close(): void {
    this.#map.clear();
  }
}
