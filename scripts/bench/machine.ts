/** What the figures were measured on, and with. */
import { readFileSync } from "node:fs";
import { cpus, loadavg, platform, release, totalmem } from "node:os";
import { join } from "node:path";
import { peerVersions } from "./peers.ts";
import { checkout } from "./places.ts";

export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly node: string;
  /** Of this package, of `ws`, and of the peers that are installed. */
  readonly versions: Readonly<Record<string, string>>;
}

export function describeMachine(): Machine {
  const processors = cpus();
  return {
    processor: processors[0]?.model.trim() ?? "unknown",
    cores: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release().split("-")[0] ?? ""}`,
    node: process.version,
    versions: {
      wavekv: versionIn(checkout),
      ws: versionIn(join(checkout, "node_modules", "ws")),
      ...peerVersions(),
    },
  };
}

/** Processes that want to run, over the last minute. */
export function load(): number {
  return Number((loadavg()[0] ?? 0).toFixed(1));
}

function versionIn(directory: string): string {
  return (JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as { version: string }).version;
}
