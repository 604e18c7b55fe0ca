/** Which chunk of the ordered keys a key belongs to, beside a plain list of the lowest keys. */
import { expect, test } from "vitest";
import { compareBytes, LowKeys } from "../../../src/core/low-keys.ts";
import { RESERVED_PREFIX_BYTE } from "../../../src/limits.ts";
import { randomBelow } from "./random-below.ts";

test.each([
  ["without reserved ones", 0],
  ["with a few reserved ones above", 10],
  ["with as many reserved ones above", 2],
  ["all of them reserved", 1],
])("the number of a chunk is how many begin at or below the key, %s", (_, reservedEvery) => {
  const random = randomBelow(reservedEvery + 1);
  const lows = new LowKeys();
  let naive: Uint8Array[] = [];
  const newKey = (): Uint8Array => {
    const text = Buffer.from(`${["", "user/", "user/000", "v"][random(4)]}${random(3000)}`);
    const isReserved = reservedEvery > 0 && random(reservedEvery) === 0;
    return Uint8Array.from(isReserved ? [RESERVED_PREFIX_BYTE, ...text] : text);
  };
  const chunkOf = (key: Uint8Array): number => naive.filter((low) => compareBytes(low, key) <= 0).length;
  for (let step = 0; step < 4000; step += 1) {
    const key = newKey();
    const chunk = chunkOf(key);
    expect(lows.chunkOf(key)).toBe(chunk);
    if (random(3) === 0 && naive.length > 0) {
      const gone = random(naive.length + 1);
      lows.remove(gone);
      naive.splice(Math.max(gone - 1, 0), 1);
    } else if (naive.length < 200 && (chunk === 0 || compareBytes(naive[chunk - 1]!, key) < 0)) {
      lows.add(chunk + 1, key);
      naive = naive.toSpliced(chunk, 0, key);
    }
  }
});
