/**
 * Reads a file from one place on, a piece at a time, and has the next piece read while the last one is
 * worked on. Every wait for a piece is a turn of the event loop: so the size of a piece bounds for how long
 * others have to wait.
 */
import type { DiskFile } from "./disk.ts";

export class ReadAhead {
  readonly #file: DiskFile;
  readonly #end: number;
  readonly #pieceBytes: number;
  /** Of the next piece. */
  #nextBytes: number;
  /** Where the piece that is on its way ends in the file. */
  #position: number;
  #pending: Promise<Buffer> | undefined;
  #bytes: Buffer = Buffer.alloc(0);
  /** What the last but one piece was read into: allocating anew for every piece costs as much as reading it. */
  #spare: ArrayBufferLike | undefined;

  /**
   * Begins to read at once. Whoever has made it calls `settle` before the file is closed.
   *
   * @param end         how far to read
   * @param pieceBytes  of the largest pieces
   * @param firstBytes  of the first piece; each one has twice the bytes of the one before, up to `pieceBytes`. What
   *   works on them is slow until it is compiled.
   */
  constructor(file: DiskFile, start: number, end: number, pieceBytes: number, firstBytes: number = pieceBytes) {
    this.#file = file;
    this.#position = start;
    this.#end = end;
    this.#pieceBytes = pieceBytes;
    this.#nextBytes = firstBytes;
    this.#readNext();
  }

  /** What is there and has not been skipped. Valid until the next `fill`. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  /** Leaves out the first `count` bytes. */
  skip(count: number): void {
    this.#bytes = this.#bytes.subarray(count);
  }

  /** Reads on until there are `wanted` bytes. Returns whether there are so many. @throws what the disk throws */
  async fill(wanted: number): Promise<boolean> {
    if (wanted > this.#bytes.length + 2 * this.#pieceBytes) await this.#readMuch(wanted);
    while (this.#bytes.length < wanted) {
      const piece = await this.#pending;
      if (piece === undefined) return false;
      this.#bytes = this.#join(piece);
      this.#readNext();
    }
    return true;
  }

  /** Resolves when nothing is being read any more. */
  async settle(): Promise<void> {
    await this.#pending?.catch(() => undefined);
  }

  #readNext(): void {
    const count = Math.min(this.#nextBytes, this.#end - this.#position);
    this.#nextBytes = Math.min(this.#nextBytes * 2, this.#pieceBytes);
    this.#pending = count > 0 ? this.#read(this.#position, count) : undefined;
    this.#position += count;
    // Whoever fills hears of it; if nobody does any more, nobody needs to.
    this.#pending?.catch(() => undefined);
  }

  /** A piece with room before it, for what will be left of the one before. */
  async #read(position: number, count: number): Promise<Buffer> {
    const buffer = Buffer.from(this.#spare ?? new ArrayBuffer(this.#pieceBytes * 2), 0, this.#pieceBytes + count);
    this.#spare = undefined;
    const filled = await this.#file.read(buffer.subarray(this.#pieceBytes), position);
    return buffer.subarray(this.#pieceBytes, this.#pieceBytes + filled);
  }

  #join(piece: Buffer): Buffer {
    const left = this.#bytes;
    if (left.length > piece.byteOffset) return Buffer.concat([left, piece]);
    if (left.buffer.byteLength === piece.buffer.byteLength) this.#spare = left.buffer;
    const joined = Buffer.from(piece.buffer, piece.byteOffset - left.length, left.length + piece.length);
    joined.set(left);
    return joined;
  }

  /** Something larger than pieces: read in one go, or joining pieces would copy it many times. */
  async #readMuch(wanted: number): Promise<void> {
    const there = Buffer.concat([this.#bytes, (await this.#pending) ?? Buffer.alloc(0)]);
    const count = Math.min(wanted - there.length, this.#end - this.#position);
    const rest = Buffer.alloc(Math.max(count, 0));
    const filled = await this.#file.read(rest, this.#position);
    this.#position += filled;
    this.#bytes = Buffer.concat([there, rest.subarray(0, filled)]);
    this.#readNext();
  }
}
