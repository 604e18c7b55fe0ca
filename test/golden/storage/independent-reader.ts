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
  const order: number[] = [];
  const unordered: number[] = [];
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
    } else if (kind === 4) entries.push(...readColumns(payload));
    else if (kind === 5) {
      for (const cursor = new Cursor(payload); cursor.at < payload.length; ) {
        const shared = cursor.take(2).readUInt16LE(0);
        for (let left = cursor.take(2).readUInt16LE(0); left > 0; left--) {
          const word = cursor.take(4).readUInt32LE(0);
          const number = cursor.take(4).readUInt32LE(0);
          const key = Buffer.from((entries[number] as { key: string }).key);
          const padded = Buffer.concat([key.subarray(shared), Buffer.alloc(4)]);
          must(padded.readUInt32BE(0) === word, "four bytes of a key");
          order.push(number);
        }
      }
    } else if (kind === 6) {
      for (let offset = 0; offset < payload.length; offset += 4) unordered.push(payload.readUInt32LE(offset));
    } else {
      must(kind === 3 && end === bytes.length, "the footer is last");
      must(createHash("sha256").update(bytes.subarray(0, at)).digest().equals(payload.subarray(24, 56)), "SHA-256");
      const [count, required, endLsn] = [0, 8, 16].map((offset) => Number(payload.readBigUInt64LE(offset)));
      return { header, ops, entries, order, unordered, footer: { entries: count, required, endLsn } };
    }
    at = end;
  }
}

function readColumns(payload: Buffer): unknown[] {
  const cursor = new Cursor(payload);
  const count = cursor.varint();
  const names = Array.from({ length: cursor.varint() }, () => `${cursor.text()}/${cursor.take(8).toString("hex")}`);
  const column = (): number[] => {
    const width = cursor.byte();
    const least = cursor.varint();
    return Array.from({ length: count }, () => {
      const bytes = cursor.take(width);
      return least + [...bytes].reduce((sum, byte, index) => sum + byte * 256 ** index, 0);
    });
  };
  const [origins = [], lsns = [], stamps = [], seqs = [], expiries = [], keys = [], values = []] = Array.from(
    { length: 7 },
    column,
  );
  const hashes = Array.from({ length: count }, () => cursor.take(8));
  const entries = lsns.map((lsn, index) => {
    const valueLength = values[index] ?? 0;
    must((hashes[index]?.readBigUInt64LE(0) === 0n) === (valueLength === 0), "entry hash");
    cursor.take(4);
    const key = cursor.take(keys[index] ?? 0).toString();
    const value = valueLength === 0 ? null : cursor.take(valueLength - 1).toString("hex");
    while ((cursor.at - payload.length) % 4 !== 0) must(cursor.byte() === 0, "padding");
    const origin = names[origins[index] ?? 0] ?? "";
    return { lsn, key, value, stamp: stamps[index], origin, seq: seqs[index], expiresAt: expiries[index] };
  });
  must(cursor.at === payload.length, "the end of a block");
  return entries;
}

function readHeader(bytes: Buffer, magic: string) {
  must(bytes.toString("latin1", 0, 8) === magic, "magic");
  const version = bytes.readUInt16LE(8);
  must(version === 1 || version === 2, "version");
  must(bytes.readUInt16LE(10) === 192, "size");
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
    else if (kind === 2 || kind === 9) {
      const origin = reader.origin();
      ops.push({ [kind === 2 ? "cover" : "uncover"]: cursor.varint(), origin });
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
