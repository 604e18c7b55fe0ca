/**
 * What two folders say to each other about chunks. A message is its kind, then hashes of 32 bytes, or one hash and the chunk.
 *
 * | message | means |
 * |---|---|
 * | `want` | send me these |
 * | `chunk` | here is one that you want |
 * | `none` | these are not here |
 * | `have` | these are here now: you had been told `none` |
 * | `gift` | here is one that you are about to want |
 * | `taken` | these gifts are off my hands: there is room for others |
 */
import { CHUNK_BYTES, type ChunkHash, packHashes, unpackHashes } from "./content.ts";

const LISTS = ["want", "none", "have", "taken"] as const;
const CONTENTS = ["chunk", "gift"] as const;

export type ChunkMessage =
  | { readonly type: (typeof LISTS)[number]; readonly chunks: readonly ChunkHash[] }
  | { readonly type: (typeof CONTENTS)[number]; readonly chunk: ChunkHash; readonly value: Uint8Array };

/** What one message lists at most. */
export const LISTED_MAX = 512;

const KINDS = [...LISTS, ...CONTENTS] as const;
const HASH_BYTES = 32;

export function encodeMessage(message: ChunkMessage): Uint8Array {
  const kind = Buffer.of(KINDS.indexOf(message.type));
  if ("chunks" in message) return Buffer.concat([kind, packHashes(message.chunks)]);
  return Buffer.concat([kind, packHashes([message.chunk]), message.value]);
}

/** @returns undefined for what is none; whether a chunk is what its name says is not looked at */
export function parseMessage(bytes: Uint8Array): ChunkMessage | undefined {
  const kind = KINDS[bytes[0] ?? KINDS.length];
  const rest = bytes.subarray(1);
  switch (kind) {
    case "chunk":
    case "gift": {
      const [chunk] = unpackHashes(rest.subarray(0, HASH_BYTES)) ?? [];
      const value = rest.subarray(HASH_BYTES);
      if (chunk === undefined || value.length === 0 || value.length > CHUNK_BYTES) return undefined;
      return { type: kind, chunk, value };
    }
    case undefined:
      return undefined;
    default: {
      const chunks = rest.length > LISTED_MAX * HASH_BYTES ? undefined : unpackHashes(rest);
      return chunks === undefined ? undefined : { type: kind, chunks };
    }
  }
}
