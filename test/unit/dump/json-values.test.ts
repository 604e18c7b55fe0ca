/** Values as JSON: every kind comes back as what it was, and what is no value is refused. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeValue } from "../../../src/codec/values.ts";
import { fromJson, type Json, toJson } from "../../../src/dump/json-values.ts";
import { value } from "../../models/arbitrary-codec.ts";

const throughJson = (original: unknown): unknown => fromJson(JSON.parse(JSON.stringify(toJson(original))) as Json);

test("every value comes back as what it was", () => {
  fc.assert(
    fc.property(value, (original) => {
      // Equal bytes mean equal values with their fields in the same order.
      expect(Buffer.compare(encodeValue(throughJson(original)), encodeValue(original))).toBe(0);
    }),
    { numRuns: 1000 },
  );
});

describe("the forms", () => {
  const FORMS: readonly (readonly [unknown, string])[] = [
    [0, "0"],
    [-0, '{"$number":"-0"}'],
    [Number.NaN, '{"$number":"NaN"}'],
    [Number.POSITIVE_INFINITY, '{"$number":"Infinity"}'],
    [Number.NEGATIVE_INFINITY, '{"$number":"-Infinity"}'],
    [5n, '{"$bigint":"5"}'],
    [Uint8Array.of(0, 1), '{"$bytes":"AAE="}'],
    [new Date(5), '{"$date":5}'],
    [new Date(Number.NaN), '{"$date":null}'],
    [new Map([[1, [2n]]]), '{"$map":[[1,[{"$bigint":"2"}]]]}'],
    [{ $bigint: "5" }, '{"$object":{"$bigint":"5"}}'],
    [{ $object: { $x: 1 } }, '{"$object":{"$object":{"$object":{"$x":1}}}}'],
    [{ $: 1 }, '{"$object":{"$":1}}'],
    [{ $a: 1, $b: 2 }, '{"$a":1,"$b":2}'], // no tag has two fields
    [JSON.parse('{"__proto__":[{"$x":1}]}'), '{"__proto__":[{"$object":{"$x":1}}]}'],
  ];

  test.each(FORMS.map(([original, text]) => [text, original] as const))("%s", (text, original) => {
    expect(JSON.stringify(toJson(original))).toBe(text);
    expect(Buffer.compare(encodeValue(fromJson(JSON.parse(text) as Json)), encodeValue(original))).toBe(0);
  });

  test("a field __proto__ is no prototype", () => {
    const back = throughJson(JSON.parse('{"__proto__":{"admin":true}}')) as { admin?: boolean };
    expect(back.admin).toBeUndefined();
    expect(Object.keys(back)).toEqual(["__proto__"]);
  });
});

test.each([
  ['{"$oops":1}', 'no kind of value "$oops"'],
  ['{"$number":"1"}', '"$number"'],
  ['{"$number":0}', '"$number"'],
  ['{"$bigint":5}', '"$bigint"'],
  ['{"$bigint":"5n"}', '"$bigint"'],
  [`{"$bigint":"${"1".repeat(21)}"}`, '"$bigint"'],
  ['{"$bytes":"AAE"}', '"$bytes"'],
  ['{"$bytes":"A-E="}', '"$bytes"'],
  ['{"$date":"2020"}', '"$date"'],
  ['{"$date":1e300}', '"$date"'],
  ['{"$map":[[1]]}', '"$map"'],
  ['{"$map":{}}', '"$map"'],
  ['{"$object":[]}', '"$object"'],
  ['{"$object":null}', '"$object"'],
  ['{"a":[{"$oops":1}]}', "$oops"], // however deep
])("%s is refused", (text, message) => {
  expect(() => fromJson(JSON.parse(text) as Json)).toThrow(message);
});
