/**
 * Messages and their frames.
 *
 *     magic           u8, 0x57
 *     format version  u8, 1
 *     checksum        u32: crc32 of the body followed by the frame number
 *     frame number    varint
 *     body            a kind (varint) and the fields in message-bodies.ts
 *
 * The checksum takes the body first, so that the body of a page is checksummed once and then numbered
 * for each peer at the price of a copy. Kinds from later versions are skipped, and so is what they add
 * at the end of a body.
 */
import { crc32 } from "node:zlib";
import type { Message } from "../sync/messages.ts";
import { ByteReader, ByteWriter, DecodeError } from "./bytes.ts";
import { isGreeting, readMessage, writeMessage } from "./message-bodies.ts";

const MAGIC = 0x57;
/** Of the handshake that transports with a secret begin with. */
const HANDSHAKE_MAGIC = 0x58;
const FORMAT_VERSION = 1;
const HEADER_BYTES = 6;
const CRC_BYTES = 4;

export type DecodedFrame =
  | { readonly type: "message"; readonly number: number; readonly message: Message }
  /** Intact, and of a kind that this version does not know: count it and go on. */
  | { readonly type: "unknown"; readonly number: number; readonly kind: number }
  /** Damaged, or not made by this library; "unauthenticated": the other end wants a secret. `reason` is for people. */
  | { readonly type: "bad"; readonly code: "bad-frame" | "unauthenticated"; readonly reason: string };

/** The frame of a message. @param frameNumber  a safe integer, 0 at least */
export function encodeMessage(message: Message, frameNumber: number): Uint8Array {
  return frameOf(encodeShared(message), frameNumber);
}

/** The part of a frame that is the same for every peer, with its checksum in front. For `frameOf`, any number of times. */
export function encodeBody(message: Message): Uint8Array {
  return encodeShared(message).slice();
}

/** The frame around what `encodeBody` returned. Shares no bytes with it. @param frameNumber  a safe integer, 0 at least */
export function frameOf(body: Uint8Array, frameNumber: number): Uint8Array {
  numberWriter.reset();
  numberWriter.varint(frameNumber);
  const number = numberWriter.bytes();
  const crc = crc32(number, new ByteReader(body).u32());
  const frame = new Uint8Array(HEADER_BYTES + number.length + body.length - CRC_BYTES);
  frame[0] = MAGIC;
  frame[1] = FORMAT_VERSION;
  for (let i = 0; i < CRC_BYTES; i++) frame[2 + i] = crc >>> (8 * i);
  frame.set(number, HEADER_BYTES);
  frame.set(body.subarray(CRC_BYTES), HEADER_BYTES + number.length);
  return frame;
}

/**
 * What a frame holds. Keys and values of entries are views into it. Never throws.
 *
 * @param isGreeted  whether the other end has said hello: if not, nothing but hello and bye is taken apart, since a
 *   page takes many times its bytes as objects, and strangers send frames too
 */
export function decodeMessage(frame: Uint8Array, isGreeted = true): DecodedFrame {
  try {
    return decodeFrame(frame, isGreeted);
  } catch (error) {
    if (error instanceof DecodeError) return { type: "bad", code: "bad-frame", reason: error.message };
    throw error;
  }
}

function decodeFrame(frame: Uint8Array, isGreeted: boolean): DecodedFrame {
  const reader = new ByteReader(frame);
  const magic = reader.u8();
  if (magic === HANDSHAKE_MAGIC) {
    return { type: "bad", code: "unauthenticated", reason: "the other end wants a secret, and we have none" };
  }
  if (magic !== MAGIC) throw new DecodeError("no frame of ours");
  const version = reader.u8();
  if (version !== FORMAT_VERSION) throw new DecodeError(`a frame of the format version ${version}`);
  const crc = reader.u32();
  const number = reader.varint();
  const bodyStart = reader.position;
  const numberBytes = frame.subarray(HEADER_BYTES, bodyStart);
  if (crc32(numberBytes, crc32(frame.subarray(bodyStart))) !== crc) throw new DecodeError("a wrong checksum");
  const kind = reader.varint();
  if (!isGreeted && !isGreeting(kind)) throw new DecodeError("another message before hello");
  const message = readMessage(kind, reader);
  return message === undefined ? { type: "unknown", number, kind } : { type: "message", number, message };
}

const bodyWriter = new ByteWriter();
const numberWriter = new ByteWriter();

/** As `encodeBody`; valid until the next call. */
function encodeShared(message: Message): Uint8Array {
  bodyWriter.reset();
  bodyWriter.u32(0);
  writeMessage(bodyWriter, message);
  const body = bodyWriter.bytes();
  const crc = crc32(body.subarray(CRC_BYTES));
  for (let i = 0; i < CRC_BYTES; i++) body[i] = crc >>> (8 * i);
  return body;
}
