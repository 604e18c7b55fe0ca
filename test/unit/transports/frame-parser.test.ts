import fc from "fast-check";
import { expect, test } from "vitest";
import { FrameParser, lengthOf } from "../../../transports/frame-parser.ts";

const LIMIT = 70_000;

test("frames come out as they went in, however the stream was cut", () => {
  const sizes = fc.oneof(fc.constantFrom(1, 2, 255, 256, 65_535, 65_536, LIMIT), fc.integer({ min: 1, max: 300 }));
  const cuts = fc.array(fc.integer({ min: 1, max: 40_000 }), { maxLength: 40, size: "max" });
  fc.assert(
    fc.property(fc.array(sizes, { maxLength: 12, size: "max" }), cuts, (lengths, steps) => {
      const sent = lengths.map((length, index) => Buffer.alloc(length, `${index}:`));
      const stream = Buffer.concat(sent.flatMap((frame) => [lengthOf(frame), frame]));
      const parser = new FrameParser(LIMIT);
      const got: Buffer[] = [];
      for (let at = 0, step = 0; at < stream.length; step++) {
        const end = Math.min(stream.length, at + (steps[step % steps.length] ?? stream.length));
        // A copy, wiped afterwards: what was cut is not a view into what came.
        const chunk = Buffer.from(stream.subarray(at, end));
        const frames: Uint8Array[] = [];
        expect(parser.push(chunk, (frame) => frames.push(frame) > 0)).toBeUndefined();
        got.push(...frames.map((frame) => Buffer.from(frame)));
        chunk.fill(0);
        expect(parser.isWithinFrame).toBe(end < stream.length && !isBoundary(sent, end));
        at = end;
      }
      expect(got.length).toBe(sent.length);
      for (const [index, frame] of sent.entries()) expect(got[index]!.equals(frame)).toBe(true);
    }),
    { numRuns: 200 },
  );
});

function isBoundary(frames: readonly Buffer[], at: number): boolean {
  let boundary = 0;
  for (const { length } of frames) {
    if (boundary >= at) break;
    boundary += 4 + length;
  }
  return boundary === at;
}

test.each([
  [LIMIT, undefined],
  [LIMIT + 1, /a frame of 70001 bytes, 70000 is the limit/],
  [0xffff_ffff, /a frame of 4294967295 bytes/],
  [0, /no bytes/],
])("a length of %i, on its own", (length, refusal) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(length);
  const before = process.memoryUsage().arrayBuffers;
  const said = new FrameParser(LIMIT).push(bytes, () => true);
  if (refusal === undefined) expect(said).toBeUndefined();
  else expect(said).toMatch(refusal);
  expect(process.memoryUsage().arrayBuffers - before, "nothing is set aside for what was only announced").toBeLessThan(
    LIMIT,
  );
});

test("a frame that trickles in byte by byte takes no more room than twice what has come", () => {
  const parser = new FrameParser(2 ** 24);
  parser.push(Buffer.from([1, 0, 0, 0]), () => true);
  const before = process.memoryUsage();
  // Pieces of a million reads would take some hundred bytes each.
  for (let n = 0; n < 1_000_000; n++) parser.push(Buffer.of(n & 255), () => true);
  const after = process.memoryUsage();
  expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(8_000_000);
  expect(parser.isWithinFrame).toBe(true);
});

test("whoever has heard enough hears nothing more", () => {
  const frames: number[] = [];
  const two = Buffer.concat([lengthOf(Buffer.of(1)), Buffer.of(1), lengthOf(Buffer.of(2)), Buffer.of(2)]);
  new FrameParser(LIMIT).push(two, (frame) => {
    frames.push(frame[0]!);
    return false;
  });
  expect(frames).toEqual([1]);
});
