/** Feeds inputs to decoders and looks what they do with them. */
import { mutate } from "./mutations.ts";
import { Chance } from "./random.ts";
import { Refused, type Target } from "./targets.ts";

export interface FuzzReport {
  readonly target: string;
  readonly runs: number;
  /** How many of them were accepted: if none or all, the mutations are no use. */
  readonly accepted: number;
  readonly slowestMs: number;
  /** The most parts that were made of an input, for each of its bytes. */
  readonly mostParts: number;
}

/** An input that does what none may do. */
export class Finding extends Error {
  override readonly name = "Finding";
}

const POOL = 200;
/** Objects, elements, fields, eights of a text: what a decoder makes of a byte at most, and of an input beside that. */
const PARTS_PER_BYTE_MAX = 3;
const PARTS_MAX = 64;
/** Far more than any input takes; a decoder that hangs takes longer. */
const INPUT_MS_MAX = 2000;

/**
 * @param onInput  called before each input, so that one that ends the process is known
 * @throws Finding
 */
export function fuzz(
  target: Target,
  runs: number,
  seed: number,
  onInput: (bytes: Uint8Array) => void = nothing,
): FuzzReport {
  const chance = new Chance(seed);
  const pool = Array.from({ length: POOL }, () => target.sample(chance)) as [Uint8Array, ...Uint8Array[]];
  for (const sample of target.acceptsSamples === false ? [] : pool)
    if (check(target, sample).result === "refused") throw finding(target, sample, "a good input is refused");
  let [accepted, slowestMs, mostParts] = [0, 0, 0];
  for (let run = 0; run < runs; run++) {
    const mutated = mutate(chance, chance.of(pool), chance.of(pool));
    // One in eight keeps its wrong checksums.
    const bytes = target.reseal === undefined || chance.oneIn(8) ? mutated : target.reseal(mutated);
    onInput(bytes);
    const outcome = check(target, bytes);
    if (outcome.result === "accepted") {
      accepted += 1;
      // What gets through is a better start than what does not.
      if (chance.oneIn(16)) pool[chance.below(POOL)] = Uint8Array.from(bytes);
    }
    slowestMs = Math.max(slowestMs, outcome.ms);
    mostParts = Math.max(mostParts, outcome.partsPerByte);
  }
  return { target: target.name, runs, accepted, slowestMs, mostParts };
}

export interface Outcome {
  readonly result: "accepted" | "refused";
  readonly ms: number;
  readonly partsPerByte: number;
}

/** Runs one input. @throws Finding */
export function check(target: Target, bytes: Uint8Array): Outcome {
  const before = performance.now();
  let decoded: unknown;
  let result: Outcome["result"] = "accepted";
  try {
    decoded = target.run(bytes);
  } catch (error) {
    if (!(error instanceof Refused)) throw finding(target, bytes, String(error), error);
    result = "refused";
  }
  const ms = performance.now() - before;
  if (ms > INPUT_MS_MAX) throw finding(target, bytes, `it took ${Math.round(ms)} ms`);
  const parts = result === "accepted" ? partsOf(decoded) : 0;
  if (parts > PARTS_MAX + PARTS_PER_BYTE_MAX * bytes.length)
    throw finding(target, bytes, `${parts} parts were made of it`);
  return { result, ms, partsPerByte: parts / Math.max(1, bytes.length) };
}

function finding(target: Target, bytes: Uint8Array, what: string, cause?: unknown): Finding {
  const hex = Buffer.from(bytes).toString("hex");
  return new Finding(`${target.name}: ${what}\n  keep it as test/fuzz/corpus/${target.name}--NAME.hex:\n  ${hex}`, {
    cause,
  });
}

/** Everything that was allocated, counted roughly. Bytes that are views cost what one part does. */
function partsOf(decoded: unknown): number {
  if (typeof decoded === "string") return 1 + Math.floor(decoded.length / 8);
  if (typeof decoded !== "object" || decoded === null || decoded instanceof Uint8Array || decoded instanceof Date)
    return 1;
  let parts = 1;
  const inside = decoded instanceof Map ? [...decoded.keys(), ...decoded.values()] : Object.values(decoded);
  // Names of entries' fields are the program's, not the input's; those of a value are texts of it.
  for (const part of inside) parts += partsOf(part);
  return parts;
}

function nothing(): void {
  // Nobody wants to know.
}
