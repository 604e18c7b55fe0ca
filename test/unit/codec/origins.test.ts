/** An origin that is known by its bytes is the same as one that is read for the first time. */
import { expect, test } from "vitest";
import { ByteReader, ByteWriter, DecodeError } from "../../../src/codec/bytes.ts";
import { readOrigin } from "../../../src/codec/origins.ts";

function bytesOf(nodeId: string, epoch: string): Uint8Array {
  const writer = new ByteWriter();
  writer.string(nodeId);
  writer.hex(epoch);
  return writer.bytes().slice();
}

test("10,000 origins, more than are known at a time, read twice, each right", () => {
  for (let round = 0; round < 2; round++) {
    for (let n = 0; n < 10_000; n++) {
      const epoch = n.toString(16).padStart(16, "0");
      const reader = new ByteReader(bytesOf(`r${n % 300}`, epoch.replace(/^0/, "1")));
      if (readOrigin(reader) !== `r${n % 300}/${epoch.replace(/^0/, "1")}`) expect.fail(`origin ${n}`);
      if (reader.remaining > 0) expect.fail("it has left some bytes");
    }
  }
});

test("what is known does not hang on the bytes that it was read from", () => {
  const bytes = bytesOf("mine", "0123456789abcdef");
  readOrigin(new ByteReader(bytes));
  bytes[1] = "w".charCodeAt(0);
  expect(readOrigin(new ByteReader(bytes))).toBe("wine/0123456789abcdef");
  expect(readOrigin(new ByteReader(bytesOf("mine", "0123456789abcdef")))).toBe("mine/0123456789abcdef");
});

test.each([
  ["an empty name", bytesOf("", "0123456789abcdef")],
  ["a name of 65 bytes", bytesOf("n".repeat(65), "0123456789abcdef")],
  ["one that ends early", bytesOf("name", "0123456789abcdef").subarray(0, -1)],
  ["no UTF-8", Uint8Array.of(1, 0xff, 1, 2, 3, 4, 5, 6, 7, 8)],
])("%s is refused, again and again", (_, bytes) => {
  for (let n = 0; n < 2; n++) expect(() => readOrigin(new ByteReader(bytes))).toThrow(DecodeError);
});
