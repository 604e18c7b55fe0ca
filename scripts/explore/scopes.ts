/** Scopes of the search, small to large. */
import { FLOW_LIMITS, type FlowLimits } from "../../src/sync/flow.ts";
import type { Scope } from "./world.ts";

/** So small that pages, fall-backs to catch-up and partial transfers happen. */
const TINY: FlowLimits = {
  ...FLOW_LIMITS,
  pageBytes: 60,
  pageEntries: 1,
  windowBytes: 150,
  partEntries: 1,
  stagedBytes: 1000,
  stagedEntries: 2,
  relayWaits: 1,
};

const PAIR = [[0, 1]] as const;
const LINE = [
  [0, 1],
  [1, 2],
] as const;
const RING = [...LINE, [0, 2]] as const;

const NONE = {
  cuts: 0,
  crashes: 0,
  waits: 0,
  ticks: 0,
  batches: false,
  fromHello: false,
  seeded: false,
  deletesOnly: false,
};
/** A key that everybody has, deleted; ticks enough for the two rounds after which its tombstone goes. */
const COLLECT = { ...NONE, keys: 1, writes: 1, ticks: 5, seeded: true, deletesOnly: true };

export const SCOPES: Readonly<Record<string, Scope>> = {
  hello: { ...NONE, replicas: 2, keys: 1, writes: 1, fromHello: true, links: PAIR },
  // Where there is a tick: acks that nobody waits for come with it.
  pair: { ...NONE, replicas: 2, keys: 1, writes: 2, ticks: 1, links: PAIR },
  "pair-cut": { ...NONE, replicas: 2, keys: 1, writes: 1, cuts: 1, ticks: 1, links: PAIR },
  "pair-crash": { ...NONE, replicas: 2, keys: 1, writes: 1, crashes: 1, ticks: 1, links: PAIR },
  "pair-batch": { ...NONE, replicas: 2, keys: 2, writes: 2, batches: true, links: PAIR },
  "pair-tiny": { ...NONE, replicas: 2, keys: 2, writes: 2, batches: true, links: PAIR, flow: TINY },
  collect: { ...COLLECT, replicas: 2, links: PAIR },
  "collect-cut": { ...COLLECT, replicas: 2, cuts: 1, links: PAIR },
  "collect-crash": { ...COLLECT, replicas: 2, crashes: 1, links: PAIR },
  "collect-put": { ...COLLECT, replicas: 2, writes: 2, deletesOnly: false, links: PAIR },
  line: { ...NONE, replicas: 3, keys: 1, writes: 2, links: LINE },
  "line-cut-crash": { ...NONE, replicas: 3, keys: 1, writes: 2, cuts: 1, crashes: 1, links: LINE },
  ring: { ...NONE, replicas: 3, keys: 1, writes: 1, waits: 1, ticks: 1, links: RING },
  "ring-batch": { ...NONE, replicas: 3, keys: 2, writes: 2, waits: 1, batches: true, links: RING },
  "collect-line": { ...COLLECT, replicas: 3, links: LINE },
  "ring-all": {
    ...NONE,
    replicas: 3,
    keys: 2,
    writes: 3,
    cuts: 1,
    crashes: 1,
    waits: 1,
    batches: true,
    fromHello: false,
    links: RING,
  },
};
