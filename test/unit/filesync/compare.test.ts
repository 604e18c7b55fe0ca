import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { listFiles } from "../../../demo/filesync/compare.ts";
import { PRIVATE_DIRECTORY } from "../../../demo/filesync/paths.ts";

let root = "";

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "wavekv-compare-"));
});

afterEach(() => rm(root, { recursive: true, force: true }));

test("lists files of all depths, without those of the synchronisation itself", async () => {
  await mkdir(join(root, "a", "b"), { recursive: true });
  await mkdir(join(root, PRIVATE_DIRECTORY));
  for (const path of ["top", "a/one", "a/b/two", `${PRIVATE_DIRECTORY}/half`]) await writeFile(join(root, path), "x");
  expect((await listFiles(root)).sort()).toEqual(["a/b/two", "a/one", "top"]);
});

test("a folder that is not there is an error", async () => {
  await expect(listFiles(join(root, "nowhere"))).rejects.toMatchObject({ code: "ENOENT" });
});

// A run of the demo's check once ended here: a deletion had arrived while the folder was listed.
test("directories that come and go while we look are no error", async () => {
  await writeFile(join(root, "stays"), "x");
  let busy = true;
  const others = Array.from({ length: 4 }, async (_, n) => {
    while (busy) {
      await mkdir(join(root, `d${n}`, "deep", "deeper"), { recursive: true });
      await rm(join(root, `d${n}`), { recursive: true });
    }
  });
  for (let look = 0; look < 300; look += 1) expect(await listFiles(root)).toEqual(["stays"]);
  busy = false;
  await Promise.all(others);
});
