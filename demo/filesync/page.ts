/** The page of `wavekv/ui`, with the files of this node on it. */
import type { Replica } from "wavekv";
import { type FileView, serveUi, type Ui, type UiFiles } from "wavekv/ui";
import type { FileStatus, SyncView } from "./status.ts";

/** Serves it on this machine until it is closed. Rejects when the port is taken. */
export async function servePage(replica: Replica, view: SyncView, port: number): Promise<Ui> {
  return await serveUi(replica, { port, extras: { files: filesOf(view) } });
}

/** What the page shows of the files. */
export function filesOf(view: Pick<SyncView, "files" | "queue" | "status">): UiFiles {
  return {
    *list(): Generator<FileView> {
      const downloads = new Map(view.queue().map(({ path, bytes }) => [path, bytes]));
      const { conflicts, problems } = view.status();
      const keptAs = new Set(conflicts.map((conflict) => conflict.keptAs));
      const reasons = new Map(problems.map(({ path, reason }) => [path, reason]));
      for (const file of view.files()) {
        const reason = reasons.get(file.path);
        const doneBytes = downloads.get(file.path);
        yield {
          path: file.path,
          state: doneBytes !== undefined ? "receiving" : stateOf(file, keptAs.has(file.path)),
          bytes: file.bytes,
          ...(doneBytes !== undefined && { doneBytes }),
          ...(reason !== undefined && { note: `it ${reason}` }),
        };
      }
    },
  };
}

function stateOf({ state }: FileStatus, isCopy: boolean): FileView["state"] {
  if (state !== "same") return state;
  return isCopy ? "conflict" : "synced";
}
