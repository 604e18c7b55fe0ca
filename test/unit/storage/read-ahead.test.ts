import { expect, test } from "vitest";
import type { DiskFile } from "../../../src/storage/disk.ts";
import { ReadAhead } from "../../../src/storage/read-ahead.ts";

const PIECE = 8;

/** Only what reading needs; `failAt`: a read from there on fails. */
function fileOf(content: Uint8Array, failAt = Infinity): { file: DiskFile; reading: () => number } {
  let reading = 0;
  const unused = (): Promise<never> => Promise.reject(new Error("not for reading"));
  const file: DiskFile = {
    size: () => Promise.resolve(content.length),
    async read(buffer, position) {
      reading += 1;
      await new Promise((done) => setImmediate(done));
      reading -= 1;
      if (position >= failAt) throw new Error("EIO");
      const part = content.subarray(position, position + buffer.length);
      buffer.set(part);
      return part.length;
    },
    write: unused,
    sync: unused,
    truncate: unused,
    close: () => Promise.resolve(),
  };
  return { file, reading: () => reading };
}

function numbers(count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, index) => index % 251);
}

// Below, on and above what fits the room before a piece (8), two pieces (16), and what is read in one go (17).
test.each([1, 7, 8, 9, 15, 16, 17, 18, 24, 25, 40])("hands out every byte once, %i at a time", async (wanted) => {
  const content = numbers(101);
  const { file } = fileOf(content);
  const input = new ReadAhead(file, 3, content.length, PIECE);
  const taken: number[] = [];
  while (await input.fill(wanted)) {
    taken.push(...input.bytes.subarray(0, wanted));
    input.skip(wanted);
  }
  expect(input.bytes.length).toBeLessThan(wanted);
  expect([...taken, ...input.bytes]).toEqual([...content.subarray(3)]);
});

test("small and large pieces in turn", async () => {
  const content = numbers(400);
  const { file } = fileOf(content);
  const input = new ReadAhead(file, 0, content.length, PIECE);
  const taken: number[] = [];
  for (let round = 0; round < 8; round += 1) {
    for (const wanted of [1, 33, 5, 11]) {
      expect(await input.fill(wanted)).toBe(true);
      taken.push(...input.bytes.subarray(0, wanted));
      input.skip(wanted);
    }
  }
  expect(taken).toEqual([...content.subarray(0, 400)]);
  expect(await input.fill(1)).toBe(false);
});

test("reads no further than told", async () => {
  const { file } = fileOf(numbers(100));
  const input = new ReadAhead(file, 0, 20, PIECE);
  expect(await input.fill(21)).toBe(false);
  expect(input.bytes.length).toBe(20);
});

test("a file that is shorter than it was ends there", async () => {
  const { file } = fileOf(numbers(10));
  const input = new ReadAhead(file, 0, 30, PIECE);
  expect(await input.fill(11)).toBe(false);
  expect([...input.bytes]).toEqual([...numbers(10)]);
});

test.each([9, 30])("the disk's error reaches whoever wants %i bytes, and nobody else", async (wanted) => {
  const { file } = fileOf(numbers(100), PIECE);
  const input = new ReadAhead(file, 0, 100, PIECE);
  expect(await input.fill(PIECE)).toBe(true);
  await expect(input.fill(wanted)).rejects.toThrow("EIO");
  await input.settle();
});

test("after settle nothing is being read, though a piece was ahead", async () => {
  const { file, reading } = fileOf(numbers(100), PIECE);
  const input = new ReadAhead(file, 0, 100, PIECE);
  await input.fill(1);
  expect(reading()).toBe(1);
  await input.settle();
  expect(reading()).toBe(0);
});

test("pieces grow from the first to the largest, and every byte is handed out once", async () => {
  const content = numbers(101);
  const { file } = fileOf(content);
  const sizes: number[] = [];
  const input = new ReadAhead(file, 1, content.length, 32, 4);
  const taken: number[] = [];
  while (await input.fill(1)) {
    sizes.push(input.bytes.length);
    taken.push(...input.bytes);
    input.skip(input.bytes.length);
  }
  expect(sizes).toEqual([4, 8, 16, 32, 32, 8]);
  expect(taken).toEqual([...content.subarray(1)]);
});
