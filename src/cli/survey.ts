/** Reads a data directory as recovery would, of whichever replica and cluster it is, and changes nothing in it. */
import type { FileHeader } from "../codec/file-header.ts";
import { ReplicaError } from "../errors.ts";
import type { Disk } from "../storage/disk.ts";
import { codeOf, type Listing, listDirectory, segmentName, snapshotName, withFile } from "../storage/files.ts";
import { type Identity, type ReadIdentity, readIdentity } from "../storage/identity.ts";
import { lockDirectory } from "../storage/open.ts";
import { type Found, findState, readHeader } from "../storage/recovery.ts";
import type { NodeId } from "../types.ts";
import type { Progress } from "./progress.ts";

export interface Survey {
  readonly directory: string;
  readonly identity: ReadIdentity;
  /** From the identity, or else from the first file that says so. */
  readonly owner: Pick<Identity, "nodeId" | "clusterId"> | undefined;
  readonly listing: Listing;
  /** Our files, by name, with their sizes. Not the lock, and not what others have put there. */
  readonly bytesByName: ReadonlyMap<string, number>;
  /** There is a lock file although nobody holds the directory: its process was killed. */
  readonly isLockLeft: boolean;
  /** The intact headers of segments and snapshots, by name. */
  readonly headers: ReadonlyMap<string, FileHeader>;
  /** What recovery would build; absent if nothing can be used. */
  readonly found: Found | undefined;
  /** Why nothing can be used. */
  readonly unusable: string | undefined;
}

/**
 * Holds the directory while `use` looks at it.
 *
 * @throws ReplicaError ERR_LOCKED, ERR_FORMAT_VERSION, ERR_FOREIGN_DIRECTORY, ERR_OPTION if there is no store
 * @throws what the disk throws
 */
export async function withSurvey<T>(
  disk: Disk,
  directory: string,
  progress: Progress,
  use: (survey: Survey) => Promise<T>,
): Promise<T> {
  // First, since it says best what is wrong with a path.
  await disk.list(directory);
  const release = await lockDirectory(disk, directory, true);
  try {
    return await use(await survey(disk, directory, progress));
  } finally {
    await release();
  }
}

async function survey(disk: Disk, directory: string, progress: Progress): Promise<Survey> {
  const listing = await listDirectory(disk, directory);
  const identity = await readIdentity(disk, directory);
  if (identity.type === "newer") {
    throw new ReplicaError("ERR_FORMAT_VERSION", `${directory} has format ${identity.version}`);
  }
  if (identity.type === "absent" && listing.segments.length === 0 && listing.snapshots.length === 0) {
    throw new ReplicaError("ERR_OPTION", `there is no store in ${directory}; give the directory that openReplica gets`);
  }
  const headers = await readHeaders(disk, directory, listing);
  const names = await disk.list(directory);
  const [first] = headers.values();
  const owner = identity.type === "identity" ? identity.identity : first;
  const common = {
    directory,
    identity,
    owner,
    listing,
    headers,
    bytesByName: await sizesOf(disk, directory, names),
    isLockLeft: names.includes(LOCK_FILE),
  };
  const whose: Identity = { nodeId: owner?.nodeId ?? NOBODY, clusterId: owner?.clusterId ?? "", pending: null };
  try {
    return { ...common, found: await findState(disk, directory, listing, whose, progress.report), unusable: undefined };
  } catch (error) {
    const remedy = REMEDIES.get(codeOf(error));
    if (remedy === undefined || !(error instanceof Error)) throw error;
    return { ...common, found: undefined, unusable: `${error.message}; ${remedy}` };
  }
}

/** Of failures that are a finding: there still are files to be listed. */
const REMEDIES: ReadonlyMap<unknown, string> = new Map([
  ["ERR_CORRUPT", "restore a backup, or let peers fill an empty directory"],
  ["EIO", "the disk fails; copy what can still be read"],
]);
const LOCK_FILE = "lock";
const OUR_FILES = /^(?:identity|\d{10}\.(?:log|snapshot))(?:\.damaged)?(?:\.tmp)?$/;
/** Where no file says whose it is, no file belongs to anybody else. */
export const NOBODY = "unknown" as NodeId;

async function readHeaders(disk: Disk, directory: string, listing: Listing): Promise<Map<string, FileHeader>> {
  const headers = new Map<string, FileHeader>();
  const read = async (name: string, kind: FileHeader["kind"]): Promise<void> => {
    const parsed = await readHeader(disk, `${directory}/${name}`, kind);
    if (parsed.type === "header") headers.set(name, parsed.header);
  };
  for (const number of listing.segments) await read(segmentName(number), "log");
  for (const number of listing.snapshots) await read(snapshotName(number), "snapshot");
  return headers;
}

async function sizesOf(disk: Disk, directory: string, names: readonly string[]): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  for (const name of names.filter((candidate) => OUR_FILES.test(candidate)).sort()) {
    sizes.set(name, await withFile(disk.open(`${directory}/${name}`, "read"), (file) => file.size()));
  }
  return sizes;
}
