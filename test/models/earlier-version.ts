/** A replica of a version without features, made of one of this version: its hello has no such field, and it is told what comes. */
import { crc32 } from "node:zlib";
import { decodeMessage, encodeBody, frameOf } from "../../src/codec/messages.ts";
import type { Channel, Transport } from "../../src/transport.ts";
import { tapped } from "./tapped-transport.ts";

/** @param onReceived  is told the kind of every message that comes */
export function asEarlierVersion(transport: Transport, onReceived: (kind: string) => void): Transport {
  return tapped(
    transport,
    (channel): Channel => ({
      remote: channel.remote,
      close: () => channel.close(),
      send: (frame) => {
        const decoded = decodeMessage(frame);
        if (decoded.type !== "message" || decoded.message.type !== "hello") return channel.send(frame);
        // The last byte of a hello says which features there are.
        const body = encodeBody({ ...decoded.message, features: 0 }).slice(4, -1);
        const checked = new Uint8Array(4 + body.length);
        new DataView(checked.buffer).setUint32(0, crc32(body), true);
        checked.set(body, 4);
        channel.send(frameOf(checked, decoded.number));
      },
      start: (receiver) =>
        channel.start({
          closed: (reason) => receiver.closed(reason),
          frame: (frame) => {
            const decoded = decodeMessage(frame);
            onReceived(decoded.type === "message" ? decoded.message.type : decoded.type);
            receiver.frame(frame);
          },
        }),
    }),
  );
}
