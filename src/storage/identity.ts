/**
 * The file that says whose directory this is, and how a copy of it is told from the original: it holds
 * the fingerprint of itself, which a copy does not keep. It also remembers, across crashes, that a new
 * epoch has to be taken before anything is written under the old one.
 */
import { crc32 } from "node:zlib";
import type { Random } from "../random.ts";
import { isNodeId, type NodeId } from "../types.ts";
import type { Disk } from "./disk.ts";
import { codeOf, IDENTITY_FILE, replaceFile, withFile } from "./files.ts";

/**
 * Why a new epoch is taken: nobody must author twice under one (protocol: identity). "unclean": the log was
 * not closed in good order, so peers may have writes of ours that it lost.
 */
export type RotationReason = "created" | "copied" | "damaged" | "unclean";

export interface Identity {
  readonly nodeId: NodeId;
  readonly clusterId: string;
  /** A new epoch is due, and why; null once it is in the log. An unclean log says so itself. */
  readonly pending: Exclude<RotationReason, "unclean"> | null;
}

export type ReadIdentity =
  | { readonly type: "identity"; readonly identity: Identity; readonly isCopy: boolean }
  | { readonly type: "newer"; readonly version: number }
  | { readonly type: "bad" }
  | { readonly type: "absent" };

const FORMAT_VERSION = 1;
const IDENTITY_BYTES_MAX = 4096;
const REASONS: readonly unknown[] = ["created", "copied", "damaged"];

/** What the text of the file says; `isCopy` is not its business. Never throws. */
export type ParsedIdentity =
  | { readonly type: "identity"; readonly identity: Identity; readonly fingerprint: string }
  | { readonly type: "newer"; readonly version: number }
  | { readonly type: "bad" };

/** Changes nothing. @throws what the disk throws, save ENOENT */
export async function readIdentity(disk: Disk, directory: string): Promise<ReadIdentity> {
  const path = `${directory}/${IDENTITY_FILE}`;
  let text: string;
  try {
    text = await withFile(disk.open(path, "read"), async (file) => {
      const buffer = Buffer.alloc(IDENTITY_BYTES_MAX);
      return buffer.toString("utf8", 0, await file.read(buffer, 0));
    });
  } catch (error) {
    if (codeOf(error) === "ENOENT") return { type: "absent" };
    throw error;
  }
  const parsed = parseIdentity(text);
  if (parsed.type !== "identity") return parsed;
  const { identity, fingerprint } = parsed;
  const isCopy = fingerprint !== "" && fingerprint !== (await disk.fingerprint(path));
  return { type: "identity", identity, isCopy };
}

export function parseIdentity(text: string): ParsedIdentity {
  const [head = "", body = "", checksum = "", ...rest] = text.split("\n");
  if (rest.join("") !== "" || checksum !== checksumOf(`${head}\n${body}\n`)) return { type: "bad" };
  const version = /^wavekv identity (\d{1,9})$/.exec(head)?.[1];
  if (version === undefined) return { type: "bad" };
  if (Number(version) !== FORMAT_VERSION) return { type: "newer", version: Number(version) };
  const { nodeId, clusterId, fingerprint, pending } = fieldsOf(body);
  if (!isNodeId(nodeId) || typeof clusterId !== "string" || typeof fingerprint !== "string") return { type: "bad" };
  const reason = REASONS.includes(pending) ? (pending as Identity["pending"]) : null;
  return { type: "identity", identity: { nodeId, clusterId, pending: reason }, fingerprint };
}

/** The text of the file: `lines`, each with its end, and their checksum. */
export function sealIdentity(lines: string): string {
  return `${lines}${checksumOf(lines)}\n`;
}

/** Replaces the file as a whole; durable when the promise resolves. */
export async function writeIdentity(
  disk: Disk,
  directory: string,
  random: Random,
  { nodeId, clusterId, pending }: Identity,
): Promise<void> {
  const tag = random.hex64();
  const write = (fingerprintOf: (path: string) => Promise<string> | string): Promise<void> =>
    replaceFile(disk, directory, IDENTITY_FILE, async (file, path) => {
      const head = `wavekv identity ${FORMAT_VERSION}\n`;
      const body = `${JSON.stringify({ nodeId, clusterId, pending, tag, fingerprint: await fingerprintOf(path) })}\n`;
      await file.write([Buffer.from(sealIdentity(head + body))], 0);
    });
  await write((path) => disk.fingerprint(path));
  const written = await readIdentity(disk, directory);
  // A file system whose fingerprints change with a rename cannot tell copies; that must not look like one.
  if (written.type === "identity" && written.isCopy) await write(() => "");
}

function checksumOf(text: string): string {
  return crc32(text).toString(16).padStart(8, "0");
}

/** Nothing, if it is no object: whoever wrote that was not this library. */
function fieldsOf(json: string): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(json);
    return typeof parsed === "object" && parsed !== null ? (parsed as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
