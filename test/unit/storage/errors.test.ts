/** What an embedder is told when the disk fails: a code to act upon, and what to do. */
import { expect, test } from "vitest";
import { ReplicaError } from "../../../src/errors.ts";
import { openError, storageError } from "../../../src/storage/files.ts";

const failure = (code: string): Error => Object.assign(new Error(`${code}: it failed`), { code });

test.each(["ENOSPC", "EDQUOT", "EFBIG"])("%s is a full disk, whether writing or opening", (code) => {
  for (const error of [storageError("cannot write", failure(code)), openError("dir", failure(code))]) {
    expect(error.code).toBe("ERR_STORAGE_FULL");
    expect(error.message).toContain("free space");
  }
});

test.each([
  ["EACCES", "change its permissions"],
  ["EPERM", "change its permissions"],
  ["EROFS", "readOnly"],
  ["EEXIST", "a file is in its place"],
  ["ENOTDIR", "a file is in its place"],
  ["EIO", "EIO: it failed"],
])("a directory that cannot be opened for %s: %s", (code, remedy) => {
  const error = openError("dir", failure(code));
  expect(error.code).toBe("ERR_STORAGE_FAILED");
  expect(error.message).toContain("cannot open dir");
  expect(error.message).toContain(remedy);
});

test("what is thrown and is no error is told as it is", () => {
  expect(openError("dir", "out of paper").message).toBe("cannot open dir: out of paper");
  expect(storageError("cannot write", "out of paper")).toMatchObject({
    code: "ERR_STORAGE_FAILED",
    message: "cannot write; close the replica and open it again",
    cause: "out of paper",
  });
});

test("an error of our own passes as it is", () => {
  const own = new ReplicaError("ERR_CORRUPT", "damaged");
  expect(storageError("cannot read", own)).toBe(own);
  expect(openError("dir", own)).toBe(own);
});
