/** Which chunk is where in this folder: what others can be given, and what need not be fetched. In memory. */
import type { ChunkHash, FileContent } from "./content.ts";
import { CHUNK_BYTES, chunkBytes, hashOf } from "./content.ts";
import type { Folder } from "./folder.ts";

interface Place {
  readonly path: string;
  readonly offset: number;
  readonly bytes: number;
}

export class LocalChunks {
  readonly #folder: Folder;
  readonly #files = new Map<string, FileContent>();
  readonly #places = new Map<ChunkHash, Place[]>();

  constructor(folder: Folder) {
    this.#folder = folder;
  }

  /** A file of the folder is known to have this content. Small ones are not kept track of: their manifests hold them. */
  set(path: string, content: FileContent): void {
    if (this.#files.get(path)?.hash === content.hash) return;
    this.delete(path);
    if (content.inline !== undefined || content.chunks.length === 0) return;
    this.#files.set(path, content);
    content.chunks.forEach((chunk, index) => {
      const place: Place = { path, offset: index * CHUNK_BYTES, bytes: chunkBytes(content.size, index) };
      const places = this.#places.get(chunk);
      if (places === undefined) this.#places.set(chunk, [place]);
      // A file of many equal chunks needs one of them.
      else if (places.at(-1)?.path !== path) places.push(place);
    });
  }

  get(path: string): FileContent | undefined {
    return this.#files.get(path);
  }

  delete(path: string): void {
    const content = this.#files.get(path);
    if (content === undefined) return;
    this.#files.delete(path);
    for (const chunk of content.chunks) {
      const rest = this.#places.get(chunk)?.filter((place) => place.path !== path) ?? [];
      if (rest.length > 0) this.#places.set(chunk, rest);
      else this.#places.delete(chunk);
    }
  }

  has(chunk: ChunkHash): boolean {
    return this.#places.has(chunk);
  }

  /** How many bytes a chunk has, undefined for one that is not here. */
  bytesOf(chunk: ChunkHash): number | undefined {
    return this.#places.get(chunk)?.[0]?.bytes;
  }

  /** A chunk, read anew and checked; undefined if no file has it any more. */
  async read(chunk: ChunkHash): Promise<Buffer | undefined> {
    for (const { path, offset, bytes } of [...(this.#places.get(chunk) ?? [])]) {
      const content = await this.#folder.readPart(path, offset, bytes);
      if (content !== undefined && hashOf(content) === chunk) return content;
      // It has changed since; when that is noticed it will be described anew.
      this.delete(path);
    }
    return undefined;
  }
}
