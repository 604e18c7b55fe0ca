/** Values of every kind come back as they were, here, at a peer and from the disk, whatever becomes of what was handed in or out. */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openReplica, type Replica } from "../../src/index.ts";
import { MemoryDisk } from "../../src/storage/memory-disk.ts";
import { inProcessNetwork } from "../../transports/in-process.ts";
import { value } from "../models/arbitrary-codec.ts";
import { silent, until } from "../unit/replica/stage.ts";

/** Names that mean something to objects, and must not here. */
const NAMES = ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "valueOf", "then", "x"];
const name = fc.oneof(fc.constantFrom(...NAMES), fc.string({ unit: "grapheme", maxLength: 5 }));

/** An ordinary object whose fields are own ones, whatever their names. */
function plainObject(fields: [string, unknown][]): object {
  const made = {};
  for (const [field, held] of fields) {
    Object.defineProperty(made, field, { value: held, enumerable: true, writable: true, configurable: true });
  }
  return made;
}

/** Changes everything about a value that can be changed. */
function spoil(held: unknown): void {
  if (typeof held !== "object" || held === null) return;
  if (held instanceof Date) held.setTime(0);
  else if (held instanceof Uint8Array) held.fill(255);
  else if (held instanceof Map) {
    for (const [key, inner] of held) {
      spoil(key);
      spoil(inner);
    }
    held.set("spoiled", true);
  } else if (Array.isArray(held)) {
    held.forEach(spoil);
    held.push("spoiled");
  } else {
    for (const inner of Object.values(held)) spoil(inner);
    Object.assign(held, { spoiled: true });
  }
}

const disk = new MemoryDisk();
const network = inProcessNetwork();
const open = (nodeId: string, onDisk: boolean): Promise<Replica> =>
  openReplica({ nodeId, logger: silent, transport: network.transport(), ...(onDisk ? { directory: "d", disk } : {}) });
let replica: Replica;
let peer: Replica;
beforeAll(async () => {
  replica = await open("a", true);
  peer = await open("b", false);
});
afterAll(() => Promise.all([replica.close(), peer.close()]));

test("nothing of a value is shared with the store, its watchers, its peers or its log", async () => {
  const expected = new Map<string, unknown>();
  let count = 0;
  await fc.assert(
    fc.asyncProperty(value, name, async (held, suffix) => {
      const key = `${suffix}/${count++}`;
      const original = structuredClone(held);
      expected.set(key, original);
      const events = replica.watch({ key });
      const written = replica.put(key, held);
      // Before it is on the disk, and before it has left for the peer.
      spoil(held);
      spoil(replica.get(key));
      await written;
      for (const taken of [
        (await events.next()).value as unknown,
        replica.entry(key),
        [...replica.values({ gte: key, lte: key })],
        replica.getMany([key]),
        (await replica.transaction((tx) => [tx.get(key), [...tx.values({ gte: key, lte: key })]])).result,
      ]) {
        spoil(taken);
        expect(replica.get(key)).toEqual(original);
      }
      await events.return?.();
    }),
    { numRuns: 100 },
  );
  await until(() => peer.status().digest === replica.status().digest, "the peer has all");
  for (const round of [1, 2]) {
    for (const [key, original] of expected) {
      const taken = peer.get(key);
      expect(taken, `at the peer, read ${round}`).toEqual(original);
      expectSameKind(taken, original);
      spoil(taken);
    }
  }
  await replica.close();
  replica = await open("a", true);
  for (const [key, original] of expected) expect(replica.get(key)).toEqual(original);
  expect(({} as { spoiled?: unknown; x?: unknown }).spoiled).toBeUndefined();
});

/** What toEqual does not look at: prototypes, own fields, and the sign of 0. */
function expectSameKind(taken: unknown, original: unknown): void {
  if (typeof original !== "object" || original === null) return expect(Object.is(taken, original)).toBe(true);
  expect(Object.getPrototypeOf(taken)).toBe(Object.getPrototypeOf(original));
  expect(Object.keys(taken as object)).toEqual(Object.keys(original));
  for (const [field, inner] of Object.entries(original)) {
    expectSameKind(Object.entries(taken as object).find(([other]) => other === field)?.[1], inner);
  }
}

test("names that mean something to objects are ordinary keys, prefixes and namespaces", async () => {
  await replica.clear();
  for (const each of NAMES) {
    const space = replica.namespace(each);
    expect([replica.has(each), replica.get(each), space.get(each)], each).toEqual([false, undefined, undefined]);
    await replica.put(each, plainObject([[each, 1]]));
    await space.put(each, each);
    await replica.transaction((tx) => tx.put(`${each}!`, tx.get(each)));
    expect(Object.entries(replica.get(each) as object)).toEqual([[each, 1]]);
    expect([...space.entries()]).toEqual([[each, each]]);
    expect([...replica.keys({ prefix: each })]).toEqual(expect.arrayContaining([each, `${each}!`, `${each}/${each}`]));
    await replica.put(each, 2, { ifVersion: replica.entry(each)?.version ?? null });
  }
  expect(({} as { x?: unknown }).x).toBeUndefined();
  expect(Object.getOwnPropertyNames(Object.prototype)).not.toContain("x");
});
