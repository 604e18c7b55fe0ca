/** What the scripts use of this demo. */
export { runCheck } from "./check.ts";
export { churn } from "./churn.ts";
export { CLUSTER_NAMES, Cluster } from "./cluster.ts";
export { CommandError, parseFlags, parseNumber, pause, print, runCommand, UsageError } from "./command-line.ts";
export { compareFolders, waitForEquality } from "./compare.ts";
export { runDemo } from "./demo.ts";
export { withDirectory } from "./temporary.ts";
