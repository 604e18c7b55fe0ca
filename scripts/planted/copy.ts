/** Copies of the checkout that may be broken on purpose. */
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

export const CHECKOUT = fileURLToPath(new URL("../../../", import.meta.url));

const COPIED: readonly string[] = [
  "dist",
  "src",
  "transports",
  "scripts",
  "test",
  "demo",
  "package.json",
  "vitest.config.ts",
  "tsconfig.json",
];

/** Hands a copy of the checkout to `use` and removes it once that returns. */
export function withCopy<T>(use: (directory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), "wavekv-planted-"));
  try {
    for (const name of COPIED) cpSync(join(CHECKOUT, name), join(directory, name), { recursive: true });
    symlinkSync(join(CHECKOUT, "node_modules"), join(directory, "node_modules"));
    return use(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Gives a file of a copy another text: to the source and to what is compiled. */
export function change(directory: string, file: string, source: string): void {
  writeFileSync(join(directory, file), source);
  writeFileSync(join(directory, "dist", file.replace(/\.ts$/, ".js")), compiled(source));
}

function compiled(source: string): string {
  const compilerOptions: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    verbatimModuleSyntax: true,
    rewriteRelativeImportExtensions: true,
  };
  return ts.transpileModule(source, { compilerOptions }).outputText;
}
