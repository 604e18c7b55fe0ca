/** The packed tarball, as a user would have it in `node_modules`. Uses `dist`. */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import packageJson from "../package.json" with { type: "json" };

const checkout = fileURLToPath(new URL("../", import.meta.url));

// An entry point that is announced and not yet written makes no package.
const isComplete = Object.values(packageJson.exports).every((target) => existsSync(join(checkout, sourceOf(target))));

describe.runIf(isComplete)("the packed tarball", () => {
  let user: string;
  let installed: string;
  let files: string[];

  beforeAll(() => {
    user = mkdtempSync(join(tmpdir(), "wavekv-package-"));
    const options = { cwd: checkout, encoding: "utf8", shell: process.platform === "win32" } as const;
    // Without scripts: `dist` is there already, and packing must not build below the other tests.
    execFileSync("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", user], options);
    const [tarball] = readdirSync(user);
    installed = join(user, "node_modules", "wavekv");
    mkdirSync(installed, { recursive: true });
    // Unpacked in place of an installation, next to the declared dependencies and nothing else.
    execFileSync("tar", ["-xzf", tarball!, "-C", installed, "--strip-components", "1"], { cwd: user });
    for (const dependency of Object.keys(packageJson.dependencies)) {
      symlinkSync(join(checkout, "node_modules", dependency), join(user, "node_modules", dependency), "junction");
    }
    files = readdirSync(installed, { recursive: true, encoding: "utf8" }).map((path) => path.replaceAll("\\", "/"));
  });

  afterAll(() => rmSync(user, { recursive: true, force: true }));

  test("holds what it needs", () => {
    expect(files).toEqual(expect.arrayContaining(["package.json", "README.md", "LICENSE", "CHANGELOG.md"]));
  });

  test("holds nothing else", () => {
    const allowed =
      /^(?:dist|src|transports|package\.json|README\.md|LICENSE|CHANGELOG\.md|(?:dist\/)?(?:src|transports)\/.*|dist\/(?:src|transports))$/;
    expect(files.filter((path) => !allowed.test(path) || /\.test\.|tsbuildinfo/.test(path))).toEqual([]);
  });

  test("has a module, types and maps for each source, and no leftovers", () => {
    // What the page is made of is served as it is.
    const compiled = files.filter((path) => !path.startsWith("dist/src/ui/assets/"));
    const stems = (end: RegExp) => compiled.filter((path) => end.test(path)).map((path) => path.replace(end, ""));
    const sources = stems(/\.ts$/).filter((stem) => !stem.startsWith("dist/"));
    const expected = sources.map((stem) => `dist/${stem}`).sort();
    for (const end of [/\.js$/, /\.d\.ts$/, /\.js\.map$/, /\.d\.ts\.map$/]) expect(stems(end).sort()).toEqual(expected);
  });

  test("has the page, whole, with the licences of what is in it", () => {
    const assets = files.filter((path) => /^dist\/src\/ui\/assets\/./.test(path));
    const names = ["icon.svg", "index.html", "licenses.txt", "page.css", "page.js"];
    expect(assets.map((path) => path.replace(/.*\//, "")).sort()).toEqual(names);
    expect(files.filter((path) => path.startsWith("src/ui/page/"))).toEqual([]);
    const text = (name: string) => readFileSync(join(installed, "dist/src/ui/assets", name), "utf8");
    for (const name of ["preact", "@preact/signals", "d3-force", "uplot"]) {
      expect(text("licenses.txt")).toMatch(new RegExp(`^${name} \\d+\\.\\d+\\.\\d+ \\((?:MIT|ISC)\\)\n\n\\S`, "m"));
    }
    // Nothing is fetched from elsewhere, and nothing is evaluated: the policy of the page would refuse it.
    expect(text("index.html") + text("page.css")).not.toMatch(/https?:|url\(/);
    expect(text("page.js")).not.toMatch(/\beval\(|new Function\(|\bimport\(/);
    expect(text("page.js").length + text("page.css").length).toBeLessThan(200_000);
  });

  test("keeps TypeScript out of the modules that Node loads", () => {
    const modules = files
      .filter((path) => path.endsWith(".js"))
      .map((path) => readFileSync(join(installed, path), "utf8"));
    expect(modules.filter((text) => /from "\.[^"]*\.ts"/.test(text))).toEqual([]);
  });

  test.each(Object.keys(packageJson.exports))(
    "%s loads by import and by require, and leaves nothing running",
    (name) => {
      const specifier = name.replace(/^\./, "wavekv");
      writeFileSync(
        join(user, "load.mjs"),
        `import { createRequire } from "node:module";
       const required = createRequire(import.meta.url)(${JSON.stringify(specifier)});
       ${
         name.endsWith(".json")
           ? ""
           : `const imported = await import(${JSON.stringify(specifier)});
       if (imported.default !== undefined || Object.keys(required).join() !== Object.keys(imported).join()) process.exit(3);`
       }`,
      );
      const run = () => execFileSync(process.execPath, ["load.mjs"], { cwd: user, encoding: "utf8", timeout: 20_000 });
      expect(run()).toBe("");
    },
  );

  test("does not open its inside", () => {
    const inside = join(user, "inside.mjs");
    writeFileSync(inside, `await import("wavekv/dist/src/index.js");`);
    expect(() => execFileSync(process.execPath, [inside], { stdio: "pipe" })).toThrow(/ERR_PACKAGE_PATH_NOT_EXPORTED/);
  });
});

test("there is one dependency", () => {
  expect(Object.keys(packageJson.dependencies)).toEqual(["ws"]);
});

/** The file in the checkout from which an export is built. */
function sourceOf(target: string | { readonly default: string }): string {
  return typeof target === "string" ? target : target.default.replace(/^\.\/dist\/(.*)\.js$/, "$1.ts");
}
