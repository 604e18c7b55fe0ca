/** The page of `wavekv/ui`, with the files of a node on it, and the nodes of this process to cut off and bring back. */
import type { Replica } from "wavekv";
import {
  type FileView,
  replicaView,
  serveUi,
  type Ui,
  type UiFileConflict,
  type UiFileSide,
  type UiFiles,
  type UiLinks,
  type UiPauses,
} from "wavekv/ui";
import type { ContentTransport } from "./content-transport.ts";
import { formatBytes } from "./output.ts";
import type { FileSide, FileStatus, SyncView } from "./status.ts";

/** A node that runs in this process. */
export interface PageNode {
  readonly replica: Replica;
  readonly view: SyncView;
  readonly transport: ContentTransport;
}

/**
 * Serves it on this machine until it is closed. Rejects when the port is taken.
 * @param first  whose keys and files it shows
 * @param nodes  all of this process, the first one too
 */
export async function servePage(first: PageNode, nodes: readonly PageNode[], port: number): Promise<Ui> {
  const replicas = (): ReturnType<typeof replicaView>[] => nodes.map(({ replica }) => replicaView(replica));
  const transports = new Map(nodes.map(({ replica, transport }) => [replica.nodeId, transport]));
  const extras = { files: filesOf(first.view), replicas, ...controlsOf(transports) };
  return await serveUi(first.replica, { port, extras });
}

/**
 * Cuts links and takes replicas off the network, by the transports of those that run in this process.
 * @param transports  by nodeId
 */
export function controlsOf(transports: ReadonlyMap<string, Pick<ContentTransport, "keepApart">>): {
  readonly links: UiLinks;
  readonly pauses: UiPauses;
} {
  let cuts: (readonly [string, string])[] = [];
  const paused = new Set<string>();
  const without = (a: string, b: string) => cuts.filter((link) => !(link.includes(a) && link.includes(b)));
  const isCut = (a: string, b: string): boolean =>
    a !== b && (paused.has(a) || paused.has(b) || without(a, b).length < cuts.length);
  const apply = (): void => {
    for (const [own, transport] of transports) transport.keepApart((other) => isCut(own, other));
  };
  const mustBeHere = (...nodeIds: readonly string[]): void => {
    if (!nodeIds.some((nodeId) => transports.has(nodeId)))
      throw new Error(
        `this page is that of ${[...transports.keys()].join(", ")}; open that of ${nodeIds.join(" or ")}`,
      );
  };
  return {
    links: {
      cuts: () => cuts,
      cut(a, b) {
        mustBeHere(a, b);
        cuts = [...without(a, b), [a, b]];
        apply();
      },
      heal(a, b) {
        cuts = without(a, b);
        apply();
      },
    },
    pauses: {
      paused: () => [...paused],
      pause(nodeId) {
        mustBeHere(nodeId);
        paused.add(nodeId);
        apply();
      },
      resume(nodeId) {
        paused.delete(nodeId);
        apply();
      },
    },
  };
}

/** What the page shows of the files. */
export function filesOf(view: Pick<SyncView, "files" | "queue" | "status" | "conflicts" | "side">): UiFiles {
  return {
    *list(): Generator<FileView> {
      const downloads = new Map(view.queue().map(({ path, bytes }) => [path, bytes]));
      const { conflicts, problems } = view.status();
      const originals = new Map(conflicts.map(({ keptAs, path }) => [keptAs, path]));
      const reasons = new Map(problems.map(({ path, reason }) => [path, reason]));
      for (const file of view.files()) {
        const reason = reasons.get(file.path);
        const doneBytes = downloads.get(file.path);
        const original = originals.get(file.path);
        const note = reason !== undefined ? `it ${reason}` : original !== undefined ? `lost to ${original}` : undefined;
        yield {
          path: file.path,
          state: doneBytes !== undefined ? "receiving" : stateOf(file, original !== undefined),
          bytes: file.bytes,
          ...(doneBytes !== undefined && { doneBytes }),
          ...(note !== undefined && { note }),
        };
      }
    },
    *conflicts(): Generator<UiFileConflict> {
      const sides = view.conflicts().flatMap(({ path, keptAs }) => {
        const kept = view.side(keptAs);
        return kept === undefined ? [] : [{ path, keptAs, kept }];
      });
      sides.sort((one, other) => other.kept.changedAt - one.kept.changedAt);
      for (const { path, keptAs, kept } of sides) {
        const loser = sideOf(kept, `kept as ${keptAs}, `);
        const winner = view.side(path);
        yield { path, winner: winner === undefined ? { ...loser, text: "deleted since" } : sideOf(winner, ""), loser };
      }
    },
  };
}

function sideOf({ nodeId, changedAt, bytes, beginning }: FileSide, where: string): UiFileSide {
  const text = `${where}${formatBytes(bytes)}${beginning === undefined ? "" : `: ${beginning}`}`;
  return { nodeId, changedAt, text };
}

function stateOf({ state }: FileStatus, isCopy: boolean): FileView["state"] {
  if (state !== "same") return state;
  return isCopy ? "conflict" : "synced";
}
