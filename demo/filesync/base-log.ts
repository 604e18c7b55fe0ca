/**
 * The file that base.ts is kept in: a header, then one line per change, the last one of a path counts. Appending costs what has changed,
 * not what there is; once most of the lines are outdated the file is written anew. A process that dies while it appends leaves a last
 * line that is none: it and what should have followed was not agreed on.
 */
import { open, readFile, rename } from "node:fs/promises";
import type { Agreement } from "./base.ts";
import { codeOf } from "./file-errors.ts";
import type { Life, LifeMark } from "./store-life.ts";

/** `path` alone: no file was agreed on. `complete`: see BaseFile.isComplete. */
export type BaseChange = readonly [path: string, agreement: Agreement | undefined] | "complete";

export interface LoadedBase {
  readonly agreements: Map<string, Agreement>;
  readonly complete: boolean;
}

const FORMAT_VERSION = 3;
/** So many lines more than twice the agreements are written anew. */
const OUTDATED_LINES_MAX = 1000;

export class BaseLog {
  readonly #path: string;
  /** What an earlier process has left may end in the middle of a line. */
  #isBegun = false;
  #lines = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** @returns undefined when the file is absent, damaged or of another store; the first `append` then begins a new one */
  async load(life: Life): Promise<LoadedBase | undefined> {
    const loaded = parse(await readOrEmpty(this.#path));
    return loaded !== undefined && life.covers(loaded.mark) ? loaded : undefined;
  }

  /** Whether `append` wants everything, to write the file anew. */
  isOutdated(changes: number, agreements: number): boolean {
    return !this.#isBegun || this.#lines + changes > 2 * agreements + OUTDATED_LINES_MAX;
  }

  /**
   * Makes changes durable.
   * @param all  what holds after them, if the file is to be written anew
   * @param mark a moment by which the store has what they speak of
   */
  async append(changes: readonly BaseChange[], all: LoadedBase | undefined, mark: LifeMark): Promise<void> {
    if (all !== undefined) return await this.#rewrite(all, mark);
    await using file = await open(this.#path, "a", 0o600);
    // First: a base of which the last lines are missing must not claim too little.
    await file.writeFile(`${mark.count}\n${changes.map(lineOf).join("")}`);
    await file.datasync();
    this.#lines += changes.length;
  }

  async #rewrite({ agreements, complete }: LoadedBase, { id, count }: LifeMark): Promise<void> {
    const changes: BaseChange[] = [...agreements, ...(complete ? (["complete"] as const) : [])];
    const header = `${JSON.stringify({ version: FORMAT_VERSION, life: id })}\n${count}\n`;
    const temporary = `${this.#path}.new`;
    {
      await using file = await open(temporary, "w", 0o600);
      await file.writeFile(header + changes.map(lineOf).join(""));
      await file.sync();
    }
    await rename(temporary, this.#path);
    this.#isBegun = true;
    this.#lines = changes.length;
  }
}

function lineOf(change: BaseChange): string {
  if (change === "complete") return "true\n";
  const [path, agreement] = change;
  const row = agreement === undefined ? [path] : [path, agreement.hash, agreement.own, agreement.fingerprint];
  return `${JSON.stringify(row)}\n`;
}

async function readOrEmpty(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return "";
    throw error;
  }
}

function parse(text: string): (LoadedBase & { readonly mark: LifeMark }) | undefined {
  const [header, ...lines] = text.split("\n");
  const head = parseJson(header ?? "");
  if (typeof head !== "object" || head === null || !("version" in head) || !("life" in head)) return undefined;
  if (head.version !== FORMAT_VERSION || typeof head.life !== "string") return undefined;
  // What is behind the last line feed was not finished.
  lines.pop();
  const agreements = new Map<string, Agreement>();
  let complete = false;
  let count = 0;
  for (const line of lines) {
    const row = parseJson(line);
    if (row === true) complete = true;
    else if (typeof row === "number") count = row;
    else {
      if (!Array.isArray(row)) return undefined;
      const [path, hash, own, fingerprint] = row as readonly unknown[];
      if (typeof path !== "string") return undefined;
      if (row.length === 1) agreements.delete(path);
      else if (typeof hash !== "string" || typeof own !== "boolean") return undefined;
      else agreements.set(path, { hash, own, ...(typeof fingerprint === "string" && { fingerprint }) });
    }
  }
  return { agreements, complete, mark: { id: head.life, count } };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
