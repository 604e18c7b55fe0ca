/** Bytes as a string with one UTF-16 unit per byte: a map key for bytes. */
export function bytesToText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}
