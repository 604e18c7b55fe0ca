/**
 * A replica of a later version, made of one of this version: its channels raise the protocol versions in its hello,
 * append what nobody here knows to every message, and put messages of unknown kinds between.
 */
import { crc32 } from "node:zlib";
import { decodeMessage, encodeBody, encodeMessage, frameOf } from "../../src/codec/messages.ts";
import type { Channel, Transport } from "../../src/transport.ts";
import { tapped } from "./tapped-transport.ts";

export interface LaterVersion {
  readonly versionMin: number;
  readonly versionMax: number;
  /** Messages of an unknown kind that were sent, by the end of each channel. */
  unknownSent: number;
}

const UNKNOWN_KIND = 99;
/** Behind the fields of every message. */
const APPENDED = Uint8Array.of(0xff, 0x00, 0x80, 0x07);

/** Wraps the transport of the replica that is to be a later one. */
export function asLaterVersion(transport: Transport, later: LaterVersion): Transport {
  return tapped(transport, (channel) => rewritten(channel, later));
}

function rewritten(channel: Channel, later: LaterVersion): Channel {
  let framesSent = 0;
  /** For each frame that was sent, how many of the replica's own were among it and those before. */
  const ownUpTo: number[] = [0];
  const sendUnknown = (): void => {
    channel.send(frameOf(withChecksum(Uint8Array.of(UNKNOWN_KIND, 1, 2, 3)), ++framesSent));
    ownUpTo[framesSent] = ownUpTo[framesSent - 1]!;
    later.unknownSent += 1;
  };
  return {
    remote: channel.remote,
    close: () => channel.close(),
    send: (frame) => {
      // Also right behind the hello, and right before a bye.
      if (framesSent > 0) sendUnknown();
      channel.send(frameOf(withChecksum(laterBody(frame, later)), ++framesSent));
      ownUpTo[framesSent] = ownUpTo[framesSent - 1]! + 1;
    },
    start: (receiver) =>
      channel.start({
        closed: (reason) => receiver.closed(reason),
        frame: (frame) => {
          const decoded = decodeMessage(frame);
          if (decoded.type !== "message" || decoded.message.type !== "ack") return receiver.frame(frame);
          // The replica does not know of the frames between its own.
          const { frames, kept } = decoded.message;
          const ack = { ...decoded.message, frames: ownUpTo[frames] ?? 0, kept: ownUpTo[kept] ?? 0 };
          receiver.frame(encodeMessage(ack, decoded.number));
        },
      }),
  };
}

function laterBody(frame: Uint8Array, { versionMin, versionMax }: LaterVersion): Uint8Array {
  const decoded = decodeMessage(frame);
  if (decoded.type !== "message") throw new Error("a replica sends messages");
  const { message } = decoded;
  const checked = encodeBody(message.type === "hello" ? { ...message, versionMin, versionMax } : message);
  return Uint8Array.of(...checked.subarray(4), ...APPENDED);
}

function withChecksum(body: Uint8Array): Uint8Array {
  const checked = new Uint8Array(4 + body.length);
  new DataView(checked.buffer).setUint32(0, crc32(body), true);
  checked.set(body, 4);
  return checked;
}
