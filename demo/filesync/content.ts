/**
 * What a path may hold, and how that is described in the store: manifests. Pure, but for the hashing.
 *
 * A file's content is cut into chunks of CHUNK_BYTES, each known by its SHA-256. The content as a whole is known by the hash of
 * its only chunk, or by the hash of the hashes of its chunks: reading it once gives both.
 */
import { createHash } from "node:crypto";
import type { Hash } from "./decide.ts";

/** Of a file that can be run, the content's hash with an `x` behind: the bit is part of what is agreed on. */
export interface FileContent {
  readonly kind: "file";
  readonly hash: Hash;
  /** Bytes. */
  readonly size: number;
  readonly executable: boolean;
  /** The hashes of its chunks, in order; none for an empty file. */
  readonly chunks: readonly ChunkHash[];
  /** The content itself, if that is small enough to travel with the manifest. */
  readonly inline?: Uint8Array;
}

export interface LinkContent {
  readonly kind: "link";
  readonly hash: Hash;
  /** Relative, and inside the folder. */
  readonly target: string;
}

/** One that may be empty. Directories with something in them need no manifest. */
export interface DirectoryContent {
  readonly kind: "directory";
  readonly hash: Hash;
}

export type Content = FileContent | LinkContent | DirectoryContent;

/** `mtimeMs`: of files only, 0 otherwise. `ancestors`: see decide.ts. */
export type Manifest = Content & { readonly mtimeMs: number; readonly ancestors: readonly string[] };

/** SHA-256 of a chunk, hex. */
export type ChunkHash = string;

export const CHUNK_BYTES = 512 * 1024;
/** The manifest of a file of this size is half of what the store takes as one value. */
export const FILE_BYTES_MAX = 8 * 1024 ** 3;
/** Files up to this size travel with their manifest, as file systems keep them beside the inode. */
export const INLINE_BYTES_MAX = 2048;
export const ANCESTORS_MAX = 32;
export const ANCESTOR_DIGITS = 16;
const LINK_BYTES_MAX = 1000;
const HASH_BYTES = 32;

export const DIRECTORY: DirectoryContent = { kind: "directory", hash: hashOf(Buffer.from("directory")) };

export function hashOf(content: Uint8Array): Hash {
  return createHash("sha256").update(content).digest("hex");
}

export function linkTo(target: string): LinkContent {
  return { kind: "link", hash: hashOf(Buffer.from(`link ${target}`)), target };
}

/** The description of a file of these chunks. `inline`: its bytes, if it has at most INLINE_BYTES_MAX. */
export function fileOf(
  size: number,
  executable: boolean,
  chunks: readonly ChunkHash[],
  inline?: Uint8Array,
): FileContent {
  const hash = contentHashOf(chunks) + (executable ? "x" : "");
  return { kind: "file", hash, size, executable, chunks, ...(inline !== undefined && { inline }) };
}

/** The description of a file that is in memory. */
export function describeBytes(content: Uint8Array, executable = false): FileContent {
  const chunks: ChunkHash[] = [];
  for (let from = 0; from < content.length; from += CHUNK_BYTES)
    chunks.push(hashOf(content.subarray(from, from + CHUNK_BYTES)));
  return fileOf(content.length, executable, chunks, content.length <= INLINE_BYTES_MAX ? content : undefined);
}

/** How many bytes the chunk at `index` of a file has. */
export function chunkBytes(size: number, index: number): number {
  return Math.min(CHUNK_BYTES, size - index * CHUNK_BYTES);
}

/** Whether two hashes differ at most in whether the file can be run. */
export function isSameContent(a: Hash, b: Hash): boolean {
  return a.slice(0, 2 * HASH_BYTES) === b.slice(0, 2 * HASH_BYTES);
}

function contentHashOf(chunks: readonly ChunkHash[]): string {
  const [only] = chunks;
  if (only !== undefined && chunks.length === 1) return only;
  return hashOf(packHashes(chunks));
}

/** What the store holds for a manifest. Chunks are packed: 32 bytes each, so that a file of 8 GiB takes half a megabyte. */
export function encodeManifest(manifest: Manifest): unknown {
  const { kind, mtimeMs, ancestors } = manifest;
  if (kind === "directory") return { kind, ancestors };
  if (kind === "link") return { kind, target: manifest.target, ancestors };
  const { size, executable, chunks, inline } = manifest;
  const content = inline === undefined ? { chunks: packHashes(chunks) } : { inline };
  return { kind, size, mtimeMs, executable, ...content, ancestors };
}

/** @returns undefined for what is not a manifest: a peer's nonsense, or a later format */
export function parseManifest(value: unknown): Manifest | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { kind, size, mtimeMs, executable, chunks, inline, target, ancestors } = value as Record<string, unknown>;
  if (!isAncestors(ancestors)) return undefined;
  if (kind === "directory") return { ...DIRECTORY, mtimeMs: 0, ancestors };
  if (kind === "link") {
    const isSound = typeof target === "string" && target !== "" && Buffer.byteLength(target) <= LINK_BYTES_MAX;
    return isSound ? { ...linkTo(target), mtimeMs: 0, ancestors } : undefined;
  }
  if (kind !== "file" || typeof executable !== "boolean") return undefined;
  if (!isWithin(size, FILE_BYTES_MAX) || !Number.isInteger(size) || !isWithin(mtimeMs, 8.64e15)) return undefined;
  if (inline instanceof Uint8Array) {
    if (inline.length !== size || size > INLINE_BYTES_MAX) return undefined;
    return { ...describeBytes(inline, executable), mtimeMs, ancestors };
  }
  const hashes = unpackHashes(chunks);
  if (hashes === undefined || hashes.length !== Math.ceil(size / CHUNK_BYTES)) return undefined;
  return { ...fileOf(size, executable, hashes), mtimeMs, ancestors };
}

/** The note of a deletion: what was deleted, and what that had replaced. */
export function parseGone(value: unknown): { hash: Hash; ancestors: readonly string[] } | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { hash, ancestors } = value as Record<string, unknown>;
  return typeof hash === "string" && /^[0-9a-f]{64}x?$/.test(hash) && isAncestors(ancestors)
    ? { hash, ancestors }
    : undefined;
}

/** The history of what takes the place of a state. */
export function ancestorsAfter(hash: Hash | undefined, ancestors: readonly string[]): readonly string[] {
  return hash === undefined ? [] : [hash.slice(0, ANCESTOR_DIGITS), ...ancestors].slice(0, ANCESTORS_MAX);
}

export function packHashes(hashes: readonly ChunkHash[]): Uint8Array {
  return Buffer.from(hashes.join(""), "hex");
}

/** @returns undefined for anything but a whole number of hashes */
export function unpackHashes(value: unknown): ChunkHash[] | undefined {
  if (!(value instanceof Uint8Array) || value.length % HASH_BYTES !== 0) return undefined;
  const digits = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("hex");
  return digits.match(/.{64}/g) ?? [];
}

function isAncestors(value: unknown): value is string[] {
  return (
    Array.isArray(value) &&
    value.length <= ANCESTORS_MAX &&
    value.every(
      (member) => typeof member === "string" && member.length === ANCESTOR_DIGITS && /^[0-9a-f]+$/.test(member),
    )
  );
}

function isWithin(value: unknown, max: number): value is number {
  return typeof value === "number" && value >= 0 && value <= max;
}
