/**
 * Hints from the operating system. They come late, twice, merged or not at all; the full scan makes up for that, so trouble
 * here only costs time.
 */
import { relative, sep } from "node:path";
import { watch } from "chokidar";
import { PRIVATE_DIRECTORY, pathProblem } from "./paths.ts";

export interface FolderHints {
  /** What need not be watched. */
  readonly ignores: (path: string) => boolean;
  /** Something happened to a file. */
  readonly onPath: (path: string) => void;
  /** Something happened to a directory: anything below it may have changed. */
  readonly onDirectory: () => void;
  /** Hints will be missing. */
  readonly onTrouble: (reason: string) => void;
}

/** Watches a folder, at any depth, until the returned function is called. */
export function watchFolder(root: string, hints: FolderHints): () => Promise<void> {
  const pathOf = (path: string): string => relative(root, path).split(sep).join("/");
  const watcher = watch(root, {
    ignoreInitial: true,
    followSymlinks: false,
    ignored: (path) => {
      const relativePath = pathOf(path);
      if (relativePath === PRIVATE_DIRECTORY) return true;
      return pathProblem(relativePath) === undefined && hints.ignores(relativePath);
    },
  });
  watcher.on("all", (event, path) => {
    if (event === "add" || event === "change" || event === "unlink") hints.onPath(pathOf(path));
    else if (event === "addDir" || event === "unlinkDir") hints.onDirectory();
  });
  watcher.on("error", (error) => hints.onTrouble(error instanceof Error ? error.message : String(error)));
  return () => watcher.close();
}
