/** All workloads, in the order in which they are shown. */
import type { Workload } from "./workload.ts";
import { batches, durable } from "./workloads/durable.ts";
import { memory } from "./workloads/memory.ts";
import { reads } from "./workloads/reads.ts";
import { bootstrap, catchUp, difference, idle, latency, live } from "./workloads/replication.ts";

export const WORKLOADS: readonly Workload[] = [
  memory,
  reads,
  durable,
  batches,
  bootstrap,
  catchUp,
  difference,
  live,
  latency,
  idle,
];
