/**
 * Zeroed bytes for internal use. Small ones share an ArrayBuffer, since one of its own costs half a
 * microsecond; hence nothing from here goes to the embedder, who might transfer it to a worker.
 */
export function allocate(byteLength: number): Uint8Array {
  if (byteLength > SLAB_SHARE_MAX) return new Uint8Array(byteLength);
  if (slabUsed + byteLength > SLAB_BYTES) {
    slab = new ArrayBuffer(SLAB_BYTES);
    slabUsed = 0;
  }
  const bytes = new Uint8Array(slab, slabUsed, byteLength);
  slabUsed += byteLength;
  return bytes;
}

const SLAB_BYTES = 64 * 1024;
const SLAB_SHARE_MAX = 4 * 1024;
let slab = new ArrayBuffer(SLAB_BYTES);
let slabUsed = 0;
