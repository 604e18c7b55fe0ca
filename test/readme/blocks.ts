/** Compiles and runs the code blocks of a Markdown file, so that what it shows is true. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import ts from "typescript";

export interface Block {
  readonly language: "ts" | "sh";
  /** Compiled if it is TypeScript, not executed. */
  readonly compileOnly: boolean;
  readonly code: string;
  /** Line of the opening fence in the file, from 1. */
  readonly line: number;
}

/** The blocks that take part: every `ts` one, and `sh run`. An unknown word behind either language is an error. */
export function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = [];
  const lines = markdown.split(/\r?\n/);
  for (let index = 0; index < lines.length; index++) {
    const [, indent, fence, info] = /^( *)(`{3,}|~{3,})\s*(.*)$/.exec(lines[index]!) ?? [];
    if (indent === undefined || fence === undefined || info === undefined) continue;
    const line = index + 1;
    const code: string[] = [];
    for (index++; lines[index]?.trim() !== fence; index++) {
      if (index >= lines.length) throw new Error(`line ${line}: the fence is never closed`);
      code.push(lines[index]!.slice(indent.length));
    }
    const [language, ...words] = info.trim().split(/\s+/);
    if (language !== "ts" && language !== "sh") continue;
    const mode = words.join(" ");
    if (!["", language === "ts" ? "no-run" : "run"].includes(mode))
      throw new Error(`line ${line}: unknown mode ${mode}`);
    if (language === "sh" && mode === "") continue;
    blocks.push({ language, compileOnly: mode === "no-run", code: `${code.join("\n")}\n`, line });
  }
  return blocks;
}

/**
 * Where blocks are compiled and run: a directory in which `wavekv` is the package in `packageDirectory`, with the
 * `node_modules` of `checkout` for the types of Node. Remove it with `dispose`.
 */
export class Workbench {
  readonly #directory = mkdtempSync(join(tmpdir(), "wavekv-readme-"));
  readonly #checkout: string;

  constructor(packageDirectory: string, checkout: string) {
    this.#checkout = checkout;
    mkdirSync(join(this.#directory, "node_modules"));
    symlinkSync(packageDirectory, join(this.#directory, "node_modules", "wavekv"), "junction");
    // What a user of schemas has installed.
    symlinkSync(join(checkout, "node_modules", "zod"), join(this.#directory, "node_modules", "zod"), "junction");
    writeFileSync(join(this.#directory, "package.json"), `{ "type": "module" }`);
  }

  dispose(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** Compiles every TypeScript block under strict rules; returns one message per mistake, with its line. */
  compile(blocks: readonly Block[]): string[] {
    const lineByFile = new Map<string, number>();
    for (const block of blocks.filter(({ language }) => language === "ts")) {
      const path = this.#pathOf(block, "ts");
      writeFileSync(path, block.code);
      lineByFile.set(path, block.line);
    }
    const program = ts.createProgram([...lineByFile.keys()], {
      strict: true,
      noUncheckedIndexedAccess: true,
      exactOptionalPropertyTypes: true,
      target: ts.ScriptTarget.ES2022,
      lib: ["lib.es2023.d.ts", "lib.esnext.disposable.d.ts"],
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      moduleDetection: ts.ModuleDetectionKind.Force,
      types: ["node"],
      typeRoots: [join(this.#checkout, "node_modules", "@types")],
      skipLibCheck: true,
    });
    const mistakes = ts.getPreEmitDiagnostics(program).map(({ file, start = 0, messageText }) => {
      const fence = file === undefined ? undefined : lineByFile.get(file.fileName);
      const offset = file?.getLineAndCharacterOfPosition(start).line ?? 0;
      const place = fence === undefined ? (file?.fileName ?? "options") : `line ${fence + 1 + offset}`;
      return `${place}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`;
    });
    if (mistakes.length === 0) program.emit();
    return mistakes;
  }

  /**
   * Runs a block that was compiled, or a shell block. Resolves to undefined when it ended by itself within
   * `deadlineMs`, with exit code 0 and no process left; else to what went wrong.
   */
  async run(block: Block, deadlineMs: number): Promise<string | undefined> {
    const cwd = block.language === "sh" ? this.#checkout : mkdtempSync(join(this.#directory, "cwd-"));
    const [command, args] =
      block.language === "sh"
        ? (["bash", ["-euo", "pipefail", "-c", block.code]] as const)
        : ([process.execPath, [this.#pathOf(block, "js")]] as const);
    // Its own process group, so that whatever it starts can be found.
    const child = spawn(command, args, { cwd, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    const output: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => output.push(chunk));
    const exit = once(child, "exit");
    const close = once(child, "close");
    const deadline = { passed: false };
    const timer = setTimeout(() => {
      deadline.passed = true;
      killGroup(child.pid);
    }, deadlineMs);
    const [code, signal] = (await exit) as [number | null, string | null];
    clearTimeout(timer);
    const left = killGroup(child.pid);
    await close;
    const shown = Buffer.concat(output).toString();
    if (deadline.passed) return `still running after ${deadlineMs} ms\n${shown}`;
    if (code !== 0) return `ended with ${code ?? signal}\n${shown}`;
    return left ? `left a process behind\n${shown}` : undefined;
  }

  #pathOf(block: Block, extension: string): string {
    return join(this.#directory, `line-${block.line}.${extension}`);
  }
}

/** Whether there was anything to kill. */
function killGroup(pid: number | undefined): boolean {
  if (pid === undefined) return false;
  try {
    return process.kill(-pid, "SIGKILL");
  } catch {
    return false;
  }
}
