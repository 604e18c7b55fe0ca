/** The border of a namespace: keys and values as they are inside, and as the store has them. */
import { checkKey } from "../codec/keys.ts";
import { KEY_RANGE_FIELDS, type KeyRange } from "../data/key-ranges.ts";
import type { BatchOperation } from "../data/local-writes.ts";
import type { EntryInfo } from "../data/reader.ts";
import { ReplicaError } from "../errors.ts";
import { KEY_BYTES_MAX } from "../limits.ts";
import type { ChangeEvent, WatchEvent } from "../watch/watch-events.ts";
import type { ValueShape } from "./value-shape.ts";

const SEPARATOR = "/";

/** The prefix of the keys of a namespace. @throws ReplicaError ERR_OPTION if the name cannot be one */
export function prefixOf(name: string): string {
  if (typeof name !== "string" || name === "" || !name.isWellFormed()) {
    throw new ReplicaError("ERR_OPTION", "the name of a namespace is a well-formed string of one character at least");
  }
  if (Buffer.byteLength(name) >= KEY_BYTES_MAX / 2) {
    throw new ReplicaError("ERR_OPTION", `the name of a namespace takes less than ${KEY_BYTES_MAX / 2} bytes`);
  }
  return `${name}${SEPARATOR}`;
}

export class Scope<V, In = V> {
  readonly prefix: string;
  readonly #shape: ValueShape<V, In>;

  constructor(prefix: string, shape: ValueShape<V, In>) {
    this.prefix = prefix;
    this.#shape = shape;
  }

  // ---- in ------------------------------------------------------------------------------------

  /** A key as the store has it. @throws ReplicaError ERR_KEY: with an empty key inside, the one outside would be fine */
  keyOf(key: string): string {
    return this.prefix + checkKey(key, KEY_BYTES_MAX);
  }

  /** A range as the store has it, with all other fields. What is wrong with it is for the store to say. */
  rangeOf<R extends KeyRange>(range: R): R {
    // As it is: the store refuses it with a better word than we have.
    if (typeof range !== "object" || range === null) return range;
    const outside: { -readonly [Field in keyof KeyRange]: KeyRange[Field] } = { prefix: this.prefix };
    for (const field of KEY_RANGE_FIELDS) {
      const bound = range[field];
      if (bound !== undefined) outside[field] = typeof bound === "string" ? this.prefix + bound : bound;
    }
    return { ...range, ...outside };
  }

  /** @throws ReplicaError ERR_VALUE, ERR_OPTION, see ValueShape */
  valueOf(value: In, key: string): unknown {
    return this.#shape.toStored(value, key);
  }

  /** @throws ReplicaError ERR_KEY, ERR_VALUE, ERR_OPTION */
  operationOf(operation: BatchOperation<In>): BatchOperation {
    if (typeof operation !== "object" || operation === null) return operation;
    const outside = { ...operation, key: this.keyOf(operation.key) };
    return outside.type === "put" ? { ...outside, value: this.valueOf(outside.value, operation.key) } : outside;
  }

  // ---- out -----------------------------------------------------------------------------------

  /** A key of the namespace as it is inside. */
  keyFrom(key: string): string {
    return key.slice(this.prefix.length);
  }

  /** @param key  as it is inside. @throws ReplicaError ERR_VALUE */
  valueFrom(stored: unknown, key: string): V {
    return this.#shape.fromStored(stored, key);
  }

  /** As `valueFrom`, where absence is undefined: no stored value is. */
  presentFrom(stored: unknown, key: string): V | undefined {
    return stored === undefined ? undefined : this.valueFrom(stored, key);
  }

  pairFrom([outside, stored]: readonly [string, unknown]): [string, V] {
    const key = this.keyFrom(outside);
    return [key, this.valueFrom(stored, key)];
  }

  /** The values of keys as they are inside, by a function that takes them as the store has them. */
  manyFrom(keys: readonly string[], getMany: (outside: readonly string[]) => unknown[]): (V | undefined)[] {
    // As it is: the store refuses it.
    if (!Array.isArray(keys)) return getMany(keys) as V[];
    const inside = keys as readonly string[];
    const stored = getMany(inside.map((key) => this.keyOf(key)));
    return inside.map((key, index) => this.presentFrom(stored[index], key));
  }

  infoFrom(info: EntryInfo): EntryInfo<V> {
    const key = this.keyFrom(info.key);
    return { ...info, key, value: this.valueFrom(info.value, key) };
  }

  eventFrom(event: WatchEvent): WatchEvent<V> {
    return "key" in event ? this.changeFrom(event) : event;
  }

  changeFrom(event: ChangeEvent): ChangeEvent<V> {
    const { previous: stored, ...rest } = event;
    const key = this.keyFrom(event.key);
    const previous = "previous" in event ? { previous: this.valueFrom(stored, key) } : {};
    if (rest.type === "put") return { ...rest, key, value: this.valueFrom(rest.value, key), ...previous };
    return { ...rest, key, ...previous };
  }
}
