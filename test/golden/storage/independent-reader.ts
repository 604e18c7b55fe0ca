/** Reads a segment and a snapshot after FORMAT.md alone; imports nothing of the store. */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";

export function readLog(bytes: Buffer) {
  const { header, seed } = readHeader(bytes, "wavekvL\n");
  const records: { lsn: number; ops: unknown[] }[] = [];
  const marks: string[] = [];
  let chain = header.chain;
  for (let at = 192; at < bytes.length; ) {
    const end = at + 24 + bytes.readUInt32LE(at + 4);
    const crc = bytes.readUInt32LE(at);
    must(crc32(bytes.subarray(at + 4, end), seed) === crc, "checksum of a record");
    must(bytes.readUInt32LE(at + 8) === chain, "chain");
    const mark = ["none", "closed", "sealed"][bytes.readUInt32LE(at + 12) >> 1];
    must(mark !== undefined && (mark === "none") === end > at + 24, "mark");
    if (mark !== "none") marks.push(mark as string);
    else records.push({ lsn: Number(bytes.readBigUInt64LE(at + 16)), ops: readOps(bytes.subarray(at + 24, end)) });
    if (mark !== "sealed") chain = crc;
    at = end;
  }
  return { header, records, marks };
}

export function readSnapshot(bytes: Buffer) {
  const { header, seed } = readHeader(bytes, "wavekvS\n");
  const ops: unknown[] = [];
  const entries: unknown[] = [];
  let last = seed;
  for (let at = 192; ; ) {
    const end = at + 12 + bytes.readUInt32LE(at + 4);
    must(crc32(bytes.subarray(at + 4, end), last) === bytes.readUInt32LE(at), "checksum of a block");
    last = bytes.readUInt32LE(at);
    const payload = bytes.subarray(at + 12, end);
    const kind = bytes.readUInt32LE(at + 8);
    if (kind === 1) ops.push(...readOps(payload));
    else if (kind === 2) {
      const cursor = new Cursor(payload);
      const lsns: number[] = [];
      for (let left = cursor.varint(); left > 0; left--) lsns.push((lsns.at(-1) ?? 0) + cursor.varint());
      const found = new EntryReader(cursor).entries();
      must(found.length === lsns.length, "one lsn per entry");
      found.forEach((entry, index) => entries.push({ lsn: lsns[index], ...entry }));
    } else {
      must(kind === 3 && end === bytes.length, "the footer is last");
      must(createHash("sha256").update(bytes.subarray(0, at)).digest().equals(payload.subarray(24, 56)), "SHA-256");
      const [count, required, endLsn] = [0, 8, 16].map((offset) => Number(payload.readBigUInt64LE(offset)));
      return { header, ops, entries, footer: { entries: count, required, endLsn } };
    }
    at = end;
  }
}

function readHeader(bytes: Buffer, magic: string) {
  must(bytes.toString("latin1", 0, 8) === magic, "magic");
  must(bytes.readUInt16LE(8) === 1 && bytes.readUInt16LE(10) === 192, "version and size");
  const seed = bytes.readUInt32LE(188);
  must(crc32(bytes.subarray(0, 188)) === seed, "checksum of the header");
  const [number, records, lsn] = [16, 24, 32].map((at) => Number(bytes.readBigUInt64LE(at)));
  const text = (at: number): string => bytes.toString("utf8", at + 1, at + 1 + bytes.readUInt8(at));
  const epoch = bytes.toString("hex", 40, 48);
  const header = { number, records, lsn, epoch, chain: bytes.readUInt32LE(12), nodeId: text(56), clusterId: text(121) };
  return { header, seed };
}

function readOps(payload: Buffer): unknown[] {
  const cursor = new Cursor(payload);
  const reader = new EntryReader(cursor);
  const ops: unknown[] = [];
  while (cursor.at < payload.length) {
    const kind = cursor.byte();
    if (kind === 1) ops.push(...reader.entries());
    else if (kind === 2) {
      const origin = reader.origin();
      ops.push({ cover: cursor.varint(), origin });
    } else if (kind === 3) ops.push({ ack: cursor.text(), origin: reader.origin(), seq: cursor.varint() });
    else if (kind === 4) ops.push({ lease: cursor.varint() });
    else if (kind === 5) ops.push({ expire: cursor.text(), origin: reader.origin(), seq: cursor.varint() });
    else if (kind === 6) ops.push({ rotate: cursor.take(8).toString("hex") });
    else must(false, "kind of an op");
  }
  return ops;
}

class EntryReader {
  readonly cursor: Cursor;
  readonly origins: { name: string; seq: number }[] = [];
  current = { name: "", seq: 0 };
  stamp = 0;
  constructor(cursor: Cursor) {
    this.cursor = cursor;
  }
  origin(): string {
    const index = this.cursor.varint();
    if (index === this.origins.length) {
      this.origins.push({ name: `${this.cursor.text()}/${this.cursor.take(8).toString("hex")}`, seq: 0 });
    }
    this.current = this.origins[index] ?? this.current;
    return this.current.name;
  }
  entries() {
    return Array.from({ length: this.cursor.varint() }, () => {
      const flags = this.cursor.byte();
      if ((flags & 4) === 0) this.origin();
      this.current.seq += (flags & 8) !== 0 ? 1 : this.cursor.signed();
      if ((flags & 16) === 0) this.stamp += this.cursor.signed();
      const expiresAt = (flags & 2) !== 0 ? this.cursor.varint() : 0;
      const key = this.cursor.text();
      const value = (flags & 1) !== 0 ? null : this.cursor.take(this.cursor.varint()).toString("hex");
      return { key, value, stamp: this.stamp, origin: this.current.name, seq: this.current.seq, expiresAt };
    });
  }
}

class Cursor {
  at = 0;
  readonly bytes: Buffer;
  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
  byte(): number {
    return this.bytes.readUInt8(this.at++);
  }
  take(length: number): Buffer {
    must(this.at + length <= this.bytes.length, "bytes");
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
  text(): string {
    return this.take(this.varint()).toString();
  }
  varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }
  signed(): number {
    const first = this.byte();
    const magnitude = (first & 63) + (first >= 128 ? this.varint() * 64 : 0);
    return (first & 64) !== 0 ? -magnitude : magnitude;
  }
}

function must(condition: boolean, what: string): void {
  if (!condition) throw new Error(`not as FORMAT.md has it: ${what}`);
}
