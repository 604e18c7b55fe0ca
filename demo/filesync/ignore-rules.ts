/** What the user does not want synchronised: `.syncignore`, in the syntax of gitignore, and a few things nobody wants. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import ignore, { type Ignore } from "ignore";
import { describeError } from "./command-line.ts";

/** At the top of the folder. It is synchronised itself, so that one file rules them all. */
export const IGNORE_FILE = ".syncignore";
/** Before the user's rules: `!.git/` in them takes one back. */
const BUILT_IN: readonly string[] = [".git/", ".DS_Store", "Thumbs.db", "*.swp", ".~lock.*#"];
const IGNORE_BYTES_MAX = 1024 * 1024;

export class IgnoreRules {
  readonly #sources: readonly string[];
  #text = "";
  #rules: Ignore = ignore().add([...BUILT_IN]);

  private constructor(sources: readonly string[]) {
    this.#sources = sources;
  }

  /** @param files names of files in `root` with rules, the last has the last word; a missing one has none */
  static async open(root: string, files: readonly string[] = [IGNORE_FILE]): Promise<IgnoreRules> {
    const rules = new IgnoreRules(files.map((name) => join(root, name)));
    await rules.reload();
    return rules;
  }

  /** Reads the rules again. @returns why they could not be read, in which case the former ones stay */
  async reload(): Promise<string | undefined> {
    let text = "";
    try {
      for (const path of this.#sources) text += `${await readOrEmpty(path)}\n`;
      if (text.length > IGNORE_BYTES_MAX) return `${IGNORE_FILE} is larger than ${IGNORE_BYTES_MAX} bytes`;
      if (text === this.#text) return undefined;
      this.#rules = ignore()
        .add([...BUILT_IN])
        .add(text);
      this.#text = text;
      return undefined;
    } catch (error) {
      return `${IGNORE_FILE} cannot be used: ${describeError(error)}`;
    }
  }

  /** Whether a path is left out. It has passed `pathProblem`. */
  ignores(path: string, isDirectory: boolean): boolean {
    if (path === IGNORE_FILE) return false;
    return this.#rules.ignores(path) || (isDirectory && this.#rules.ignores(`${path}/`));
  }
}

async function readOrEmpty(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return "";
    throw error;
  }
}
