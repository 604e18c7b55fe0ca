/** A `Map`, and a `Map` with what a replicated store has to know of each entry. */
import type { Store } from "./store.ts";

/** Values as they are: what comes out is what went in, the same object. No order, no versions. */
export class PlainMap implements Store {
  readonly #map = new Map<string, unknown>();

  put(key: string, value: unknown): undefined {
    this.#map.set(key, value);
  }

  get(key: string): unknown {
    return this.#map.get(key);
  }

  close(): void {
    this.#map.clear();
  }
}

/** As `PlainMap`, and bytes come out as copies: whoever changes what came out changes nothing here. */
export class CopyingMap extends PlainMap {
  override get(key: string): unknown {
    const value = super.get(key);
    return value instanceof Uint8Array ? value.slice() : value;
  }
}

interface MapEntry {
  readonly key: string;
  value: unknown;
  stamp: number;
  origin: string;
  seq: number;
  expiresAt: number;
}

/** An object per entry, with stamp, author, number and expiry. No order, no log of changes, no digest. */
export class ObjectMap implements Store {
  readonly #map = new Map<string, MapEntry>();
  #seq = 0;

  put(key: string, value: unknown): undefined {
    this.#seq += 1;
    this.#map.set(key, { key, value, stamp: 1.7e12 + this.#seq, origin: "bench", seq: this.#seq, expiresAt: 0 });
  }

  get(key: string): unknown {
    return this.#map.get(key)?.value;
  }

  close(): void {
    this.#map.clear();
  }
}
