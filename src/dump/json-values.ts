/**
 * Values as JSON and back. What JSON has stands for itself; the other kinds are objects with one field, whose name
 * begins with `$`:
 *
 *     bigint       { "$bigint": "-5" }
 *     -0, NaN, ±∞  { "$number": "-0" }, "NaN", "Infinity", "-Infinity"
 *     Uint8Array   { "$bytes": "AAE=" }            base64
 *     Date         { "$date": 1700000000000 }      milliseconds since 1970; null: the invalid one
 *     Map          { "$map": [[key, value], ...] }
 *     an object that looks like one of these       { "$object": { "$bigint": "mine" } }
 */

/** The value was not made by {@link toJson}, nor can it stand for itself. */
export class JsonValueError extends Error {}

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** @param value  one that a replica has returned: there is no cycle and no other kind in it */
export function toJson(value: unknown): Json {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "number":
      return Number.isFinite(value) && !Object.is(value, -0)
        ? value
        : { $number: Object.is(value, -0) ? "-0" : `${value}` };
    case "bigint":
      return { $bigint: `${value}` };
    default:
      return value === null ? null : objectToJson(value as object);
  }
}

function objectToJson(value: object): Json {
  if (Array.isArray(value)) return value.map(toJson);
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString("base64") };
  if (value instanceof Date) return { $date: Number.isNaN(value.getTime()) ? null : value.getTime() };
  if (value instanceof Map) return { $map: Array.from(value, ([key, held]) => [toJson(key), toJson(held)]) };
  const fields = mapFields(value as Record<string, unknown>, toJson);
  return tagOf(fields) === undefined ? fields : { $object: fields };
}

/** @throws JsonValueError for an unknown tag, or one with a content that it cannot have */
export function fromJson(json: Json): unknown {
  if (typeof json !== "object" || json === null) return json;
  if (isArray(json)) return json.map(fromJson);
  const tag = tagOf(json);
  return tag === undefined ? mapFields(json, fromJson) : fromTagged(tag, json[tag] ?? null);
}

function fromTagged(tag: string, content: Json): unknown {
  switch (tag) {
    case "$number":
      if (typeof content === "string" && SPECIAL_NUMBERS.has(content)) return Number(content);
      break;
    case "$bigint":
      if (typeof content === "string" && /^-?\d{1,20}$/.test(content)) return BigInt(content);
      break;
    case "$bytes":
      if (typeof content === "string" && isBase64(content)) return new Uint8Array(Buffer.from(content, "base64"));
      break;
    case "$date":
      if (content === null) return new Date(Number.NaN);
      if (typeof content === "number" && !Number.isNaN(new Date(content).getTime())) return new Date(content);
      break;
    case "$map":
      if (isArray(content) && content.every((pair) => isArray(pair) && pair.length === 2)) {
        return new Map(
          (content as readonly (readonly [Json, Json])[]).map(([key, held]) => [fromJson(key), fromJson(held)]),
        );
      }
      break;
    case "$object":
      if (typeof content === "object" && content !== null && !isArray(content)) return mapFields(content, fromJson);
      break;
    default:
      throw new JsonValueError(`there is no kind of value "${tag}"`);
  }
  throw new JsonValueError(`"${tag}" with a content that it cannot have`);
}

const SPECIAL_NUMBERS: ReadonlySet<string> = new Set(["-0", "NaN", "Infinity", "-Infinity"]);

/** The only field of an object, if its name begins with `$`. */
function tagOf(json: { readonly [name: string]: Json }): string | undefined {
  const [name, more] = Object.keys(json);
  return more === undefined && name?.startsWith("$") === true ? name : undefined;
}

/** `Buffer.from` takes anything for base64, and drops what it does not know. */
function isBase64(text: string): boolean {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);
}

function mapFields<From, To>(fields: Readonly<Record<string, From>>, map: (value: From) => To): Record<string, To> {
  const mapped: Record<string, To> = {};
  for (const name of Object.keys(fields)) {
    const value = map(fields[name] as From);
    // An ordinary field to us, and a trap to an assignment.
    if (name === "__proto__")
      Object.defineProperty(mapped, name, { value, enumerable: true, configurable: true, writable: true });
    else mapped[name] = value;
  }
  return mapped;
}

function isArray(json: Json): json is readonly Json[] {
  return Array.isArray(json);
}
