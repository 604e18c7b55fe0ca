import { describe, expect, test } from "vitest";
import {
  conflictPath,
  fileKey,
  isConflictCopy,
  linkProblem,
  originalOf,
  pathOfKey,
  pathProblem,
} from "../../../demo/filesync/paths.ts";

const hash = "0123456789abcdef".repeat(4);

describe("pathProblem", () => {
  test.each([
    "notes.txt",
    "a/b/c.txt",
    ".hidden",
    "..almost",
    "...a",
    "a..b/c",
    "constructor",
    "__proto__",
    "console.txt", // begins like a device
    "com10", // only one digit is a device
    "Grüße/日本語 🌊.txt",
    "a".repeat(255),
    `${"a/".repeat(499)}aa`, // 1,000 bytes
    ".filesync-tmp2",
    "sub/.filesync-tmp", // private only at the top
  ])("accepts %j", (path) => {
    expect(pathProblem(path, "linux")).toBeUndefined();
  });

  test.each([
    ["", "empty"],
    ["/etc/passwd", "empty"],
    ["a//b", "empty"],
    ["a/", "empty"],
    [".", '"."'],
    ["..", '".."'],
    ["a/../../b", '".."'],
    ["a/./b", '"."'],
    ["a\0b", "control"],
    ["a\nb", "control"],
    ["a\u007f", "control"],
    ["a\u009b", "control"], // a terminal's escape in one byte
    ["..\\b", "backslash"],
    ["C:/x", "drive"],
    ["a/c:x", "drive"],
    ["a.", "ends in"],
    ["a /b", "ends in"],
    ["con", "reserves"],
    ["a/NUL.txt", "reserves"],
    ["com1.tar.gz", "reserves"],
    ["LPT¹", "reserves"],
    ["a".repeat(256), "longer than 255"],
    ["ä".repeat(128), "longer than 255"], // bytes, not characters
    [`${"a/".repeat(499)}aaa`, "longer than 1000"],
    ["\ud800", "Unicode"],
    [".filesync-tmp/x", "private"],
    [".FILESYNC-TMP/x", "private"], // the same on a disk that ignores case
  ])("refuses %j", (path, reason) => {
    expect(pathProblem(path, "linux")).toContain(reason);
  });

  test("refuses what Windows forbids on Windows only", () => {
    expect(pathProblem("12:30?.log", "linux")).toBeUndefined();
    expect(pathProblem("12:30?.log", "win32")).toContain("Windows forbids");
  });
});

test("keys name paths, other keys do not", () => {
  expect(pathOfKey(fileKey("a/b"))).toBe("a/b");
  expect(pathOfKey("chunk/a")).toBeUndefined();
});

describe("conflictPath", () => {
  test.each([
    ["notes.txt", "notes.conflict-01234567.txt"],
    ["a.b/notes", "a.b/notes.conflict-01234567"],
    ["a/archive.tar.gz", "a/archive.tar.conflict-01234567.gz"],
    ["a/.env", "a/.env.conflict-01234567"],
    // A copy of a copy is named after the original.
    ["notes.conflict-deadbeef.txt", "notes.conflict-01234567.txt"],
    ["notes.conflict-deadbeef", "notes.conflict-01234567"],
  ])("%s -> %s", (path, expected) => {
    expect(conflictPath(path, hash)).toBe(expected);
    expect(isConflictCopy(expected)).toBe(true);
  });

  test("takes more digits when told", () => {
    expect(conflictPath("a", hash, 16)).toBe("a.conflict-0123456789abcdef");
  });

  test.each(["a".repeat(255), `${"ä".repeat(125)}.text`, `a.${"b".repeat(253)}`])("stays a valid name: %s", (path) => {
    for (const digits of [8, 64]) {
      const copy = conflictPath(path, hash, digits);
      expect(pathProblem(copy, "linux")).toBeUndefined();
      expect(isConflictCopy(copy)).toBe(true);
    }
  });

  test("other names are not copies", () => {
    expect(isConflictCopy("notes.conflict-xyz.txt")).toBe(false);
    expect(isConflictCopy("a.conflict-01234567/notes.txt")).toBe(false);
  });
});

test.each([
  ["f", "g", undefined],
  ["a/b/f", "../../g", undefined],
  ["a/b/f", "../../../g", "is a link that leads out of the folder"],
  // On the way out and in again is out.
  ["f", "../folder/g", "is a link that leads out of the folder"],
  ["f", "/etc/passwd", "is a link that is not relative"],
  ["f", "C:\\Windows", "is a link that is not relative"],
  ["f", "c:windows", "is a link that is not relative"],
  ["f", ".Filesync-tmp/x", "is a link into the private directory"],
  ["f", "a\nb", "is a link with a target that is not plain text"],
])("the link %j to %j: %s", (path, target, problem) => {
  expect(linkProblem(path, target)).toBe(problem);
});

test.each([
  ["notes.conflict-1a2b3c4d.txt", "notes.txt"],
  ["d.conflict-1a2b3c4d/notes.txt", "d.conflict-1a2b3c4d/notes.txt"],
  ["notes.txt", "notes.txt"],
])("%j is a copy of %j", (path, original) => {
  expect(originalOf(path)).toBe(original);
});
