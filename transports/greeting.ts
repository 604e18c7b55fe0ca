/**
 * The first bytes on a byte stream, from both ends at once: either the greeting, and frames follow, or a refusal with
 * its reason. Whoever is no replica, and whoever is none to us, is told apart before there is a channel.
 */
import type { Duplex } from "node:stream";
import { ReplicaError } from "../src/errors.ts";

/** A handshake that takes longer has failed. */
export const HANDSHAKE_MS_MAX = 5000;

/** "wavekv", zero, and the version of the framing. */
const GREETING = Buffer.from("wavekv\0\x01", "latin1");
/** As long as the greeting; the reason follows, and the end. */
const REFUSAL = Buffer.from("wavekv\0\0", "latin1");
const REASON_BYTES_MAX = 256;

/**
 * Greets, and waits for the greeting of the other end. Afterwards the stream is paused, and what came behind the
 * greeting is still in it. Destroys the stream and rejects when the other end refuses, is no replica, goes away, says
 * nothing for 5 s, or `signal` aborts.
 */
export function greet(stream: Duplex, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    let failure: Error | undefined;
    const fail = (error: Error): void => {
      failure ??= error;
      stream.destroy();
    };
    const onAbort = (): void => fail(new Error("given up"));
    const onClose = (): void => {
      settle();
      reject(failure ?? new Error(CLOSED));
    };
    const onReadable = (): void => {
      const first = stream.read(GREETING.length) as Buffer | null;
      if (first === null) return;
      if (first.equals(GREETING)) {
        settle();
        stream.pause();
        resolve();
      } else if (first.equals(REFUSAL)) {
        stream.off("readable", onReadable);
        reasonOf(stream).then((reason) => fail(refused(reason)), fail);
      } else {
        fail(new Error(first.length < GREETING.length ? CLOSED : STRANGER));
      }
    };
    const timer = setTimeout(() => fail(new Error(`no greeting within ${HANDSHAKE_MS_MAX} ms`)), HANDSHAKE_MS_MAX);
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      stream.off("error", fail).off("close", onClose).off("readable", onReadable);
      // Until somebody else listens, an error is what `close` tells.
      stream.on("error", ignore);
    };
    signal?.addEventListener("abort", onAbort);
    stream.on("error", fail).on("close", onClose).on("readable", onReadable);
    stream.write(GREETING);
  });
}

/** Tells the other end why it is not let in, and closes. */
export function refuse(stream: Duplex, reason: string): void {
  // Whoever is refused may be gone already, or may never read.
  stream.on("error", () => stream.destroy());
  stream.end(Buffer.concat([REFUSAL, Buffer.from(reason).subarray(0, REASON_BYTES_MAX)]));
  stream.resume();
  const timer = setTimeout(() => stream.destroy(), HANDSHAKE_MS_MAX);
  stream.once("close", () => clearTimeout(timer));
}

function refused(reason: string): ReplicaError {
  return new ReplicaError("ERR_AUTH", `refused by the other end: ${reason}`);
}

const CLOSED =
  "the other end closed the connection before its greeting: it is no replica, or it speaks TLS and is to be dialed so";
const STRANGER = "no wavekv replica listens there: something else answered";

/** The text up to the end, printable whatever it holds. */
async function reasonOf(stream: Duplex): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    chunks.push(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    if (bytes >= REASON_BYTES_MAX) break;
  }
  const text = Buffer.concat(chunks).subarray(0, REASON_BYTES_MAX).toString();
  return text.replace(/\p{Cc}/gu, " ");
}

function ignore(): void {
  // The channel that takes over has its own listener; before it has one, `close` says enough.
}
