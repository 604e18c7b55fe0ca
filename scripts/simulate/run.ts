/** Runs one plan from its first event to its last check. */
import { isReserved } from "../../src/limits.ts";
import { Cluster } from "./cluster.ts";
import { type FailureKind, SimulationFailure } from "./failure.ts";
import type { Node } from "./node.ts";
import type { Plan } from "./plan.ts";
import { Steps } from "./steps.ts";
import type { Trace } from "./trace.ts";

export interface Outcome {
  readonly traceHash: string;
  /** Released by the scheduler. */
  readonly events: number;
  readonly virtualMs: number;
  readonly facts: readonly (readonly [string, number])[];
  readonly failure:
    | { readonly kind: FailureKind; readonly message: string; readonly atMs: number; readonly stack: string }
    | undefined;
}

/** From the end of the faults to the same state everywhere, at most: silence is noticed, and everybody dialed again. */
const HEAL_MS = 150_000;
const LOOK_MS = 100;
/** Once converged it stays so. */
const REST_MS = 700;
const CLOSE_MS = 30_000;

/** Never rejects: whatever goes wrong is in the outcome. */
export async function runPlan(plan: Plan, trace?: Trace): Promise<Outcome> {
  const cluster = new Cluster(plan, trace);
  if (trace !== undefined) trace.now = () => cluster.nowMs;
  let failure: Outcome["failure"];
  const onRejection = (error: unknown): void => cluster.fail(error);
  process.on("unhandledRejection", onRejection);
  try {
    await live(cluster);
    await heal(cluster);
    await end(cluster);
  } catch (error) {
    failure = failureOf(error, cluster.nowMs);
    for (const { host } of cluster.nodes) host.kill();
  } finally {
    // Node.js tells of rejections once it has nothing else to do.
    await new Promise((resolve) => setImmediate(resolve));
    process.off("unhandledRejection", onRejection);
  }
  const { scheduler } = cluster.world;
  try {
    cluster.throwFailure();
  } catch (error) {
    failure ??= failureOf(error, cluster.nowMs);
  }
  return {
    traceHash: scheduler.traceHash,
    events: scheduler.released,
    virtualMs: cluster.nowMs,
    facts: [...cluster.facts.counts],
    failure,
  };
}

function failureOf(error: unknown, atMs: number): Outcome["failure"] {
  const kind = error instanceof SimulationFailure ? error.kind : "exception";
  if (!(error instanceof Error)) return { kind, message: String(error), atMs, stack: "" };
  return { kind, message: error.message, atMs, stack: error.stack ?? "" };
}

async function live(cluster: Cluster): Promise<void> {
  const { plan, nodes } = cluster;
  const steps = new Steps(cluster);
  for (const node of nodes) cluster.later(node.plan.joinAtMs, () => node.start());
  for (const step of plan.steps) cluster.later(step.atMs, () => cluster.guard(() => steps.do(step)));
  await advanceTo(cluster, plan.faultsEndMs);
}

/** Everything is repaired, and then all have to agree. */
async function heal(cluster: Cluster): Promise<void> {
  cluster.trace?.fault("-", "everything heals");
  cluster.heal();
  Object.assign(cluster.world.network.conditions, {
    latencyMs: 1,
    jitterMs: 1,
    loss: 0,
    duplicate: 0,
    reorder: 0,
    damage: 0,
    cut: 0,
  });
  cluster.endFaults();
  const deadlineMs = cluster.nowMs + HEAL_MS;
  for (;;) {
    await advanceTo(cluster, cluster.nowMs + LOOK_MS);
    for (const node of cluster.nodes) if (!node.isUp) node.start();
    if (cluster.isConverged()) {
      await advanceTo(cluster, cluster.nowMs + REST_MS);
      if (cluster.isConverged()) break;
    }
    if (cluster.nowMs > deadlineMs) {
      throw new SimulationFailure(
        "liveness",
        `not converged ${HEAL_MS / 1000} s after everything healed: ${cluster.describe()}`,
      );
    }
  }
  await cluster.flush(CLOSE_MS);
  cluster.checkAtRest();
}

/** Closes everything, and finds the same state on the disks. */
async function end(cluster: Cluster): Promise<void> {
  const closedWith = new Map(cluster.nodes.map((node) => [node, node.life?.observer?.versions()]));
  let open = 0;
  for (const node of cluster.nodes) {
    if (node.replica === undefined) continue;
    open += 1;
    node.close(() => {
      open -= 1;
    });
  }
  const hasClosed = await cluster.world.scheduler.run(() => open === 0, cluster.nowMs + CLOSE_MS);
  cluster.throwFailure();
  if (!hasClosed) throw new SimulationFailure("liveness", "a replica does not close");
  const again = cluster.nodes.filter((node) => !node.hasLeft && !node.plan.isMemoryOnly);
  cluster.world.network.partition(
    again.map(({ host }) => host.name),
    again.map(({ host }) => host.name),
  );
  for (const node of again) node.start();
  await cluster.world.scheduler.run(
    () => again.every(({ replica }) => replica !== undefined),
    cluster.nowMs + CLOSE_MS,
  );
  cluster.throwFailure();
  for (const node of again) {
    if (node.state === undefined) throw new SimulationFailure("liveness", `${node.host.name} does not open again`);
    node.life?.observer?.checkAll();
    if (node.isTrusted) compare(node, closedWith.get(node) ?? new Map());
  }
  for (const { host } of cluster.nodes) host.kill();
}

/** What was there when the replica closed is there when it opens. */
function compare(node: Node, before: ReadonlyMap<string, string>): void {
  const after = node.life?.observer?.versions() ?? new Map<string, string>();
  for (const [name, version] of before) {
    if (after.get(name) === version || isReserved(Buffer.from(name, "latin1"))) continue;
    const now = after.get(name) ?? "nothing";
    throw new SimulationFailure("durability", `${node.host.name} has closed with ${version} and opens with ${now}`);
  }
}

async function advanceTo(cluster: Cluster, ms: number): Promise<void> {
  await cluster.world.scheduler.run(() => false, ms);
  cluster.throwFailure();
}
