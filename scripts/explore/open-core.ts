/**
 * The real core and protocol, with their private fields turned into ordinary ones, so that a search can tell two states
 * apart by all that they hold. Nothing else of the code is changed: `#name` becomes `$name`, file by file.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import ts from "typescript";
import type { CoreState } from "../../src/core/core-state.ts";
import type { Replicator } from "../../src/sync/replicator.ts";

export interface OpenCore {
  readonly CoreState: typeof CoreState;
  readonly Replicator: typeof Replicator;
}

/** Rooms that are pure, and so need nothing else. */
const FOLDERS = ["src/core", "src/sync", "src"];

/** @param change  for tests of the search: may plant a bug into a file, named as in `src` */
export async function openCore(change = (_file: string, source: string): string => source): Promise<OpenCore> {
  const checkout = checkoutOf(fileURLToPath(import.meta.url));
  const directory = mkdtempSync(join(tmpdir(), "wavekv-explore-"));
  try {
    writeFileSync(join(directory, "package.json"), '{ "type": "module" }');
    for (const folder of FOLDERS) {
      mkdirSync(join(directory, folder), { recursive: true });
      for (const name of readdirSync(join(checkout, folder)).filter((file) => file.endsWith(".ts"))) {
        const source = change(`${folder}/${name}`, readFileSync(join(checkout, folder, name), "utf8"));
        writeFileSync(join(directory, folder, name.replace(/\.ts$/, ".js")), opened(source));
      }
    }
    const load = (file: string): Promise<unknown> =>
      import(/* @vite-ignore */ pathToFileURL(join(directory, file)).href);
    const core = (await load("src/core/core-state.js")) as Pick<OpenCore, "CoreState">;
    const sync = (await load("src/sync/replicator.js")) as Pick<OpenCore, "Replicator">;
    return { CoreState: core.CoreState, Replicator: sync.Replicator };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function opened(source: string): string {
  const compilerOptions: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    verbatimModuleSyntax: true,
    rewriteRelativeImportExtensions: true,
    removeComments: true,
  };
  const { outputText } = ts.transpileModule(source, { compilerOptions });
  return outputText.replace(/(?<=[.\s(!*])#(?=[a-z])/g, "$");
}

/** The checkout that a file of `scripts`, or of its compiled form, belongs to. */
function checkoutOf(file: string): string {
  for (let directory = dirname(file); ; directory = dirname(directory)) {
    if (readdirSync(directory).includes("package.json") && readdirSync(directory).includes("src")) return directory;
    if (directory === dirname(directory)) throw new Error("this file lies in no checkout");
  }
}
