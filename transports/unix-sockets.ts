/** Unix sockets outlive the process that was killed, as files on which nobody listens. */
import { lstat, rm } from "node:fs/promises";
import { connect } from "node:net";
import { isAbsolute } from "node:path";

/** The system's limit is 108 on Linux and 104 elsewhere, with the zero that ends it. */
const PATH_BYTES_MAX = 103;

/** Why there can be no socket at `path`; undefined if there can. Says what the path must be. */
export function whyNotSocketPath(path: unknown): string | undefined {
  if (typeof path !== "string" || !isAbsolute(path) || path.includes("\0")) return "must be an absolute path";
  const bytes = Buffer.byteLength(path);
  return bytes <= PATH_BYTES_MAX
    ? undefined
    : `must have at most ${PATH_BYTES_MAX} bytes, the system takes no more: got ${bytes}`;
}

/** `unix:///run/replica.sock` */
export function unixAddress(path: string): string {
  return `unix://${path.split("/").map(encodeURIComponent).join("/")}`;
}

/** The path in such an address; empty if it is not well-formed. */
export function decodePath(pathname: string): string {
  try {
    return decodeURIComponent(pathname);
  } catch {
    return "";
  }
}

/**
 * Removes `path` if it is a socket on which nobody listens any more.
 *
 * Two processes that start at once on one path could remove each other's: the lock on the data directory is what keeps
 * them apart.
 *
 * @returns whether it was removed
 */
export async function removeStaleSocket(path: string): Promise<boolean> {
  const stats = await lstat(path).catch(() => undefined);
  if (stats?.isSocket() !== true || (await isAnswered(path))) return false;
  await rm(path, { force: true });
  return true;
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    // Only a refusal says that nobody is there; anything else (a full queue, no permission) leaves the file alone.
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code !== "ECONNREFUSED"));
  });
}
