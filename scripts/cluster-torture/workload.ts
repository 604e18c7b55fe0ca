/** What the nodes write: overwrites of few keys and of more, deletes, batches, keys that expire. */
import type { Choices } from "../crash/random.ts";
import type { Write } from "./messages.ts";

const FEW_KEYS = 12;
const MORE_KEYS = 900;
const TWINS = 10;
const BATCH_MAX = 6;
const LONG_TTL_MS = 3_600_000;
export const SHORT_TTL_MS_MAX = 3000;

export interface Step {
  readonly isBatch: boolean;
  /** Of distinct keys; one, unless it is a batch. */
  readonly writes: readonly Write[];
  /** Of the value, characters. */
  readonly length: number;
  /** To be held by two nodes before it counts as acknowledged. */
  readonly safe: boolean;
  /** On all puts of the step. */
  readonly ttlMs?: number;
}

export function drawStep(choices: Choices, nodeId: string): Step {
  const safe = choices.below(4) === 0;
  const length = choices.below(40) === 0 ? 2000 + choices.below(20_000) : 20 + choices.below(150);
  const kind = choices.below(20);
  if (kind < 3) return { isBatch: true, writes: drawTwins(choices, nodeId), length, safe };
  const drawn = choices.below(12);
  const ttlMs = drawn === 0 ? LONG_TTL_MS : drawn === 1 ? 200 + choices.below(SHORT_TTL_MS_MAX - 200) : undefined;
  const ttl = ttlMs === undefined ? {} : { ttlMs };
  if (kind < 15) return { isBatch: false, writes: [drawWrite(choices, drawKey(choices))], length, safe, ...ttl };
  const keys = new Set(Array.from({ length: 2 + choices.below(BATCH_MAX - 1) }, () => drawKey(choices)));
  return { isBatch: true, writes: [...keys].map((key) => drawWrite(choices, key)), length, safe, ...ttl };
}

/** Two keys that are only written together. @param number  any whole number */
export function twinKeys(number: number): readonly [string, string] {
  // One is among the first keys and one is among the last.
  return [`a-twin/${number % TWINS}`, `z-twin/${number % TWINS}`];
}

function drawTwins(choices: Choices, nodeId: string): Write[] {
  const keys = twinKeys(choices.below(TWINS));
  if (choices.below(4) > 0) return keys.map((key) => [key, "put"]);
  // With a put, whose stamp shows that of the deletes.
  return [...keys.map((key): Write => [key, "del"]), [`mark/${nodeId}`, "put"]];
}

function drawKey(choices: Choices): string {
  return choices.below(2) === 0 ? `few/${choices.below(FEW_KEYS)}` : `more/${choices.below(MORE_KEYS)}`;
}

function drawWrite(choices: Choices, key: string): Write {
  return [key, choices.below(4) === 0 ? "del" : "put"];
}
