/** Opens a data directory: lock, identity, recovery, repair, and a new epoch where one is due. */
import { ByteWriter } from "../codec/bytes.ts";
import { CLUSTER_ID_BYTES_MAX } from "../codec/file-header.ts";
import type { CoreState } from "../core/core-state.ts";
import { ReplicaError } from "../errors.ts";
import type { Random } from "../random.ts";
import { type Epoch, epochOf, type NodeId } from "../types.ts";
import type { Disk } from "./disk.ts";
import { codeOf, type Listing, listDirectory, removeIfThere, segmentName, snapshotName } from "./files.ts";
import { type Identity, type RotationReason, readIdentity, writeIdentity } from "./identity.ts";
import { type Found, findState, type RecoveryProgress, readHeader } from "./recovery.ts";
import { repair, truncatedBytesOf } from "./repair.ts";
import { Wal } from "./wal.ts";

export interface OpenOptions {
  readonly disk: Disk;
  readonly directory: string;
  /** Omitted: the one that the directory has, or one that is made up now. */
  readonly nodeId?: NodeId;
  readonly clusterId: string;
  /** Refuse to open a directory in which anything is damaged. */
  readonly strict?: boolean;
  /** Change nothing. */
  readonly readOnly?: boolean;
  readonly random: Random;
  readonly onProgress?: (progress: RecoveryProgress) => void;
}

/** What was found when the store was opened. */
export interface RecoveryReport {
  /** The directory was empty. */
  readonly created: boolean;
  /** With a value, not counting the store's own. */
  readonly entries: number;
  /** Cut off at the end of the log: writes that a crash caught before they were durable. */
  readonly truncatedBytes: number;
  /** Bytes were damaged. If the log was, `why` is "damaged" and writes that had been acknowledged may be missing. */
  readonly corrupt: boolean;
  /** A new epoch was taken. */
  readonly rotated: boolean;
  readonly why: RotationReason | undefined;
  /** Files that are kept for inspection only. */
  readonly setAside: readonly string[];
}

export interface Opened {
  readonly identity: Identity;
  readonly state: CoreState;
  readonly recovery: RecoveryReport;
  /** Absent if read-only. */
  readonly wal: Wal | undefined;
  /** Bytes of the log above the newest snapshot. */
  readonly logBytes: number;
}

/** The lock is held already. Leaves the directory untouched when it rejects because of what it found. */
export async function openDirectory(options: OpenOptions): Promise<Opened> {
  const { disk, directory, strict = false, readOnly = false, random } = options;
  const listing = await listDirectory(disk, directory);
  const { identity, known } = await identify(options, listing);
  const found = await findState(disk, directory, listing, identity, options.onProgress ?? (() => undefined));
  const { state, end } = found;
  const { pending, why, corrupt } = judge(identity.pending, found);
  if (strict && corrupt) throw new ReplicaError("ERR_CORRUPT", `${directory} is damaged: ${describeDamage(found)}`);
  const report = { created: pending === "created", truncatedBytes: truncatedBytesOf(end), corrupt };
  if (readOnly) {
    const recovery = { ...report, entries: state.table.live, rotated: false, why: undefined, setAside: [] };
    return { identity, state, recovery, wal: undefined, logBytes: found.logBytes };
  }
  for (const name of listing.temporaries) await removeIfThere(disk, `${directory}/${name}`);
  // First of all, so that a crash from here on does not make it forgotten.
  if (pending !== known) await writeIdentity(disk, directory, random, { ...identity, pending });
  const epoch = why === null ? epochOf(state.origin) : (random.hex64() as Epoch);
  const { segment, setAside } = await repair(disk, directory, random, identity, found, epoch);
  const wal = new Wal(disk, directory, segment, state.lsn, new ByteWriter());
  try {
    if (why !== null) {
      const op = { type: "rotate", epoch } as const;
      state.execute(op);
      await wal.append([op], state.lsn);
      await wal.sync();
    }
    if (pending !== null) await writeIdentity(disk, directory, random, { ...identity, pending: null });
  } catch (error) {
    await wal.abandon();
    throw error;
  }
  const recovery = {
    ...report,
    entries: state.table.live,
    rotated: why !== null,
    why: why ?? undefined,
    setAside,
  };
  return { identity: { ...identity, pending: null }, state, recovery, wal, logBytes: found.logBytes };
}

/**
 * What opening has to do beside replaying: which rotation is pending, why a new epoch is taken (null: it is not),
 * and whether there is damage.
 */
export function judge(
  pendingBefore: Identity["pending"],
  { end, badSnapshots }: Found,
): { pending: Identity["pending"]; why: RotationReason | null; corrupt: boolean } {
  const isHollow = pendingBefore !== "created" && end.cut.number === 1 && end.segment === undefined;
  const pending = end.tail === "damaged" || isHollow ? "damaged" : pendingBefore;
  const why = pending ?? (end.closed ? null : "unclean");
  return { pending, why, corrupt: pending === "damaged" || badSnapshots.length > 0 };
}

/** @returns whose directory it is, with what is due, and what of that the identity file already says */
async function identify(
  { disk, directory, nodeId, clusterId, readOnly, random }: OpenOptions,
  listing: Listing,
): Promise<{ identity: Identity; known: RotationReason | null | undefined }> {
  const read = await readIdentity(disk, directory);
  switch (read.type) {
    case "newer":
      throw new ReplicaError(
        "ERR_FORMAT_VERSION",
        `${directory} has format ${read.version}, which this version does not read`,
      );
    case "identity": {
      const { identity, isCopy } = read;
      if (nodeId !== undefined && nodeId !== identity.nodeId) throw foreign(directory, "replica", identity.nodeId);
      if (clusterId !== identity.clusterId) throw foreign(directory, "cluster", identity.clusterId);
      const pending = identity.pending ?? (isCopy ? "copied" : null);
      return { identity: { ...identity, pending }, known: identity.pending };
    }
    case "bad":
    case "absent": {
      if (Buffer.byteLength(clusterId) > CLUSTER_ID_BYTES_MAX) {
        throw new ReplicaError("ERR_OPTION", `clusterId has more than ${CLUSTER_ID_BYTES_MAX} bytes`);
      }
      const isEmpty = read.type === "absent" && listing.segments.length === 0 && listing.snapshots.length === 0;
      if (isEmpty && readOnly === true) throw new ReplicaError("ERR_OPTION", `there is no store in ${directory}`);
      const owner = nodeId ?? (await ownerOf(disk, directory, listing)) ?? (`node-${random.hex64()}` as NodeId);
      return { identity: { nodeId: owner, clusterId, pending: isEmpty ? "created" : "damaged" }, known: undefined };
    }
  }
}

/** The replica that wrote the files of a directory without an identity. */
async function ownerOf(disk: Disk, directory: string, { segments, snapshots }: Listing): Promise<NodeId | undefined> {
  for (const number of segments) {
    const read = await readHeader(disk, `${directory}/${segmentName(number)}`, "log");
    if (read.type === "header") return read.header.nodeId;
  }
  for (const number of snapshots) {
    const read = await readHeader(disk, `${directory}/${snapshotName(number)}`, "snapshot");
    if (read.type === "header") return read.header.nodeId;
  }
  return undefined;
}

function foreign(directory: string, what: "replica" | "cluster", name: string): ReplicaError {
  return new ReplicaError("ERR_FOREIGN_DIRECTORY", `${directory} belongs to the ${what} "${name}"`);
}

function describeDamage({ badSnapshots, end }: Found): string {
  const parts = badSnapshots.map(snapshotName);
  if (end.tail === "damaged") parts.push(`${segmentName(end.cut.number)} from byte ${end.position.offset} on`);
  return parts.length > 0 ? parts.join(", ") : "files are missing";
}

/** Takes the lock of a directory, which is made if it is not there. @throws ReplicaError ERR_LOCKED */
export async function lockDirectory(disk: Disk, directory: string, readOnly: boolean): Promise<() => Promise<void>> {
  try {
    if (!readOnly) await disk.makeDirectory(directory);
    const lock = await disk.lock(directory, readOnly ? "read" : "write");
    if ("heldBy" in lock) throw new ReplicaError("ERR_LOCKED", `${directory} is held by ${lock.heldBy}`);
    return () => lock.release();
  } catch (error) {
    if (readOnly && codeOf(error) === "ENOENT")
      throw new ReplicaError("ERR_OPTION", `there is no directory ${directory}`);
    throw error;
  }
}
