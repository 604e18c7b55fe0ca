/**
 * What a simulated run does: hosts, conditions and a list of steps, drawn from a seed. A plan is plain data, so that a
 * failing one can be made smaller step by step, kept in a file and replayed.
 */
import { PAGE_BYTES } from "../../src/limits.ts";
import { SeededRandom } from "../../src/testing/seeded-random.ts";
import type { NetworkConditions } from "../../src/testing/sim-network.ts";

export interface HostPlan {
  readonly name: string;
  readonly durability: "always" | "os" | { readonly intervalMs: number };
  /** Without a directory: memory only. */
  readonly isMemoryOnly: boolean;
  /** When it is started for the first time. */
  readonly joinAtMs: number;
  /** What the wall clock is off by at the beginning. */
  readonly clockOffsetMs: number;
  readonly diskMs: number;
  /** Whether it dials all others, or only the first host, and learns of the others from it. */
  readonly knowsAll: boolean;
}

export type Frame = Exclude<keyof NetworkConditions, "latencyMs" | "jitterMs">;

export type Action =
  | {
      readonly type: "put";
      readonly host: number;
      readonly key: string;
      readonly bytes: number;
      readonly ttlMs?: number;
      readonly acks?: number;
    }
  | { readonly type: "delete"; readonly host: number; readonly key: string }
  | {
      readonly type: "batch";
      readonly host: number;
      readonly keys: readonly string[];
      readonly deletes: readonly string[];
      /** Of each value. */
      readonly bytes: number;
    }
  | { readonly type: "clear"; readonly host: number; readonly prefix: string }
  /** Puts, one after the other, over a few keys: so that something is written while replicas compare or catch up. */
  | { readonly type: "burst"; readonly host: number; readonly count: number; readonly everyMs: number }
  | { readonly type: "checkpoint" | "flush" | "verify" | "settled" | "backup"; readonly host: number }
  | { readonly type: "reached"; readonly host: number; readonly other: number }
  | { readonly type: "reopen"; readonly host: number; readonly downMs: number }
  | { readonly type: "leave"; readonly host: number }
  | {
      readonly type: "kill" | "power";
      readonly host: number;
      readonly downMs: number;
      /** The power goes again so many times while it opens. */
      readonly again: number;
      /** The power goes so long after it was started again. */
      readonly powerAfterMs?: number;
    }
  | { readonly type: "pause"; readonly host: number; readonly forMs: number }
  | { readonly type: "partition"; readonly left: readonly number[]; readonly forMs: number }
  | { readonly type: "oneWay"; readonly from: number; readonly to: number; readonly forMs: number }
  | { readonly type: "reset" | "halfOpen"; readonly a: number; readonly b: number }
  /** The connection breaks again and again: what the two have for each other goes round by a third. */
  | {
      readonly type: "bounce";
      readonly a: number;
      readonly b: number;
      readonly times: number;
      readonly everyMs: number;
    }
  | {
      readonly type: "slow";
      readonly from: number;
      readonly to: number;
      readonly bytesPerMs: number;
      readonly forMs: number;
    }
  | { readonly type: "frames"; readonly what: Frame; readonly rate: number; readonly forMs: number }
  | { readonly type: "latency"; readonly ms: number; readonly jitterMs: number; readonly forMs: number }
  | { readonly type: "clockJump"; readonly host: number; readonly ms: number }
  | { readonly type: "clockFreeze"; readonly host: number; readonly forMs: number }
  | { readonly type: "clockDrift"; readonly host: number; readonly rate: number }
  | {
      readonly type: "diskError";
      readonly host: number;
      readonly operation: string;
      readonly code: string;
      readonly powerAfterMs?: number;
    }
  | { readonly type: "diskFull"; readonly host: number; readonly forMs: number }
  | { readonly type: "diskSlow"; readonly host: number; readonly ms: number; readonly forMs: number }
  | { readonly type: "misdirected" | "flippedWrite" | "flippedRead"; readonly host: number }
  | { readonly type: "bitRot"; readonly host: number; readonly downMs: number }
  | { readonly type: "wipe" | "oldBackup" | "rollback"; readonly host: number; readonly downMs: number }
  /** The second time it opens again, evicted or not. */
  | { readonly type: "away"; readonly host: number }
  | { readonly type: "evict"; readonly host: number; readonly other: number }
  | { readonly type: "clone"; readonly host: number; readonly forMs: number }
  | {
      readonly type: "stranger";
      readonly host: number;
      readonly says: "garbage" | "otherVersion" | "otherCluster" | "nothing";
    };

export type Step = { readonly atMs: number } & Action;

export interface Plan {
  readonly seed: number;
  readonly hosts: readonly HostPlan[];
  readonly maxDriftMs: number;
  readonly conditions: NetworkConditions;
  /**
   * Each host reaches the one before it and the one behind it only, as long as all are there: what the others write comes by
   * two ways. Default: all reach all.
   */
  readonly isRing?: boolean;
  /** In order of `atMs`. */
  readonly steps: readonly Step[];
  /** When faults end and everything has to heal. */
  readonly faultsEndMs: number;
}

type Draw = (random: SeededRandom, hosts: number, plan: { maxDriftMs: number }) => Action;

const any = (random: SeededRandom, hosts: number): number => random.below(hosts);
const key = (random: SeededRandom): string => `k${random.below(random.chance(0.8) ? 4 : 12)}`;
const bytes = (random: SeededRandom): number =>
  random.chance(0.1) ? random.between(20_000, 200_000) : random.below(60);
const pair = (random: SeededRandom, hosts: number): [number, number] => {
  const a = random.below(hosts);
  return [a, (a + 1 + random.below(Math.max(1, hosts - 1))) % hosts];
};

const burst = (random: SeededRandom, hosts: number): Action => ({
  type: "burst",
  host: any(random, hosts),
  count: random.between(5, 30),
  everyMs: random.pick([0, 1, 10]),
});

/** What users do. The weight says how often. */
const WORK: readonly (readonly [number, Draw])[] = [
  [10, (r, n) => ({ type: "put", host: any(r, n), key: key(r), bytes: bytes(r) })],
  [2, (r, n) => ({ type: "put", host: any(r, n), key: key(r), bytes: 5, ttlMs: r.between(1, 6000) })],
  [1, (r, n) => ({ type: "put", host: any(r, n), key: key(r), bytes: 5, acks: r.between(1, n) })],
  [5, (r, n) => ({ type: "delete", host: any(r, n), key: key(r) })],
  [
    4,
    (r, n) => ({
      type: "batch",
      host: any(r, n),
      keys: [key(r), key(r), `b${r.below(5)}`],
      deletes: r.chance(0.5) ? [key(r)] : [],
      // Now and then more than a page takes.
      bytes: r.chance(0.02) ? PAGE_BYTES : 8,
    }),
  ],
  [1, (r, n) => ({ type: "clear", host: any(r, n), prefix: r.pick(["k", "k1", "b", ""]) })],
  [1, (r, n) => burst(r, n)],
  [2, (r, n) => ({ type: "checkpoint", host: any(r, n) })],
  [1, (r, n) => ({ type: "flush", host: any(r, n) })],
  [1, (r, n) => ({ type: "verify", host: any(r, n) })],
  [1, (r, n) => ({ type: "backup", host: any(r, n) })],
  [1, (r, n) => ({ type: "settled", host: any(r, n) })],
  [1, (r, n) => ({ type: "reached", host: any(r, n), other: any(r, n) })],
];

const downMs = (random: SeededRandom): number => random.pick([0, 5, 200, 1500, 4000]);
const forMs = (random: SeededRandom): number => random.pick([50, 400, 2000, 6000, 20_000]);

/** Kinds of faults, by name: a run has some of them, so that the others cannot hide what these find. */
const FAULTS: Record<string, Draw> = {
  kill: (r, n) => ({
    type: "kill",
    host: any(r, n),
    downMs: downMs(r),
    again: r.chance(0.3) ? r.between(1, 3) : 0,
    ...(r.chance(0.5) ? { powerAfterMs: r.between(0, 60) } : {}),
  }),
  power: (r, n) => ({ type: "power", host: any(r, n), downMs: downMs(r), again: r.chance(0.3) ? r.between(1, 3) : 0 }),
  reopen: (r, n) => ({ type: "reopen", host: any(r, n), downMs: downMs(r) }),
  pause: (r, n) => ({ type: "pause", host: any(r, n), forMs: forMs(r) }),
  partition: (r, n) => ({
    type: "partition",
    left: Array.from({ length: n }, (_, i) => i).filter(() => r.chance(0.5)),
    forMs: forMs(r),
  }),
  oneWay: (r, n) => {
    const [from, to] = pair(r, n);
    return { type: "oneWay", from, to, forMs: forMs(r) };
  },
  reset: (r, n) => {
    const [a, b] = pair(r, n);
    return { type: "reset", a, b };
  },
  halfOpen: (r, n) => {
    const [a, b] = pair(r, n);
    return { type: "halfOpen", a, b };
  },
  bounce: (r, n) => {
    const [a, b] = pair(r, n);
    return { type: "bounce", a, b, times: r.between(2, 8), everyMs: r.pick([5, 60, 400]) };
  },
  slow: (r, n) => {
    const [from, to] = pair(r, n);
    return { type: "slow", from, to, bytesPerMs: r.pick([0.2, 2, 50]), forMs: forMs(r) };
  },
  loss: (r) => ({ type: "frames", what: "loss", rate: r.fraction() * 0.3, forMs: forMs(r) }),
  duplicate: (r) => ({ type: "frames", what: "duplicate", rate: r.fraction() * 0.3, forMs: forMs(r) }),
  reorder: (r) => ({ type: "frames", what: "reorder", rate: r.fraction() * 0.3, forMs: forMs(r) }),
  damage: (r) => ({ type: "frames", what: "damage", rate: r.fraction() * 0.1, forMs: forMs(r) }),
  cut: (r) => ({ type: "frames", what: "cut", rate: r.fraction() * 0.3, forMs: forMs(r) }),
  latency: (r) => ({ type: "latency", ms: r.pick([5, 50, 500]), jitterMs: r.pick([0, 5, 300]), forMs: forMs(r) }),
  clockJump: (r, n, { maxDriftMs }) => ({
    type: "clockJump",
    host: any(r, n),
    ms: Math.round((r.fraction() * 4 - 2) * Math.min(maxDriftMs, CLOCK_JUMP_MS_MAX)),
  }),
  clockFreeze: (r, n) => ({ type: "clockFreeze", host: any(r, n), forMs: forMs(r) }),
  clockDrift: (r, n) => ({ type: "clockDrift", host: any(r, n), rate: 1 + (r.fraction() - 0.5) / 5 }),
  diskError: (r, n) => ({
    type: "diskError",
    host: any(r, n),
    operation: r.pick([
      "write",
      "write",
      "sync",
      "sync",
      "rename",
      "syncDirectory",
      "create",
      "read",
      "open",
      "list",
      "remove",
      "truncate",
    ]),
    code: r.pick(["EIO", "EIO", "ENOSPC", "EACCES"]),
    ...(r.chance(0.5) ? { powerAfterMs: r.between(0, 60) } : {}),
  }),
  diskFull: (r, n) => ({ type: "diskFull", host: any(r, n), forMs: forMs(r) }),
  diskSlow: (r, n) => ({ type: "diskSlow", host: any(r, n), ms: r.pick([20, 300, 5000]), forMs: forMs(r) }),
  misdirected: (r, n) => ({ type: "misdirected", host: any(r, n) }),
  flippedWrite: (r, n) => ({ type: "flippedWrite", host: any(r, n) }),
  flippedRead: (r, n) => ({ type: "flippedRead", host: any(r, n) }),
  bitRot: (r, n) => ({ type: "bitRot", host: any(r, n), downMs: downMs(r) }),
  wipe: (r, n) => ({ type: "wipe", host: any(r, n), downMs: downMs(r) }),
  oldBackup: (r, n) => ({ type: "oldBackup", host: any(r, n), downMs: downMs(r) }),
  rollback: (r, n) => ({ type: "rollback", host: any(r, n), downMs: downMs(r) }),
  away: (r, n) => ({ type: "away", host: any(r, n) }),
  evict: (r, n) => ({ type: "evict", host: any(r, n), other: any(r, n) }),
  clone: (r, n) => ({ type: "clone", host: any(r, n), forMs: forMs(r) }),
  leave: (r, n) => ({ type: "leave", host: any(r, n) }),
  stranger: (r, n) => ({
    type: "stranger",
    host: any(r, n),
    says: r.pick(["garbage", "otherVersion", "otherCluster", "nothing"]),
  }),
};

/** What was stamped ahead of time is refused until it is due: it has to fall due before the run ends. */
const CLOCK_JUMP_MS_MAX = 5000;

export const FAULT_KINDS: readonly string[] = Object.keys(FAULTS);

/** Kinds that take two steps on one host: the second one undoes the first, or goes back to it. */
const TWO_STEPS: readonly string[] = ["away", "oldBackup", "rollback"];
const SECOND_STEP_CHANCE = 0.5;
/** A replica that returns is dialed, and compared with the others, within about so long. */
const RETURN_MS = 1000;

/** How often a kind of fault is among those of a run. */
const SWARM_CHANCE = 0.15;
const LONG_CHANCE = 0.12;
/** Of the runs with enough replicas for one. */
const RING_CHANCE = 0.5;
const RING_HOSTS_MIN = 4;
/** What a long run is for. */
const LONG_KINDS: readonly string[] = ["away", "evict", "oldBackup", "wipe"];
const LONG_KINDS_CHANCE = 0.5;

/** The plan of a seed: always the same one. */
export function drawPlan(seed: number): Plan {
  const random = new SeededRandom(seed, "plan");
  const count = random.pick([2, 2, 3, 3, 3, 3, 4, 5]);
  const maxDriftMs = random.pick([1000, 2000, 60_000]);
  const durability = random.pick(["always", "always", "mixed"] as const);
  const hosts = Array.from({ length: count }, (_, index) =>
    drawHost(random, index, maxDriftMs, durability === "mixed"),
  );
  // So long that tombstones are collected, with an eviction now and then.
  const isLong = random.chance(LONG_CHANCE);
  const faultsEndMs = isLong ? random.pick([150_000, 250_000]) : random.pick([1500, 3000, 6000]);
  const chance = (kind: string): number => (isLong && LONG_KINDS.includes(kind) ? LONG_KINDS_CHANCE : SWARM_CHANCE);
  const kinds = FAULT_KINDS.filter((kind) => random.chance(chance(kind)));
  const steps: Step[] = [];
  const works = random.between(5, 40);
  for (let n = 0; n < works; n++)
    steps.push({ atMs: moment(random, faultsEndMs), ...drawWork(random, count, { maxDriftMs }) });
  const faults = kinds.length === 0 ? 0 : random.between(1, 12);
  for (let n = 0; n < faults; n++) {
    const draw = FAULTS[random.pick(kinds)];
    if (draw === undefined) continue;
    const step: Step = { atMs: moment(random, faultsEndMs), ...draw(random, count, { maxDriftMs }) };
    steps.push(step);
    if (TWO_STEPS.includes(step.type) && random.chance(SECOND_STEP_CHANCE)) {
      const atMs = moment(random, faultsEndMs);
      steps.push({ ...step, atMs });
      // Who returns after long is compared with the others: that is when writes and broken connections are most trouble.
      for (let bursts = isLong ? random.between(1, 3) : 0; bursts > 0; bursts--) {
        const soonMs = atMs + random.below(RETURN_MS);
        steps.push({ atMs: soonMs, ...burst(random, count) });
        const [a, b] = pair(random, count);
        if (random.chance(0.5)) {
          steps.push({ atMs: soonMs + random.below(RETURN_MS), type: "bounce", a, b, times: 3, everyMs: 60 });
        }
      }
    }
  }
  steps.sort((a, b) => a.atMs - b.atMs);
  const conditions = {
    latencyMs: random.pick([0.1, 1, 20]),
    jitterMs: random.pick([0, 1, 30]),
    loss: 0,
    duplicate: 0,
    reorder: 0,
    damage: 0,
    cut: 0,
  };
  // Drawn apart, so that all else is what it was before there were rings.
  const isRing = count >= RING_HOSTS_MIN && new SeededRandom(seed, "shape").chance(RING_CHANCE);
  return { seed, hosts, maxDriftMs, conditions, ...(isRing ? { isRing } : {}), steps, faultsEndMs };
}

function drawHost(random: SeededRandom, index: number, maxDriftMs: number, isMixed: boolean): HostPlan {
  const durability = isMixed ? random.pick(["always", "os", { intervalMs: 200 }] as const) : "always";
  return {
    name: "abcdefgh"[index] ?? `n${index}`,
    durability,
    isMemoryOnly: isMixed && random.chance(0.2),
    joinAtMs: index > 0 && random.chance(0.3) ? random.between(0, 1500) : 0,
    clockOffsetMs: Math.round((random.fraction() - 0.5) * maxDriftMs),
    diskMs: random.pick([0.1, 1, 1, 8]),
    knowsAll: random.chance(0.6),
  };
}

function drawWork(random: SeededRandom, hosts: number, plan: { maxDriftMs: number }): Action {
  const total = WORK.reduce((sum, [weight]) => sum + weight, 0);
  let left = random.below(total);
  for (const [weight, draw] of WORK) {
    left -= weight;
    if (left < 0) return draw(random, hosts, plan);
  }
  throw new RangeError("the weights add up");
}

/** Steps come in bursts: half of them at one of a few moments, so that they meet. */
function moment(random: SeededRandom, endMs: number): number {
  if (random.chance(0.5)) return random.below(endMs);
  return Math.floor((random.below(6) * endMs) / 6) + random.below(15);
}
