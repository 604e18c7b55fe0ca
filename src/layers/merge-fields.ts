/**
 * Objects whose fields are written by themselves: each field is a part, and the last write of a field stays. A put
 * writes the fields that differ from what is seen here, and deletes those that are gone; so two replicas that change
 * different fields of one object both succeed.
 *
 * One more part says that the object is there at all: it may have no fields. It is written whenever a field goes, too, so
 * that the newest part tells one state of the object from all others.
 */
import { isDeepStrictEqual } from "node:util";
import { ReplicaError } from "../errors.ts";
import type { Kind, Part, PartWrite } from "./merge-kinds.ts";

const PRESENCE: PartWrite = { name: "!", value: true };
/** Before the name of a field. */
const FIELD = "=";

export const fieldsKind: Kind = {
  name: "fields",
  fold(parts) {
    if (parts.length === 0) return undefined;
    // An own field, whatever its name is.
    return Object.fromEntries(fieldsOf(parts));
  },
  put(parts, _own, value) {
    if (typeof value !== "object" || value === null || !isPlain(value)) {
      throw new ReplicaError("ERR_VALUE", 'a key of the kind "fields" takes a plain object');
    }
    const before = new Map(fieldsOf(parts));
    const writes: PartWrite[] = [];
    for (const [field, one] of Object.entries(value)) {
      if (one === undefined) continue;
      if (!before.has(field) || !isDeepStrictEqual(before.get(field), one))
        writes.push({ name: FIELD + field, value: one });
      before.delete(field);
    }
    for (const field of before.keys()) writes.push({ name: FIELD + field, value: undefined });
    const isEmpty = Object.keys(value).length === 0 && parts.length === 0;
    return before.size > 0 || isEmpty ? [PRESENCE, ...writes] : writes;
  },
  delete: (parts) => parts.map(({ name }) => ({ name, value: undefined })),
};

/** In the order of their names, which is that of their keys: the same on all replicas. */
function fieldsOf(parts: readonly Part[]): [string, unknown][] {
  return parts.flatMap(({ name, value }): [string, unknown][] =>
    name.startsWith(FIELD) ? [[name.slice(FIELD.length), value]] : [],
  );
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
