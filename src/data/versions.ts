/** Versions of keys, as users see them. */
import { type Origin, parseOrigin, type Seq, type Stamp } from "../types.ts";

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

const GONE = "gone.";

/** Names the moment at which a version went without another one in its place: it expired. No entry ever has it. */
export function goneVersionOf(parts: VersionParts): Version {
  return GONE + versionOf(parts);
}

export function isGoneVersion(version: Version): boolean {
  return version.startsWith(GONE);
}

/** The stamp of what went, or of the entry, that a version names; `undefined` if it is none. */
export function stampOfVersion(version: Version): Stamp | undefined {
  return parseVersion(isGoneVersion(version) ? version.slice(GONE.length) : version)?.stamp;
}

/** What the version of an entry names; `undefined` if it is none. */
export function parseVersion(version: Version): VersionParts | undefined {
  const parts = /^([0-9a-z]+)\.([0-9a-z]+)\.(.+)$/s.exec(version);
  if (parts === null) return undefined;
  const [, stampText = "", seqText = "", originText = ""] = parts;
  const origin = parseOrigin(originText);
  const stamp = Number.parseInt(stampText, 36);
  const seq = Number.parseInt(seqText, 36);
  if (origin === undefined || !Number.isSafeInteger(stamp) || !Number.isSafeInteger(seq)) return undefined;
  return versionOf({ stamp, origin, seq }) === version ? { stamp, origin, seq } : undefined;
}
