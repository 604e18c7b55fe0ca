/** What happens to the cluster meanwhile: to one node, to one link, or between two halves. Each fault heals itself. */
import { cp, rm } from "node:fs/promises";
import { pause } from "../../demo/filesync/tools.ts";
import type { Choices } from "../crash/random.ts";
import type { Link, LinkState } from "./link.ts";
import type { NodeProcess } from "./node-process.ts";

export interface Cluster {
  readonly nodes: readonly NodeProcess[];
  readonly links: readonly Link[];
  start(node: NodeProcess): Promise<void>;
  /** The node, which does not run, is about to lose what it holds. */
  lose(node: NodeProcess): void;
  /** No node may lose what it holds before what the last one lost is held twice again. */
  readonly mayLose: boolean;
}

const NODE_FAULTS = ["kill", "restart", "freeze", "clock", "wipe", "copy", "restore"] as const;
const LINK_FAULTS = ["cut", "one-way", "slow"] as const;
export type Fault = (typeof NODE_FAULTS)[number] | (typeof LINK_FAULTS)[number] | "partition";
export const FAULTS: readonly Fault[] = [...NODE_FAULTS, ...LINK_FAULTS, "partition"];

const GAP_MS_MAX = 800;
/** A clock is ahead or behind by up to this much, for a while. Less than what peers refuse. */
export const SKEW_MS_MAX = 5000;
const DOWN_MS_MAX = 2000;

/**
 * Draws faults until the signal aborts, then heals everything.
 *
 * @param signal  ends it; it resolves then, when no fault is left and all nodes run
 * @returns how often each came about
 */
export async function runFaults(
  cluster: Cluster,
  choices: Choices,
  signal: AbortSignal,
  onFault: (line: string) => void,
): Promise<ReadonlyMap<Fault, number>> {
  const counts = new Map<Fault, number>(FAULTS.map((fault) => [fault, 0]));
  const busy = new Set<NodeProcess | Link>();
  const copied = new Set<NodeProcess>();
  const underWay = new Set<Promise<void>>();
  const begin = (fault: Fault, parts: readonly (NodeProcess | Link)[], run: () => Promise<void>): void => {
    counts.set(fault, (counts.get(fault) ?? 0) + 1);
    for (const part of parts) busy.add(part);
    const done = run().finally(() => {
      for (const part of parts) busy.delete(part);
      underWay.delete(done);
    });
    underWay.add(done);
    // Whoever awaits it below comes to know.
    done.catch(() => undefined);
  };
  while (!signal.aborted) {
    await pauseUnless(signal, 50 + choices.below(GAP_MS_MAX));
    if (signal.aborted) break;
    const drawn = choices.below(20);
    if (drawn < 9) {
      const node = pick(cluster.nodes, choices);
      const fault = pick(NODE_FAULTS, choices);
      const isPossible = fault === "restore" ? copied.has(node) : true;
      const isAllowed = fault === "wipe" || fault === "restore" ? cluster.mayLose : true;
      if (busy.has(node) || !isPossible || !isAllowed) continue;
      if (fault === "copy") copied.add(node);
      onFault(`${fault} ${node.nodeId}`);
      begin(fault, [node], () => nodeFault(cluster, node, fault, choices, signal));
    } else if (drawn < 19) {
      const link = pick(cluster.links, choices);
      if (busy.has(link)) continue;
      const fault = pick(LINK_FAULTS, choices);
      const state = drawState(fault, link, choices);
      onFault(`${fault} ${link.ends.map(({ nodeId }) => nodeId).join("-")}`);
      begin(fault, [link], () => linkFault([link], state, durationMs(fault, choices), choices, signal));
    } else {
      const side = new Set(cluster.nodes.filter(() => choices.below(2) === 0).map(({ nodeId }) => nodeId));
      const links = cluster.links.filter(({ ends: [a, b] }) => side.has(a.nodeId) !== side.has(b.nodeId));
      if (links.length === 0 || links.some((link) => busy.has(link))) continue;
      onFault(`partition ${[...side].join(" ")}`);
      begin("partition", links, () => linkFault(links, { type: "cut" }, durationMs("cut", choices), choices, signal));
    }
  }
  await Promise.all(underWay);
  return counts;
}

async function nodeFault(
  cluster: Cluster,
  node: NodeProcess,
  fault: (typeof NODE_FAULTS)[number],
  choices: Choices,
  signal: AbortSignal,
): Promise<void> {
  const downMs = choices.below(3) === 0 ? 0 : choices.below(DOWN_MS_MAX);
  if (fault === "freeze") {
    node.freeze();
    await pauseUnless(signal, 1000 + choices.below(4000));
    node.thaw();
    return;
  }
  if (fault === "clock") {
    await node.ask({ type: "clock", skewMs: choices.below(2 * SKEW_MS_MAX) - SKEW_MS_MAX });
    await pauseUnless(signal, 1000 + choices.below(4000));
    await node.ask({ type: "clock", skewMs: 0 });
    return;
  }
  if (fault === "restart" || (fault === "copy" && choices.below(2) === 0)) await node.close();
  else await node.kill();
  const copy = `${node.directory}-copy`;
  if (fault === "copy") {
    await rm(copy, { recursive: true, force: true });
    await cp(node.directory, copy, { recursive: true });
  }
  if (fault === "wipe" || fault === "restore") {
    cluster.lose(node);
    await rm(node.directory, { recursive: true, force: true });
    if (fault === "restore") await cp(copy, node.directory, { recursive: true });
  }
  await pauseUnless(signal, downMs);
  await cluster.start(node);
}

async function linkFault(
  links: readonly Link[],
  state: LinkState,
  durationMs: number,
  choices: Choices,
  signal: AbortSignal,
): Promise<void> {
  for (const link of links) link.set(state);
  await pauseUnless(signal, durationMs);
  // Of a deaf link, what was held either arrives late or never does.
  if (state.type === "one-way" && choices.below(2) === 0) for (const link of links) link.set({ type: "cut" });
  for (const link of links) link.set({ type: "up" });
}

function drawState(fault: (typeof LINK_FAULTS)[number], { ends }: Link, choices: Choices): LinkState {
  if (fault === "one-way") return { type: "one-way", unheard: pick(ends, choices).nodeId };
  return fault === "slow" ? { type: "slow", delayMs: 5 + choices.below(300) } : { type: "cut" };
}

function durationMs(fault: (typeof LINK_FAULTS)[number], choices: Choices): number {
  // Silence counts as the end of a connection after 15 s: on either side of that.
  if (fault === "one-way") return 500 + choices.below(20_000);
  return choices.below(2) === 0 ? choices.below(500) : 500 + choices.below(7000);
}

/** Resolves after a while, or at once when the signal aborts. */
async function pauseUnless(signal: AbortSignal, delayMs: number): Promise<void> {
  try {
    await pause(delayMs, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

function pick<T>(from: readonly T[], choices: Choices): T {
  const picked = from[choices.below(from.length)];
  if (picked === undefined) throw new RangeError("nothing to pick from");
  return picked;
}
