/** What a namespace makes of values on their way in and out: its schema checks, its codec translates. */
import { ReplicaError } from "../errors.ts";
import { isStandardSchema, issuesText, type StandardSchema } from "./standard-schema.ts";

/**
 * Translates between the values of an application and those that the store takes (see README, "Values").
 * Both functions must be pure: what one replica encodes, all others decode.
 */
export interface Codec<V> {
  encode(value: V): unknown;
  decode(stored: unknown): V;
}

/** In: schema, then codec. Out: codec; what was checked when it was written is not checked again. */
export class ValueShape<V, In = V> {
  readonly #schema: StandardSchema<In, V> | undefined;
  readonly #codec: Codec<V> | undefined;

  /** @throws ReplicaError ERR_OPTION if one of them is not what it has to be */
  constructor(schema: StandardSchema<In, V> | undefined, codec: Codec<V> | undefined) {
    if (schema !== undefined && !isStandardSchema(schema)) {
      throw new ReplicaError("ERR_OPTION", "schema takes a Standard Schema of version 1, as zod and valibot make them");
    }
    if (codec !== undefined && (typeof codec.encode !== "function" || typeof codec.decode !== "function")) {
      throw new ReplicaError("ERR_OPTION", "codec takes an object with encode and decode");
    }
    this.#schema = schema;
    this.#codec = codec;
  }

  /**
   * What to store.
   * @throws ReplicaError ERR_VALUE, with the issues as its cause, if the schema says no or the codec throws; ERR_OPTION
   *   if the schema answers with a promise
   */
  toStored(value: In, key: string): unknown {
    const checked = this.#schema === undefined ? (value as unknown as V) : checkedBy(this.#schema, value, key);
    if (this.#codec === undefined) return checked;
    try {
      return this.#codec.encode(checked);
    } catch (cause) {
      throw new ReplicaError("ERR_VALUE", `the codec cannot encode the value of "${key}": ${String(cause)}`, { cause });
    }
  }

  /** What a reader gets. @throws ReplicaError ERR_VALUE if the codec throws, as for what an older version wrote */
  fromStored(stored: unknown, key: string): V {
    if (this.#codec === undefined) return stored as V;
    try {
      return this.#codec.decode(stored);
    } catch (cause) {
      throw new ReplicaError("ERR_VALUE", `the codec cannot decode the value of "${key}": ${String(cause)}`, { cause });
    }
  }
}

function checkedBy<In, V>(schema: StandardSchema<In, V>, value: In, key: string): V {
  const result = schema["~standard"].validate(value);
  if (isThenable(result)) {
    // Nobody waits for it: what it rejects with is of no interest.
    result.then(undefined, () => undefined);
    throw new ReplicaError("ERR_OPTION", "the schema is asynchronous: a write is checked at once, so check it before");
  }
  if (result.issues === undefined) return result.value;
  const message = `the value of "${key}" does not fit the schema: ${issuesText(result.issues)}`;
  throw new ReplicaError("ERR_VALUE", message, { cause: result.issues });
}

function isThenable(value: unknown): value is Promise<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}
