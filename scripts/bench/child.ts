/**
 * A process that measures one system once, and tells its parent. Ends when the parent does.
 * Started by `processes.ts` with a workload and a task.
 */

import type { Task } from "./workload.ts";
import { WORKLOADS } from "./workloads.ts";

process.on("disconnect", () => process.exit(1));

const [name = "", text = ""] = process.argv.slice(2);
const workload = WORKLOADS.find((candidate) => candidate.name === name);
if (workload === undefined) throw new Error(`there is no workload "${name}"`);
const task = JSON.parse(text) as Task & { readonly prepare?: boolean; readonly partner?: boolean };

if (task.partner === true) await workload.partner?.(task);
else {
  const figures = task.prepare === true ? await workload.prepare?.(task) : await workload.measure(task);
  process.send?.(figures ?? {}, () => process.exit(0));
}
