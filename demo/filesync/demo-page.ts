/**
 * The demo with a page: three replicas in this process, so that the page can show all of them, cut the links between them, and take
 * one off the network.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { CLUSTER_NAMES } from "./cluster.ts";
import { type OpenNode, runNode } from "./node.ts";
import { servePage } from "./page.ts";

/** Runs until the signal, or until a replica fails, which rejects. */
export async function runDemoPage(
  directory: string,
  port: number,
  print: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const nodes: OpenNode[] = [];
  const runs: Promise<void>[] = [];
  try {
    for (const id of CLUSTER_NAMES) {
      const folder = join(directory, id, "folder");
      await mkdir(folder, { recursive: true });
      const opened = new Promise<OpenNode>((resolve, reject) => {
        const options = {
          directory: folder,
          data: join(directory, id, "data"),
          id,
          listen: { host: "127.0.0.1", port: 0 },
          peers: nodes.slice(-1).map(({ address }) => address),
          clusterId: "filesync",
          secret: undefined,
          scanEveryMs: 2000,
          output: "lines",
          pagePort: undefined,
          ignoreFiles: [".syncignore"],
          allowsMassDelete: false,
          allowsTwins: false,
        } as const;
        const run = mkdir(options.data, { recursive: true }).then(() => runNode(options, either, resolve));
        runs.push(run.catch((error: unknown) => failed.abort(error)));
        run.catch(reject);
      });
      nodes.push(await opened);
    }
    const [first] = nodes;
    if (first === undefined) return;
    await using page = await servePage(first, nodes, port);
    print("");
    for (const { replica, address } of nodes)
      print(`  ${replica.nodeId}  ${address}  ${join(directory, replica.nodeId, "folder")}`);
    print(
      `\nThe page: ${page.link}\n\nChange files in the folders; cut a link on the page, change a file at both ends, heal it.`,
    );
    print("Ctrl-C stops everything.\n");
    await new Promise<void>((resolve) => {
      if (either.aborted) resolve();
      either.addEventListener("abort", () => resolve(), { once: true });
    });
  } catch (error) {
    failed.abort(error);
  } finally {
    if (!either.aborted) failed.abort(new Error("stopped"));
    await Promise.all(runs);
  }
  if (!signal.aborted) throw failed.signal.reason;
}
