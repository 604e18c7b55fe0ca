/** Changes as bytes: what goes in comes out, in order, however it is chopped up. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Change } from "../../../src/sync/committed.ts";
import type { Origin } from "../../../src/types.ts";
import { bytesOf, ChangeQueue } from "../../../src/watch/change-queue.ts";

const bytes = fc.oneof(
  { weight: 8, arbitrary: fc.uint8Array({ maxLength: 40 }) },
  // Around the end of a chunk, and beyond it.
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(460, 464, 465, 40_000, 65_488, 65_489, 70_000)
      .map((length) => new Uint8Array(length).fill(7)),
  },
);
const nullable = fc.option(bytes, { freq: 4 });
const change: fc.Arbitrary<Change> = fc
  .record({
    kind: fc.constantFrom("put", "delete", "expire"),
    entry: fc.record({
      key: fc.uint8Array({ maxLength: 20 }),
      value: nullable,
      stamp: fc.oneof(fc.nat(5), fc.maxSafeNat()),
      origin: fc.nat(3).map((n) => `n${n}/${"0".repeat(16)}` as Origin),
      seq: fc.maxSafeNat(),
      expiresAt: fc.double({ noNaN: true, min: 0 }),
    }),
    existed: fc.boolean(),
    previous: nullable,
    local: fc.boolean(),
    number: fc.maxSafeNat(),
    dropped: fc.boolean(),
  })
  .map(({ dropped, ...rest }) => (dropped ? { ...rest, dropped } : rest));
const command = fc.oneof(
  { weight: 12, arbitrary: change },
  { weight: 3, arbitrary: fc.constantFrom("shift" as const) },
  { weight: 1, arbitrary: fc.constantFrom("drop" as const) },
  { weight: 1, arbitrary: fc.constantFrom("drain" as const) },
  { weight: 1, arbitrary: fc.nat(5) },
);

/** With strings for bytes: comparing long arrays is slow. */
function plain(change: Change | undefined) {
  if (change === undefined) return undefined;
  const { entry, previous, ...rest } = change;
  const text = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes).toString("latin1"));
  return { ...rest, previous: text(previous), entry: { ...entry, key: text(entry.key), value: text(entry.value) } };
}

test("does what an array does", () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 120, size: "max" }), (commands) => {
      const queue = new ChangeQueue();
      const model: Change[] = [];
      for (const command of commands) {
        if (command === "shift") expect(plain(queue.shift())).toEqual(plain(model.shift()));
        else if (command === "drop") {
          queue.drop();
          model.shift();
        } else if (command === "drain") {
          while (model.length > 0) expect(plain(queue.shift())).toEqual(plain(model.shift()));
          expect(queue.shift()).toBeUndefined();
        } else if (typeof command === "number") {
          const at = model.findIndex(({ entry }) => entry.stamp === command);
          expect([...queue.from(command)].map(plain)).toEqual(at < 0 ? [] : model.slice(at).map(plain));
        } else {
          queue.push(command);
          model.push(command);
        }
        expect(queue.size).toBe(model.length);
        expect(queue.bytes).toBe(model.reduce((sum, each) => sum + bytesOf(each), 0));
      }
      queue.clear();
      expect([queue.size, queue.bytes, queue.shift()]).toEqual([0, 0, undefined]);
    }),
    { numRuns: 200 },
  );
});

test("what is pushed may change afterwards", () => {
  const queue = new ChangeQueue();
  const [sample] = fc.sample(change, { numRuns: 1, seed: 1 });
  const value = Uint8Array.of(1, 2, 3);
  queue.push({ ...sample!, entry: { ...sample!.entry, value }, previous: value });
  value.fill(9);
  expect(queue.shift()).toMatchObject({ entry: { value: Uint8Array.of(1, 2, 3) }, previous: Uint8Array.of(1, 2, 3) });
});
