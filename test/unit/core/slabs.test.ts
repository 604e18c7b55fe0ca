import { expect, test } from "vitest";
import { type Place, Slabs, startOf } from "../../../src/core/slabs.ts";
import { randomBelow } from "./random-below.ts";

const KEY = Uint8Array.from(Buffer.from("key"));

/** Slabs with the rows that they need, and what every slot should hold. */
class Harness {
  readonly slabs = new Slabs();
  readonly values = new Map<number, Uint8Array>();
  readonly #places = new Map<number, Place>();
  /** Most bytes moved by one change. */
  movedMax = 0;

  set(slot: number, value: Uint8Array): void {
    const place = this.#places.get(slot);
    if (place === undefined) this.#places.set(slot, this.slabs.add(slot, KEY, value));
    else this.#places.set(slot, this.slabs.replace(place, slot, KEY.length, this.#lengthAt(slot), value));
    this.values.set(slot, value);
    this.#tidy(KEY.length + value.length);
  }

  remove(slot: number): void {
    this.slabs.remove(this.#places.get(slot)!, slot, this.#lengthAt(slot));
    const length = this.#lengthAt(slot);
    this.#places.delete(slot);
    this.values.delete(slot);
    this.#tidy(length);
  }

  expectIntact(): void {
    for (const [slot, value] of this.values) {
      const place = this.#places.get(slot)!;
      const bytes = this.slabs.bytesAt(place, slot);
      const start = startOf(place);
      const held = bytes.subarray(start, start + KEY.length + value.length);
      if (Buffer.compare(held, Buffer.concat([KEY, value])) !== 0) expect([slot, held]).toEqual([slot, value]);
    }
  }

  get liveBytes(): number {
    return [...this.values.values()].reduce((sum, value) => sum + KEY.length + value.length, 0);
  }

  #tidy(length: number): void {
    let moved = 0;
    this.slabs.tidy(length, {
      lengthAt: (slot) => this.#lengthAt(slot),
      moved: (slot, place) => {
        this.#places.set(slot, place);
        moved += this.#lengthAt(slot);
      },
    });
    this.movedMax = Math.max(this.movedMax, moved);
  }

  #lengthAt(slot: number): number {
    return KEY.length + this.values.get(slot)!.length;
  }
}

test("overwriting everything ten times with other lengths takes no more than 1.3 times the memory", () => {
  const harness = new Harness();
  const random = randomBelow(1);
  const slots = 30_000;
  for (let slot = 0; slot < slots; slot += 1) harness.set(slot, new Uint8Array(100).fill(slot));
  for (let round = 0; round < 10 * slots; round += 1) {
    harness.set(random(slots), new Uint8Array(50 + random(101)).fill(round));
  }
  harness.expectIntact();
  // Headers and rounding add 4 to 7 bytes to each of about 103; spare and half-filled slabs add up to 3 MiB.
  expect(harness.slabs.allocatedBytes).toBeLessThan(harness.liveBytes * 1.3 + 3 * 2 ** 20);
  // A change of up to 153 bytes may move 4 times that, 512 more, and the record that goes over it.
  expect(harness.movedMax).toBeGreaterThan(0);
  expect(harness.movedMax).toBeLessThan(4 * 153 + 512 + 153);
});

test("memory comes back as records go", () => {
  const harness = new Harness();
  for (let slot = 0; slot < 60_000; slot += 1) harness.set(slot, new Uint8Array(200).fill(slot));
  const full = harness.slabs.allocatedBytes;
  for (let slot = 0; slot < 60_000; slot += 1) if (slot % 20 !== 0) harness.remove(slot);
  harness.expectIntact();
  expect(harness.slabs.allocatedBytes).toBeLessThan(full / 3);
});

test("a value that shrinks and grows in its place leaves its neighbours alone", () => {
  const harness = new Harness();
  for (let slot = 0; slot < 200; slot += 1) harness.set(slot, new Uint8Array(61).fill(slot));
  for (const length of [61, 60, 58, 57, 0, 1, 61, 62, 65]) {
    for (let slot = 0; slot < 200; slot += 2) harness.set(slot, new Uint8Array(length).fill(slot + length));
    harness.expectIntact();
  }
});

// With header and key 32 KiB exactly, one more, the maximum of a value; and back.
test.each([32_768 - 7 - 1, 32_768 - 7, 32_768 - 7 + 1, 2 ** 20])("a value of %i bytes comes and goes", (length) => {
  const harness = new Harness();
  for (const bytes of [10, length, length, 10, length, length - 5]) {
    for (let slot = 0; slot < 5; slot += 1) harness.set(slot, new Uint8Array(bytes).fill(slot + bytes));
    harness.expectIntact();
  }
  for (let slot = 0; slot < 5; slot += 1) harness.remove(slot);
  expect(harness.slabs.allocatedBytes).toBeLessThan(2 ** 20);
});
