/** Three replicas in one terminal, until Ctrl-C. */
import { Cluster } from "./cluster.ts";
import { CommandError } from "./command-line.ts";

/** Runs until the signal, or until a replica dies, which rejects. Leaves no process behind. */
export async function runDemo(directory: string, print: (line: string) => void, signal: AbortSignal): Promise<void> {
  const died = new AbortController();
  const either = AbortSignal.any([signal, died.signal]);
  await using cluster = new Cluster(directory, (message) => died.abort(new CommandError(message)), {
    showOutput: true,
  });
  await cluster.start(either);
  print("");
  for (const { name, address, folder } of cluster.nodes) print(`  ${name}  ${address}  ${folder}`);
  const [a, b, c] = cluster.nodes;
  if (a !== undefined && b !== undefined && c !== undefined) {
    print("\nTry, in another terminal:");
    print(`  echo hello > '${a.folder}/hello.txt' && sleep 1 && cat '${c.folder}/hello.txt'`);
    print(`  mkdir -p '${b.folder}/docs' && date > '${b.folder}/docs/now.txt'`);
    print(`  rm '${c.folder}/hello.txt'`);
  }
  print("\nCtrl-C stops everything.\n");
  await new Promise<void>((resolve) => {
    if (either.aborted) resolve();
    either.addEventListener("abort", () => resolve(), { once: true });
  });
  if (!signal.aborted) throw died.signal.reason;
}
