/** What the writers of a process that is to be killed write. */
import type { Choices } from "./random.ts";
import type { Write } from "./reports.ts";

/** Few, so that most writes meet an earlier one. */
const KEYS = 48;
const BATCH_MAX = 6;

export interface Step {
  readonly isBatch: boolean;
  /** Of distinct keys; one, unless it is a batch. */
  readonly writes: readonly Write[];
  /** On all puts of the step. Longer than any run, so that nothing expires: expiry leaves no trace in a ledger. */
  readonly ttlMs?: number;
}

export function drawStep(choices: Choices): Step {
  const ttl = choices.below(10) === 0 ? { ttlMs: 3_600_000 } : {};
  if (choices.below(4) > 0) return { isBatch: false, writes: [drawWrite(choices, drawKey(choices))], ...ttl };
  const keys = new Set(Array.from({ length: 2 + choices.below(BATCH_MAX - 1) }, () => drawKey(choices)));
  return { isBatch: true, writes: [...keys].map((key) => drawWrite(choices, key)), ...ttl };
}

function drawKey(choices: Choices): string {
  return `key-${String(choices.below(KEYS)).padStart(2, "0")}`;
}

function drawWrite(choices: Choices, key: string): Write {
  if (choices.below(5) === 0) return [key, null];
  return [key, choices.below(20) === 0 ? 4096 + choices.below(12_288) : 20 + choices.below(180)];
}
