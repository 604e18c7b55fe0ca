/** A text that is equal for two object graphs exactly if the code could not tell them apart. */
import type { Entry } from "../../src/types.ts";

interface Table {
  nextChange(after: number): number;
  lsnAt(slot: number): number;
  entryAt(slot: number): Entry;
}

/**
 * Left out: moments at which something was last heard or sent, which matter after 5 s of silence only, and a search has
 * fewer ticks than that; and what is remembered so that it need not be found out again.
 */
const IGNORED: ReadonlySet<string> = new Set([
  "$tick",
  "openedTick",
  "lastSentTick",
  "lastReceivedTick",
  "lastReceivedAt",
  "caughtUpAt",
  "clockOffsetMs",
  "$options",
  "$limits",
  "$flow",
  "$revision",
  "$behind",
  "$ahead",
  "$pace",
]);

/** Moments that matter by how long ago they are, or how soon they come. */
const RELATIVE: ReadonlySet<string> = new Set(["dueTick", "$beganTick", "sinceTick", "repairTick"]);

/** @param swap  two keys, one byte each, that change names: for symmetry */
export function fingerprint(root: unknown, tick: number, swap?: readonly [number, number]): string {
  const seen = new Map<object, number>();
  const parts: string[] = [];
  const renamed = (byte: number): number => {
    if (swap === undefined) return byte;
    return byte === swap[0] ? swap[1] : byte === swap[1] ? swap[0] : byte;
  };
  const bytes = (key: Uint8Array): string => (key.length === 1 ? `k${renamed(key[0] ?? 0)}` : key.toString());
  const walk = (value: unknown): void => {
    if (typeof value === "function") return;
    if (typeof value === "string" && swap !== undefined && value.length === 1) {
      parts.push(String.fromCharCode(renamed(value.charCodeAt(0))));
      return;
    }
    if (typeof value !== "object" || value === null) {
      parts.push(String(value));
      return;
    }
    const known = seen.get(value);
    if (known !== undefined) {
      parts.push(`@${known}`);
      return;
    }
    seen.set(value, seen.size);
    const kind = value.constructor.name;
    if (kind === "EntryTable") walkTable(value as Table);
    else if (value instanceof Uint8Array) parts.push(bytes(value));
    else if (value instanceof Map) for (const pair of value as Map<unknown, unknown>) walk(pair);
    else if (value instanceof Set || Array.isArray(value)) for (const item of value as Iterable<unknown>) walk(item);
    else walkFields(value);
    parts.push(";");
  };
  const walkFields = (value: object): void => {
    for (const [name, field] of Object.entries(value)) {
      if (IGNORED.has(name) || typeof field === "function") continue;
      parts.push(name, ":");
      if (RELATIVE.has(name)) parts.push(String((field as number) - tick));
      else walk(field);
      parts.push(",");
    }
  };
  const walkTable = (table: Table): void => {
    for (let slot = table.nextChange(0); slot !== -1; slot = table.nextChange(table.lsnAt(slot))) {
      const { key, value, stamp, origin, seq, expiresAt } = table.entryAt(slot);
      parts.push(
        bytes(key),
        String(value),
        String(stamp),
        origin,
        String(seq),
        String(expiresAt),
        String(table.lsnAt(slot)),
        "/",
      );
    }
  };
  walk(root);
  return parts.join(" ");
}
