/**
 * Frames in a stream of bytes: each behind its length, 4 bytes, big-endian. Pure.
 *
 * What a peer can make us hold is bounded by what it has sent: a length is checked before anything is set aside for
 * it, room grows with the bytes that come, and a frame that trickles in is kept as one run of bytes, not as a list of
 * a million pieces.
 */
const LENGTH_BYTES = 4;
const ROOM_BYTES_MIN = 16 * 1024;

export class FrameParser {
  #maxFrameBytes: number;
  /** What has come of the next length. */
  #length = 0;
  #lengthBytes = 0;
  /** The frame that has come in part. */
  #room: Buffer = Buffer.alloc(0);
  #filled = 0;

  constructor(maxFrameBytes: number) {
    this.#maxFrameBytes = maxFrameBytes;
  }

  /** From the next frame on. */
  limit(maxFrameBytes: number): void {
    this.#maxFrameBytes = maxFrameBytes;
  }

  /** Whether the last byte that came was not the last one of a frame. */
  get isWithinFrame(): boolean {
    return this.#lengthBytes > 0;
  }

  /**
   * Takes what came, and calls back for each frame that it completes; a frame may be a view into `chunk`. Stops, and
   * drops the rest, once `onFrame` returns false.
   *
   * @returns why the stream cannot go on; undefined if it can
   */
  push(chunk: Buffer, onFrame: (frame: Uint8Array) => boolean): string | undefined {
    for (let at = 0; at < chunk.length; ) {
      while (this.#lengthBytes < LENGTH_BYTES && at < chunk.length) {
        this.#length = this.#length * 256 + (chunk[at] ?? 0);
        this.#lengthBytes += 1;
        at += 1;
      }
      if (this.#lengthBytes < LENGTH_BYTES) return undefined;
      const length = this.#length;
      if (length === 0) return "the other end announced a frame of no bytes";
      if (length > this.#maxFrameBytes) {
        return `the other end announced a frame of ${length} bytes, ${this.#maxFrameBytes} is the limit`;
      }
      const end = at + length - this.#filled;
      if (this.#filled > 0 || end > chunk.length) this.#keep(chunk, at, Math.min(end, chunk.length));
      if (end > chunk.length) return undefined;
      const frame = this.#filled > 0 ? this.#take() : chunk.subarray(at, end);
      this.#length = 0;
      this.#lengthBytes = 0;
      at = end;
      if (!onFrame(frame)) return undefined;
    }
    return undefined;
  }

  #keep(chunk: Buffer, from: number, to: number): void {
    const needed = this.#filled + to - from;
    if (needed > this.#room.length) {
      // Doubling, so that every byte is copied twice at most, and never beyond the frame.
      const roomBytes = Math.min(this.#length, Math.max(needed, 2 * this.#room.length, ROOM_BYTES_MIN));
      const room = Buffer.allocUnsafeSlow(roomBytes);
      this.#room.copy(room, 0, 0, this.#filled);
      this.#room = room;
    }
    chunk.copy(this.#room, this.#filled, from, to);
    this.#filled = needed;
  }

  /** The frame is whole, so the room is exactly full: it grows up to the length and no further. */
  #take(): Uint8Array {
    const frame = this.#room.subarray(0, this.#filled);
    this.#room = Buffer.alloc(0);
    this.#filled = 0;
    return frame;
  }
}

/** The bytes in front of a frame. */
export function lengthOf(frame: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(LENGTH_BYTES);
  bytes.writeUInt32BE(frame.length);
  return bytes;
}
