/** Versions of keys, as users see them. */
import { epochOf, isEpoch, isNodeId, nodeIdOf, type Origin, type Seq, type Stamp } from "./types.ts";

/** Names a version of a key: opaque, equal on every replica and after a restart. */
export type Version = string;

/** What a version names. */
export interface VersionParts {
  readonly stamp: Stamp;
  readonly origin: Origin;
  readonly seq: Seq;
}

export function versionOf({ stamp, origin, seq }: VersionParts): Version {
  return `${stamp.toString(36)}.${seq.toString(36)}.${origin}`;
}

/** What a version names; `undefined` if no replica has made it. */
export function parseVersion(version: unknown): VersionParts | undefined {
  const parts = typeof version === "string" ? /^([0-9a-z]+)\.([0-9a-z]+)\.(.+)$/s.exec(version) : null;
  if (parts === null) return undefined;
  const [, stampText = "", seqText = "", originText = ""] = parts;
  const origin = originText as Origin;
  const stamp = Number.parseInt(stampText, 36);
  const seq = Number.parseInt(seqText, 36);
  if (!isNodeId(nodeIdOf(origin)) || !isEpoch(epochOf(origin))) return undefined;
  if (!Number.isSafeInteger(stamp) || !Number.isSafeInteger(seq)) return undefined;
  return versionOf({ stamp, origin, seq }) === version ? { stamp, origin, seq } : undefined;
}
