/**
 * Names that some platforms cannot tell apart: `Readme` and `README`, or one accent in two forms. Two such files cannot both be on
 * macOS or Windows, so only one of them is synchronised, the one that was first; the other is reported until it gets another name.
 */
import { foldPath, parentsOf } from "./paths.ts";

export class Twins {
  /** Spellings by what they fold to, of paths and of their directories. */
  readonly #noted = new Set<string>();
  readonly #spellings = new Map<string, Set<string>>();

  /** A path that somebody has, or had. */
  note(path: string): void {
    // Of many paths in one directory, that is noted once.
    for (
      let prefix = path;
      prefix !== "" && !this.#noted.has(prefix);
      prefix = prefix.slice(0, Math.max(0, prefix.lastIndexOf("/")))
    ) {
      this.#noted.add(prefix);
      const folded = foldPath(prefix);
      const known = this.#spellings.get(folded);
      if (known === undefined) this.#spellings.set(folded, new Set([prefix]));
      else known.add(prefix);
    }
  }

  /** Forgets everything: what is still there is noted again by the next scan. */
  clear(): void {
    this.#noted.clear();
    this.#spellings.clear();
  }

  /**
   * The other spelling of a path, or of a directory on the way to it, if there is one.
   * @param isThere whether a spelling is in use
   */
  of(path: string, isThere: (spelling: string) => boolean): string | undefined {
    for (const prefix of [...parentsOf(path), path])
      for (const spelling of this.#spellings.get(foldPath(prefix)) ?? [])
        if (spelling !== prefix && isThere(spelling)) return spelling;
    return undefined;
  }
}
