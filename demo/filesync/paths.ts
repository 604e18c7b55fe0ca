/**
 * Which paths may be synchronised, and the keys they have in the store. Pure.
 *
 * A key may come from anybody who can reach the cluster, so every segment is checked before it touches a file system;
 * the same check keeps names out of the store that another platform could not hold.
 */

/** The directory, inside the watched folder, that holds files in the making. Never synchronised. */
export const PRIVATE_DIRECTORY = ".filesync-tmp";

const FILE_PREFIX = "file/";
const GONE_PREFIX = "gone/";
const SEGMENT_BYTES_MAX = 255;
/** Leaves room for a prefix below the 1,024 bytes that the store allows a key. */
const PATH_BYTES_MAX = 1000;
/** Devices that Windows finds in every directory and behind every extension. */
const WINDOWS_DEVICE = /^(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?:\.|$)/i;
const WINDOWS_FORBIDDEN = /[<>:"|?*]/;
const CONFLICT_MARK = /\.conflict-[0-9a-f]{8,64}(?=\.[^.]*$|$)/;

/** Why `path` may not be synchronised, or undefined if it may: relative, `/` between segments, safe on every platform. */
export function pathProblem(path: string, platform: NodeJS.Platform = process.platform): string | undefined {
  if (!path.isWellFormed()) return "is not valid Unicode";
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) return `is longer than ${PATH_BYTES_MAX} bytes`;
  const segments = path.split("/");
  if (segments[0]?.toLowerCase() === PRIVATE_DIRECTORY) return "is in the private directory";
  for (const segment of segments) {
    const problem = segmentProblem(segment, platform);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function segmentProblem(segment: string, platform: NodeJS.Platform): string | undefined {
  if (segment === "") return "has an empty part";
  if (segment === "." || segment === "..") return `has the part "${segment}"`;
  if (/\p{Cc}/u.test(segment)) return "has a control character";
  if (segment.includes("\\")) return "has a backslash";
  if (/^[a-z]:/i.test(segment)) return "has a drive letter";
  if (/[. ]$/.test(segment)) return "has a part that ends in a dot or a space";
  if (WINDOWS_DEVICE.test(segment)) return "has a name that Windows reserves";
  if (platform === "win32" && WINDOWS_FORBIDDEN.test(segment)) return "has a character that Windows forbids";
  if (Buffer.byteLength(segment) > SEGMENT_BYTES_MAX) return `has a part longer than ${SEGMENT_BYTES_MAX} bytes`;
  return undefined;
}

/** The key of the manifest of a file. */
export const fileKey = (path: string): string => FILE_PREFIX + path;

/** What a file system that ignores case, and forms of accents, takes a path for. */
export const foldPath = (path: string): string => path.normalize("NFC").toLowerCase().normalize("NFC");

/** `a/b/c` -> `a`, `a/b`. */
export function parentsOf(path: string): string[] {
  const segments = path.split("/").slice(0, -1);
  return segments.map((_, index) => segments.slice(0, index + 1).join("/"));
}

/**
 * Why a link may not be synchronised, or undefined if it may: only one that stays inside the folder means the same
 * everywhere, and leads nobody out.
 *
 * @param path   of the link
 * @param target its text
 */
export function linkProblem(path: string, target: string): string | undefined {
  if (target.startsWith("/") || target.includes("\\") || /^[a-z]:/i.test(target))
    return "is a link that is not relative";
  if (!target.isWellFormed() || /\p{Cc}/u.test(target)) return "is a link with a target that is not plain text";
  const at = path.split("/").slice(0, -1);
  for (const segment of target.split("/")) {
    if (segment === "" || segment === ".") continue;
    if (segment !== "..") at.push(segment);
    else if (at.pop() === undefined) return "is a link that leads out of the folder";
  }
  if (at[0]?.toLowerCase() === PRIVATE_DIRECTORY) return "is a link into the private directory";
  return undefined;
}

/** The key of the note that a file has been deleted. */
export const goneKey = (path: string): string => GONE_PREFIX + path;

/** The prefix of the manifests of all files below a directory; without one, of all files. */
export const filePrefix = (directory = ""): string => FILE_PREFIX + (directory === "" ? "" : `${directory}/`);

/** The path that a manifest's key names, unchecked; undefined for another kind of key. */
export function pathOfKey(key: string): string | undefined {
  return key.startsWith(FILE_PREFIX) ? key.slice(FILE_PREFIX.length) : undefined;
}

/**
 * The name under which losing content is kept: `notes.txt` -> `notes.conflict-1a2b3c4d.txt`.
 *
 * The name follows from the content, so that every replica that keeps the same loser keeps it once. A copy of a conflict copy
 * is named after the original: marks never pile up.
 *
 * @param hash   of the losing content, hex
 * @param digits how many of its digits to use; more of them when a name is taken by other content
 */
export function conflictPath(path: string, hash: string, digits = 8): string {
  const slash = path.lastIndexOf("/") + 1;
  const name = path.slice(slash).replace(CONFLICT_MARK, "");
  // A leading dot hides a file, it does not begin an extension.
  const dot = name.lastIndexOf(".");
  const stem = dot > 0 ? name.slice(0, dot) : name;
  const mark = `.conflict-${hash.slice(0, digits)}`;
  const end = dot > 0 ? name.slice(dot) : "";
  const room = SEGMENT_BYTES_MAX - Buffer.byteLength(mark + end);
  const directory = path.slice(0, slash);
  if (room < 1) return directory + truncate(name, SEGMENT_BYTES_MAX - mark.length) + mark;
  return directory + truncate(stem, room) + mark + end;
}

export function isConflictCopy(path: string): boolean {
  // Asked of every path there is, and hardly ever so.
  return path.includes(".conflict-") && CONFLICT_MARK.test(path.slice(path.lastIndexOf("/") + 1));
}

/** `notes.conflict-1a2b3c4d.txt` -> `notes.txt`; any other path as it is. */
export function originalOf(path: string): string {
  const slash = path.lastIndexOf("/") + 1;
  return path.slice(0, slash) + path.slice(slash).replace(CONFLICT_MARK, "");
}

/** The longest beginning of `text`, in whole characters, that has at most `bytes` bytes of UTF-8. */
function truncate(text: string, bytes: number): string {
  let result = text;
  while (Buffer.byteLength(result) > bytes) result = Array.from(result).slice(0, -1).join("");
  return result;
}
