import { randomFillSync } from "node:crypto";

/** The port for randomness. */
export interface Random {
  /** 64 random bits as 16 lower-case hex digits. */
  hex64(): string;
  /** A number in [0, 1), for jitter. */
  fraction(): number;
}

export const systemRandom: Random = {
  hex64: () => randomFillSync(Buffer.alloc(8)).toString("hex"),
  fraction: () => randomFillSync(new Uint32Array(1))[0]! / 2 ** 32,
};
