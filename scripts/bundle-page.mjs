/**
 * Makes the files of the page: `src/ui/page` and the libraries that it uses become `dist/src/ui/assets`, which the
 * package serves as they are. Part of the build (setup.mjs); the libraries are devDependencies, their licences go along.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const source = join(root, "src", "ui", "page");
const target = join(root, "dist", "src", "ui", "assets");
const packages = join(root, "node_modules");

rmSync(target, { recursive: true, force: true });
mkdirSync(target, { recursive: true });

const bundle = await rolldown({
  input: join(source, "main.tsx"),
  platform: "browser",
  tsconfig: join(source, "tsconfig.json"),
  transform: { target: "es2022" },
  onLog: (level, log) => {
    if (level === "warn") throw new Error(`the page: ${log.message}`);
  },
});
const { output } = await bundle.write({ file: join(target, "page.js"), format: "esm", minify: true, comments: false });
await bundle.close();

const styles = [join(packages, "uplot", "dist", "uPlot.min.css"), join(source, "page.css")];
writeFileSync(join(target, "page.css"), styles.map((path) => readFileSync(path, "utf8")).join("\n"));
for (const name of ["index.html", "icon.svg"]) copyFileSync(join(source, name), join(target, name));
writeFileSync(join(target, "licenses.txt"), licenses(output));

/** Of every package of which something is in the bundle. */
function licenses(chunks) {
  const paths = chunks.flatMap((chunk) => chunk.moduleIds ?? []);
  const names = new Set(["uplot"]);
  for (const path of paths) {
    const [, name] = /node_modules[\\/]((?:@[^\\/]+[\\/])?[^\\/]+)[\\/]/.exec(path) ?? [];
    if (name !== undefined) names.add(name.replaceAll("\\", "/"));
  }
  return [...names]
    .sort()
    .map(licenseOf)
    .join(`\n${"-".repeat(80)}\n\n`);
}

function licenseOf(name) {
  const directory = join(packages, name);
  const { version, license } = JSON.parse(readFileSync(join(directory, "package.json"), "utf8"));
  const file = readdirSync(directory).find((entry) => /^licen[cs]e(?:\.(?:md|txt))?$/i.test(entry));
  if (file === undefined || !existsSync(join(directory, file))) throw new Error(`${name} brings no licence`);
  return `${name} ${version} (${license})\n\n${readFileSync(join(directory, file), "utf8").trim()}\n`;
}
