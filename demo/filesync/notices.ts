/** What the user is told: each text once, and what is refused or skipped at present as a list. */

export interface Problem {
  readonly path: string;
  readonly reason: string;
}

const TOLD_MAX = 10_000;
const PROBLEMS_MAX = 1000;

export class Notices {
  readonly #tell: (text: string) => void;
  readonly #told = new Set<string>();
  readonly #problems = new Map<string, Problem>();

  constructor(tell: (text: string) => void) {
    this.#tell = tell;
  }

  tell(text: string): void {
    if (this.#told.has(text)) return;
    if (this.#told.size >= TOLD_MAX) this.#told.clear();
    this.#told.add(text);
    this.#tell(text);
  }

  /**
   * A path is not synchronised.
   * @param verb   `refused`: by us, from a peer; `skipped`: of our own folder; `failed`, `ignored`
   * @param reason goes on after "it"
   */
  problem(verb: string, path: string, reason: string): void {
    if (this.#problems.has(path) || this.#problems.size < PROBLEMS_MAX) this.#problems.set(path, { path, reason });
    this.tell(`${verb} ${JSON.stringify(path)}: it ${reason}`);
  }

  /** A path is fine again. */
  clear(path: string): void {
    this.#problems.delete(path);
  }

  get problems(): Iterable<Problem> {
    return this.#problems.values();
  }
}
