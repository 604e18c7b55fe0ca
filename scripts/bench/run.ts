/** Runs workloads: at each size round after round, and in each round one system after the other, each in a process of its own. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeMachine, load } from "./machine.ts";
import { runTask } from "./processes.ts";
import type { Failure, Run, Series } from "./results.ts";
import type { Scale, System, Task, Workload } from "./workload.ts";

export interface RunOptions {
  readonly scale: Scale;
  readonly rounds: number;
  readonly withPeers: boolean;
  /** Of all sizes only these; all when empty. */
  readonly sizes: readonly string[];
  readonly signal: AbortSignal;
  /** Told what is being done. */
  readonly progress: (line: string) => void;
}

export async function runWorkload(workload: Workload, options: RunOptions): Promise<Run> {
  const { scale, rounds, withPeers } = options;
  const before = load();
  const series = new Map<string, Series & { readonly samples: number[] }>();
  const failures: Failure[] = [];
  const sizes = workload.sizes[scale].filter(
    (size) => options.sizes.length === 0 || options.sizes.includes(String(size)),
  );
  for (const size of sizes) {
    const systems = workload.systems.filter(
      ({ name, kind }) => (withPeers || kind !== "peer") && (workload.takesPart?.(name, size) ?? true),
    );
    await atSize(workload, size, systems, options, failures, (system, figure, value) => {
      const name = JSON.stringify([size, system, figure]);
      const one = series.get(name) ?? { workload: workload.name, size, system, figure, samples: [] };
      series.set(name, one);
      one.samples.push(value);
    });
  }
  return {
    workload: workload.name,
    scale,
    at: new Date().toISOString(),
    rounds,
    load: [before, load()],
    machine: describeMachine(),
    failures,
    series: [...series.values()],
  };
}

async function atSize(
  workload: Workload,
  size: number | string,
  systems: readonly System[],
  options: RunOptions,
  failures: Failure[],
  add: (system: string, figure: string, value: number) => void,
): Promise<void> {
  const { scale, rounds, signal, progress } = options;
  const parent = mkdtempSync(join(tmpdir(), "wavekv-bench-"));
  const failed = new Set<string>();
  const attempt = async (system: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      if (signal.aborted) throw error;
      const message = (error as Error).message.replaceAll(parent, "(directory)");
      failures.push({ size, system, message });
      failed.add(system);
      progress(`${workload.name}, ${size}, ${system} failed: ${message}`);
    }
  };
  try {
    const shared: Task = { system: "", size, scale, directory: parent };
    if (workload.prepare !== undefined) {
      progress(`${workload.name}, ${size} ${workload.sizeName}: preparing`);
      await attempt("all", async () => {
        await runTask(workload, { ...shared, prepare: true }, signal);
      });
      if (failed.has("all")) return;
    }
    for (let round = 0; round < rounds; round += 1) {
      for (const { name: system } of systems) {
        if (failed.has(system)) continue;
        progress(`${workload.name}, ${size} ${workload.sizeName}: round ${round + 1} of ${rounds}, ${system}`);
        await attempt(system, async () => {
          const directory = workload.prepare === undefined ? mkdtempSync(join(parent, "run-")) : parent;
          const figures = await runTask(workload, { ...shared, system, directory }, signal);
          for (const [figure, value] of Object.entries(figures)) {
            if (!(figure in workload.figures)) throw new Error(`${workload.name} knows no figure "${figure}"`);
            add(system, figure, value);
          }
          if (workload.prepare === undefined) rmSync(directory, { recursive: true, force: true });
        });
      }
    }
  } finally {
    rmSync(parent, { recursive: true, force: true });
  }
}
