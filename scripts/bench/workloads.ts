/** All workloads, in the order in which they are shown. */
import type { Workload } from "./workload.ts";
import { acks } from "./workloads/acks.ts";
import { cluster } from "./workloads/cluster.ts";
import { digest } from "./workloads/digest.ts";
import { batches, durable } from "./workloads/durable.ts";
import { growth } from "./workloads/growth.ts";
import { memory } from "./workloads/memory.ts";
import { checkpoint, opening } from "./workloads/open.ts";
import { reads } from "./workloads/reads.ts";
import { bootstrap, catchUp, difference, idle, latency, live } from "./workloads/replication.ts";
import { settle } from "./workloads/settle.ts";
import { turns } from "./workloads/turns.ts";
import { upkeep } from "./workloads/upkeep.ts";
import { ycsb } from "./workloads/ycsb.ts";

export const WORKLOADS: readonly Workload[] = [
  memory,
  reads,
  ycsb,
  durable,
  batches,
  acks,
  opening,
  checkpoint,
  upkeep,
  bootstrap,
  catchUp,
  difference,
  live,
  latency,
  idle,
  turns,
  cluster,
  settle,
  digest,
  growth,
];
