/** What errors of the file system say. */

/** `ENOENT` and the like; empty for an error without a code. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

/** Whether an error says that a file, or a directory on the way to it, is not there (any more). */
export function isAbsence(error: unknown): boolean {
  return codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR";
}

export function reasonOf(error: unknown): string {
  return `cannot be read (${codeOf(error) || String(error)})`;
}
