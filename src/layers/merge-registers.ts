/**
 * Kinds in which every replica has a part of its own, its register, which nobody else writes: so no write of a
 * register is ever concurrent with another one, and none is lost. The register is named by the
 * origin (nodeId and epoch): a replica that has lost its data begins a new one, and the old one goes on to count.
 *
 * A delete cannot remove the registers of others, which their authors may be writing at this moment. It notes in the
 * own register what it has seen of each: that much no longer counts. What was written meanwhile, or later, does.
 */
import { ReplicaError } from "../errors.ts";
import type { Kind, Part, PartWrite } from "./merge-kinds.ts";

interface Register {
  /** How often it was written. */
  readonly count: number;
  readonly value: unknown;
  /** What of which register no longer counts: up to which `count`, and what its value was then. */
  readonly deleted: ReadonlyMap<string, Seen>;
}

type Seen = readonly [count: number, value: unknown];

/** What the registers say together. */
interface Folded {
  readonly registers: ReadonlyMap<string, Register>;
  /** The latest of what all of them say is deleted, by register. */
  readonly deleted: ReadonlyMap<string, Seen>;
}

/**
 * The registers joined by `join`. A put is written also where the value stays the same: it is what a delete has not seen.
 *
 * @param takes  what a value has to be, in words
 */
export function joinKind(
  name: string,
  join: (a: unknown, b: unknown) => unknown,
  isValue: (value: unknown) => boolean,
  takes: string,
): Kind {
  const fold = (parts: readonly Part[]): unknown => {
    let joined: unknown;
    const { registers, deleted } = read(parts);
    for (const [owner, register] of registers) {
      if (register.count <= (deleted.get(owner)?.[0] ?? 0) || !isValue(register.value)) continue;
      joined = joined === undefined ? register.value : join(joined, register.value);
    }
    return joined;
  };
  return {
    name,
    fold,
    put(parts, own, value) {
      if (!isValue(value)) throw new ReplicaError("ERR_VALUE", `a key of the kind "${name}" takes ${takes}`);
      const { registers, deleted } = read(parts);
      const register = registers.get(own);
      const isLive = register !== undefined && register.count > (deleted.get(own)?.[0] ?? 0);
      const joined = isLive ? join(register.value, value) : value;
      return [written(own, (register?.count ?? 0) + 1, joined, register?.deleted ?? new Map())];
    },
    delete: deleteAll,
  };
}

/** The sum of what all registers have counted, less what was deleted. */
export const counterKind: Kind = {
  name: "counter",
  fold(parts) {
    const { registers, deleted } = read(parts);
    let sum: number | undefined;
    for (const [owner, { count, value }] of registers) {
      const [before, valueBefore] = deleted.get(owner) ?? NOTHING;
      if (count > before && Number.isSafeInteger(value)) sum = (sum ?? 0) + (value as number) - (valueBefore as number);
    }
    return sum;
  },
  put(parts, own, value) {
    if (!Number.isSafeInteger(value)) throw new ReplicaError("ERR_VALUE", "a counter takes a whole number");
    return counted(parts, own, (value as number) - ((counterKind.fold(parts) as number | undefined) ?? 0));
  },
  delete: deleteAll,
  increment: counted,
};

const NOTHING: Seen = [0, 0];

function counted(parts: readonly Part[], own: string, by: number): PartWrite[] {
  const register = read(parts).registers.get(own);
  const value = ((register?.value as number | undefined) ?? 0) + by;
  const total = ((counterKind.fold(parts) as number | undefined) ?? 0) + by;
  if (!Number.isSafeInteger(value) || !Number.isSafeInteger(total)) {
    throw new ReplicaError("ERR_LIMIT", "a counter counts to 2^53 - 1, up and down");
  }
  return [written(own, (register?.count ?? 0) + 1, value, register?.deleted ?? new Map())];
}

/** What others have deleted stays in their registers. */
function deleteAll(parts: readonly Part[], own: string): PartWrite[] {
  const { registers } = read(parts);
  const seen = new Map<string, Seen>();
  for (const [owner, { count, value }] of registers) if (count > 0) seen.set(owner, [count, value]);
  const register = registers.get(own);
  return [written(own, register?.count ?? 0, register?.value ?? 0, seen)];
}

/** `[count, value, deleted?]`, where `deleted` is a list of `[owner, count, value]`. */
function written(name: string, count: number, value: unknown, deleted: ReadonlyMap<string, Seen>): PartWrite {
  const list = [...deleted].map(([owner, seen]) => [owner, ...seen]);
  return { name, value: list.length === 0 ? [count, value] : [count, value, list] };
}

/** What is no register is ignored: it was written by nobody who knows what he does. */
function read(parts: readonly Part[]): Folded {
  const registers = new Map<string, Register>();
  const deleted = new Map<string, Seen>();
  for (const { name, value } of parts) {
    const register = registerOf(value);
    if (register === undefined) continue;
    registers.set(name, register);
    for (const [owner, seen] of register.deleted) {
      if (seen[0] > (deleted.get(owner)?.[0] ?? 0)) deleted.set(owner, seen);
    }
  }
  return { registers, deleted };
}

function registerOf(stored: unknown): Register | undefined {
  if (!Array.isArray(stored)) return undefined;
  const [count, value, list = []] = stored as unknown[];
  if (typeof count !== "number" || !Array.isArray(list)) return undefined;
  const deleted = new Map<string, Seen>();
  for (const item of list as unknown[]) {
    if (!Array.isArray(item)) continue;
    const [owner, seenCount, seenValue] = item as unknown[];
    if (typeof owner === "string" && typeof seenCount === "number") deleted.set(owner, [seenCount, seenValue]);
  }
  return { count, value, deleted };
}
