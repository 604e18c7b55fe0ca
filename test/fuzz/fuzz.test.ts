/** A short run of `npm run fuzz`, and what earlier ones and readers of the code have found. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { check, Finding, fuzz } from "../../scripts/fuzz/run.ts";
import { Refused, type Target, targets } from "../../scripts/fuzz/targets.ts";

const directory = new URL("./corpus/", import.meta.url);

describe("a few thousand inputs", () => {
  test.each(targets.map((target) => [target.name, target] as const))("%s", (_, target) => {
    const { accepted } = fuzz(target, 3000, 20_261_121);
    // Mutations that all bounce off the first byte, or change nothing, would prove nothing.
    expect(accepted).toBeGreaterThan(0);
    expect(accepted).toBeLessThan(3000);
  });
});

/** NAME-OF-TARGET--what-it-is.hex, white space does not count. */
describe("corpus", () => {
  test.each(readdirSync(directory).filter((file) => file.endsWith(".hex")))("%s", (file) => {
    const [name, what = ""] = file.replace(/\.hex$/, "").split("--");
    const target = targets.find((candidate) => candidate.name === name?.replaceAll("-", " "));
    const bytes = Buffer.from(readFileSync(new URL(file, directory), "utf8").replace(/\s/g, ""), "hex");
    expect(bytes.length).toBeGreaterThan(0);
    expect(check(target!, bytes).result).toBe(what.startsWith("good") ? "accepted" : "refused");
  });
});

describe("the fuzzer notices", () => {
  const decoder = (run: Target["run"]): Target => ({ name: "planted", sample: (chance) => chance.bytes(20), run });

  test.each<[string, Target["run"]]>([
    ["what is thrown that is not a refusal", (bytes) => (bytes[0] === 0 ? BigInt(`x${bytes[1]}`) : bytes)],
    [
      "a good input that is refused",
      () => {
        throw new Refused();
      },
    ],
    ["a list made by its count alone", (bytes) => new Array<number>(bytes.length * 100).fill(0)],
    ["a text that grows", (bytes) => "x".repeat(bytes.length * 100)],
  ])("%s", (_, run) => {
    expect(() => fuzz(decoder(run), 5000, 1)).toThrow(Finding);
  });

  test("nothing where there is nothing, and the same seed gives the same inputs", () => {
    const inputs = (seed: number): string[] => {
      const seen: string[] = [];
      fuzz(
        decoder((bytes) => bytes),
        200,
        seed,
        (bytes) => seen.push(Buffer.from(bytes).toString("hex")),
      );
      return seen;
    };
    expect(inputs(1)).toEqual(inputs(1));
    expect(inputs(1)).not.toEqual(inputs(2));
  });
});
