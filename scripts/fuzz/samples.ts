/** Good inputs, drawn at random: where mutations start from. */
import type { StateOp } from "../../src/core/ops.ts";
import type { AuthorVersion, EphemeralNews, Hello, Message } from "../../src/sync/messages.ts";
import { type Entry, type Epoch, makeOrigin, type NodeId, type Origin } from "../../src/types.ts";
import type { Chance } from "./random.ts";

export function sampleValue(chance: Chance, depth = 0): unknown {
  const leaf = chance.below(depth > 4 ? 9 : 13);
  const many = <T>(make: () => T): T[] => Array.from({ length: chance.below(5) }, make);
  switch (leaf) {
    case 0:
      return null;
    case 1:
      return chance.oneIn(2);
    case 2:
      return chance.below(300) - 100;
    case 3:
      return chance.oneIn(2) ? chance.integer() : -chance.integer() / 7;
    case 4:
      return BigInt.asIntN(64, (BigInt(chance.bits()) << 32n) | BigInt(chance.bits()));
    case 5:
    case 6:
      return sampleText(chance);
    case 7:
      return chance.bytes(chance.below(40));
    case 8:
      return new Date(chance.oneIn(5) ? Number.NaN : chance.integer() % 8.64e15);
    case 9:
    case 10:
      return many(() => sampleValue(chance, depth + 1));
    case 11:
      return new Map(many(() => [sampleValue(chance, depth + 1), sampleValue(chance, depth + 1)] as const));
    default:
      return Object.fromEntries(many(() => [sampleText(chance), sampleValue(chance, depth + 1)] as const));
  }
}

export function sampleText(chance: Chance): string {
  const letters = ["a", "b", "key/", "é", "漢", "😀", "__proto__", "0", " "] as const;
  return Array.from({ length: chance.below(7) }, () => chance.of(letters)).join("");
}

export function sampleNodeId(chance: Chance): NodeId {
  return `n${sampleText(chance).slice(0, 8).toWellFormed()}` as NodeId;
}

export function sampleOrigin(chance: Chance): Origin {
  return makeOrigin(sampleNodeId(chance), chance.hex64() as Epoch);
}

/** Entries by a few authors, as a batch or a catch-up has them. */
export function sampleEntries(chance: Chance, value: (chance: Chance) => Uint8Array): Entry[] {
  const origins = [sampleOrigin(chance), sampleOrigin(chance)] as const;
  const stamp = Math.floor(2 ** 40 + chance.integer() / 2 ** 12);
  return Array.from({ length: chance.below(8) }, (_, index) => ({
    key: Buffer.from(`k${sampleText(chance)}`),
    value: chance.oneIn(4) ? null : value(chance),
    stamp: stamp + (index >> 1),
    origin: chance.of(origins),
    seq: 1 + chance.below(1000),
    expiresAt: chance.oneIn(4) ? 1 + chance.below(2 ** 31) : 0,
  }));
}

export function sampleVector(chance: Chance): [Origin, number][] {
  return Array.from({ length: chance.below(6) }, () => [sampleOrigin(chance), chance.integer()]);
}

export function sampleOps(chance: Chance, value: (chance: Chance) => Uint8Array): StateOp[] {
  const sets = sampleEntries(chance, value).map((entry): StateOp => ({ type: "set", entry }));
  const origin = sampleOrigin(chance);
  const others: StateOp[] = [
    { type: "cover", origin, seq: chance.integer() },
    { type: "uncover", origin, seq: chance.integer() },
    { type: "ack", peer: sampleNodeId(chance), origin, seq: chance.below(100) },
    { type: "lease", stamp: 0 },
    { type: "expire", key: Buffer.from("k"), origin, seq: 1 + chance.below(9) },
    { type: "collect", key: Buffer.from("k"), origin, seq: 1 + chance.below(9) },
    { type: "frontier", origin, seq: chance.below(9) },
    { type: "rotate", epoch: chance.hex64() as Epoch },
  ];
  return [...sets, ...others.filter(() => chance.oneIn(2))];
}

export function sampleMessage(chance: Chance, value: (chance: Chance) => Uint8Array): Message {
  const links = Array.from({ length: chance.below(4) }, () => sampleNodeId(chance));
  const buckets = Array.from({ length: chance.below(4) }, () => chance.below(2048));
  switch (chance.below(12)) {
    case 0:
      return sampleHello(chance, links);
    case 9:
      return sampleEphemeral(chance, value);
    case 1:
    case 2: {
      const mark = chance.oneIn(2) ? sampleVector(chance) : null;
      const entries = sampleEntries(chance, value);
      return {
        type: "page",
        entries,
        last: chance.oneIn(2),
        runFrom: 0,
        runTo: chance.below(9),
        mark,
        ackNow: chance.oneIn(4),
      };
    }
    case 3:
      return { type: "ack", frames: chance.below(999), vector: sampleVector(chance), kept: chance.below(99) };
    case 4:
      return chance.oneIn(2)
        ? { type: "links", links }
        : { type: "probe", digest: chance.hex64(), wallClock: chance.integer() };
    case 5:
      return {
        type: "digests",
        list: chance.oneIn(2),
        bulk: chance.oneIn(2),
        buckets: buckets.map((index) => ({ index, sum: chance.hex64() })),
      };
    case 6: {
      const entries = sampleEntries(chance, value);
      return { type: "listing", differing: buckets, listed: buckets, entries, busy: [chance.bytes(3)], size: 9 };
    }
    case 7:
      return { type: "round", number: 3, members: links, low: sampleVector(chance), high: sampleVector(chance) };
    case 8:
      return { type: "frontier", vector: sampleVector(chance) };
    case 10:
      return { type: "supply", prune: links, graft: [sampleNodeId(chance)] };
    default:
      return { type: "bye", code: "closing", detail: sampleText(chance) };
  }
}

function sampleEphemeral(chance: Chance, value: (chance: Chance) => Uint8Array): EphemeralNews {
  const author = (): AuthorVersion => ({
    nodeId: sampleNodeId(chance),
    generation: chance.integer(),
    incarnation: chance.hex64(),
    version: 10 + chance.below(300),
  });
  const news = Array.from({ length: chance.below(4) }, () => {
    const cells = Array.from({ length: chance.below(6) }, (_, index) => ({
      key: `presence/${chance.below(9)}`,
      value: chance.oneIn(3) ? null : value(chance),
      version: 4 + index,
    }));
    const times = { leaseMs: 1000 + chance.below(9000), ageMs: chance.below(9000) };
    return { ...author(), from: chance.below(4), ...times, closed: chance.oneIn(4), cells };
  });
  return { type: "ephemeral", taken: chance.below(9), held: Array.from({ length: chance.below(4) }, author), news };
}

function sampleHello(chance: Chance, links: NodeId[]): Hello {
  return {
    type: "hello",
    versionMin: 1,
    versionMax: 1 + chance.below(3),
    clusterId: "prod",
    nodeId: sampleNodeId(chance),
    epoch: chance.hex64() as Epoch,
    incarnation: chance.hex64(),
    vector: sampleVector(chance),
    addresses: Array.from({ length: chance.below(3) }, () => `ws://${chance.below(256)}:1`),
    links,
    wallClock: chance.integer(),
    frontier: sampleVector(chance),
    features: chance.below(4),
  };
}
