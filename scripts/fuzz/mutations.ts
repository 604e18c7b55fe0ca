/** What damage and malice do to bytes that were good. */
import type { Chance } from "./random.ts";

/** One to four changes. @param other  another good input of the same kind, to take parts from */
export function mutate(chance: Chance, bytes: Uint8Array, other: Uint8Array): Uint8Array {
  let mutated = bytes;
  for (let count = 1 + chance.below(4); count > 0; count--) mutated = chance.of(MUTATIONS)(chance, mutated, other);
  return mutated.length > BYTES_MAX ? mutated.subarray(0, BYTES_MAX) : mutated;
}

/** No input is longer, so that a million of them are quick; decoders are bounded by what is there in any case. */
const BYTES_MAX = 64 * 1024;

type Mutation = (chance: Chance, bytes: Uint8Array, other: Uint8Array) => Uint8Array;

const MUTATIONS: readonly [Mutation, ...Mutation[]] = [
  flipBit,
  setByte,
  (chance, bytes) => spliced(bytes, chance.below(bytes.length + 1), 1 + chance.below(8), NOTHING),
  (chance, bytes) => spliced(bytes, chance.below(bytes.length + 1), 0, chance.bytes(1 + chance.below(8))),
  (chance, bytes) => spliced(bytes, chance.below(bytes.length + 1), chance.below(9), chance.of(TELLING)),
  (chance, bytes) => bytes.subarray(0, chance.below(bytes.length + 1)),
  repeatPart,
  (chance, bytes, other) => {
    const at = chance.below(other.length + 1);
    const part = other.subarray(at, at + 1 + chance.below(64));
    return spliced(bytes, chance.below(bytes.length + 1), chance.below(part.length + 1), part);
  },
];

const NOTHING = new Uint8Array(0);

/** Numbers and heads that decoders trip over: lengths that are not there, counts without end, nesting. */
const TELLING: readonly [Uint8Array, ...Uint8Array[]] = [
  Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f),
  Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01),
  Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00),
  Uint8Array.of(0xff, 0xff, 0xff, 0x7f),
  Uint8Array.of(0xff, 0xff, 0x03),
  Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff),
  Uint8Array.of(0xdd, 0, 0, 0x10, 0),
  Uint8Array.of(0xdf, 0x7f, 0xff, 0xff, 0xff),
  Uint8Array.of(0xdb, 0xff, 0xff, 0xff, 0xff),
  Uint8Array.of(0xc6, 0x7f, 0xff, 0xff, 0xff),
  Uint8Array.of(0xc9, 0xff, 0xff, 0xff, 0xff, 1),
  Uint8Array.of(0xd7, 0xff, 0xff, 0xff, 0xff, 0xff),
  Uint8Array.of(0x91),
  Uint8Array.of(0x81, 0xa1, 0x61),
  Uint8Array.of(0xed, 0xa0, 0x80),
  Uint8Array.of(0xf4, 0x90, 0x80, 0x80),
  Buffer.from("\u001b[2J\n"),
  Buffer.from("__proto__"),
  Uint8Array.of(0, 0, 0, 0, 0, 0, 0xf8, 0x7f),
  Uint8Array.of(0),
  Uint8Array.of(0x7f),
  Uint8Array.of(0x80),
  Uint8Array.of(0xff),
];

function flipBit(chance: Chance, bytes: Uint8Array): Uint8Array {
  const flipped = Uint8Array.from(bytes);
  const at = chance.below(bytes.length);
  flipped[at] = (flipped[at] ?? 0) ^ (1 << chance.below(8));
  return flipped;
}

function setByte(chance: Chance, bytes: Uint8Array): Uint8Array {
  const changed = Uint8Array.from(bytes);
  changed[chance.below(bytes.length)] = chance.below(256);
  return changed;
}

/** The same part again and again: nested heads, endless lists. */
function repeatPart(chance: Chance, bytes: Uint8Array): Uint8Array {
  const at = chance.below(bytes.length + 1);
  const part = bytes.subarray(at, at + 1 + chance.below(4));
  const times = chance.oneIn(20) ? 1000 : 1 + chance.below(20);
  return spliced(bytes, at, 0, Buffer.concat(new Array<Uint8Array>(times).fill(part)));
}

function spliced(bytes: Uint8Array, at: number, removed: number, added: Uint8Array): Uint8Array {
  return Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at + removed)]);
}
