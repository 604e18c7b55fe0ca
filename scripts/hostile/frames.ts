/** Frames of the protocol, made by hand: what no replica would send. PROTOCOL.md has the fields. */
import { crc32 } from "node:zlib";

const EPOCH = Buffer.from("00000000000000ff", "hex");
const HELLO = 1;
const PAGE = 2;

/** A frame with a good checksum. @param number  its place in the session, below 128 */
export function frame(number: number, body: Uint8Array): Buffer {
  const made = Buffer.concat([Buffer.of(0x57, 1, 0, 0, 0, 0, number), body]);
  made.writeUInt32LE(crc32(Buffer.concat([body, Buffer.of(number)])), 2);
  return made;
}

/** A hello of a replica that has nothing. */
export function hello(nodeId: string, clusterId: string, incarnation: Uint8Array): Buffer {
  const [vector, addresses, links, frontier] = [0, 0, 0, 0].map((count) => Buffer.of(count)) as Four;
  const time = Buffer.alloc(8);
  time.writeDoubleLE(Date.now());
  const names = [text(clusterId), text(nodeId), EPOCH, incarnation];
  return Buffer.concat([Buffer.of(HELLO, 1, 1), ...names, vector, addresses, links, time, frontier]);
}

/** A page with one entry, whose value is these bytes, and no claim. */
export function page(nodeId: string, key: string, value: Uint8Array): Buffer {
  const stamp = BigInt(Date.now()) << 11n;
  const origin = [Buffer.of(0), text(nodeId), EPOCH];
  const entry = [Buffer.of(0), ...origin, Buffer.of(1), signedVarint(stamp), text(key), varint(value.length), value];
  return Buffer.concat([Buffer.of(PAGE, 1, 0, 0, 1), ...entry]);
}

type Four = [Buffer, Buffer, Buffer, Buffer];

function text(string: string): Buffer {
  const bytes = Buffer.from(string);
  return Buffer.concat([varint(bytes.length), bytes]);
}

function varint(value: number | bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt(value);
  for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Buffer.of(...bytes, Number(rest));
}

function signedVarint(value: bigint): Buffer {
  return value < 64n
    ? Buffer.of(Number(value))
    : Buffer.concat([Buffer.of(Number(value & 63n) | 128), varint(value >> 6n)]);
}
