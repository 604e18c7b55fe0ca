import type { Store } from "./store.ts";

const HEADER_BYTES = 4;
const START_BYTES = 1024 * 1024;

/**
 * The least that could be called a store: keys and values behind each other in one array of bytes, and a hash index with
 * open addressing over them. Knows strings of Latin-1 only, no order, no versions, no deletes; what is overwritten in
 * another length is lost space.
 */
export class Arena implements Store {
  #index = new Uint32Array(1024);
  #bytes = Buffer.alloc(START_BYTES);
  #end = HEADER_BYTES;
  #count = 0;

  put(key: string, value: unknown): undefined {
    const text = value as string;
    if (this.#count * 2 >= this.#index.length) this.#rehash();
    const slot = this.#slotOf(key);
    const place = this.#index[slot] ?? 0;
    if (place !== 0 && this.#valueBytes(place) === text.length) {
      this.#bytes.write(text, place + HEADER_BYTES + key.length, "latin1");
      return;
    }
    if (place === 0) this.#count += 1;
    const bytes = HEADER_BYTES + key.length + text.length;
    if (this.#end + bytes > this.#bytes.length) {
      const grown = Buffer.alloc(this.#bytes.length * 1.5);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    this.#index[slot] = this.#end;
    this.#bytes.writeUInt16LE(key.length, this.#end);
    this.#bytes.writeUInt16LE(text.length, this.#end + 2);
    this.#bytes.write(key, this.#end + HEADER_BYTES, "latin1");
    this.#bytes.write(text, this.#end + HEADER_BYTES + key.length, "latin1");
    this.#end += bytes;
  }

  /** As `put`, for what is encoded already. */
  putBytes(key: Uint8Array, value: Uint8Array): void {
    this.put(latin1(key), latin1(value));
  }

  get(key: string): string | undefined {
    const place = this.#index[this.#slotOf(key)] ?? 0;
    if (place === 0) return undefined;
    const from = place + HEADER_BYTES + key.length;
    return this.#bytes.toString("latin1", from, from + this.#valueBytes(place));
  }

  close(): void {
    this.#index = new Uint32Array(0);
  }

  #valueBytes(place: number): number {
    return (this.#bytes[place + 2] ?? 0) | ((this.#bytes[place + 3] ?? 0) << 8);
  }

  #slotOf(key: string): number {
    const mask = this.#index.length - 1;
    let hash = 0x811c9dc5;
    for (let at = 0; at < key.length; at += 1) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
    let slot = (hash ^ (hash >>> 15)) & mask;
    for (let place = this.#index[slot] ?? 0; place !== 0 && !this.#holds(place, key); place = this.#index[slot] ?? 0) {
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  #holds(place: number, key: string): boolean {
    const bytes = this.#bytes;
    if (((bytes[place] ?? 0) | ((bytes[place + 1] ?? 0) << 8)) !== key.length) return false;
    for (let at = 0; at < key.length; at += 1) {
      if (bytes[place + HEADER_BYTES + at] !== key.charCodeAt(at)) return false;
    }
    return true;
  }

  #rehash(): void {
    const places = this.#index.filter((place) => place !== 0);
    this.#index = new Uint32Array(this.#index.length * 2);
    for (const place of places) {
      const from = place + HEADER_BYTES;
      this.#index[this.#slotOf(this.#bytes.toString("latin1", from, from + this.#bytes.readUInt16LE(place)))] = place;
    }
  }
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}
