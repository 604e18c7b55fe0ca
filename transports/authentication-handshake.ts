/**
 * Mutual proof of a shared secret, before the first frame of the protocol. Bytes in, bytes out; authentication-channel.ts
 * carries them and authentication.md says what each field is good for.
 *
 *     acceptor -> dialer   challenge: nonce, nodeId
 *     dialer -> acceptor   response:  nonce, nodeId, clusterId, proof
 *     acceptor -> dialer   welcome:   proof
 *     either               refusal:   a reason; the channel closes
 *
 * The dialer proves first: who dials us and knows no secret gets nothing to try guesses on. A proof is
 * HMAC-SHA-256(secret, label | role | clusterId | both nodeIds | both nonces), each field behind its length. The nonces
 * make it good for one channel, the role keeps it from being sent back to where it came from, the rest from serving
 * anywhere else. Epochs are not in it: they may change while the process runs. The hello that carries them is the first
 * frame under the keys of this handshake, and so is bound to it.
 */
import { createHmac, hkdfSync, timingSafeEqual } from "node:crypto";
import { isNodeId, type NodeId } from "../src/types.ts";

/** What frames of a handshake begin with. Those of the protocol begin with another byte. */
export const HANDSHAKE_MAGIC = 0x58;
/** No frame of a handshake is longer, bytes. */
export const HANDSHAKE_FRAME_BYTES_MAX = 512;
export const NONCE_BYTES = 32;

/** Who we are. */
export interface Self {
  readonly nodeId: NodeId;
  readonly clusterId: string;
}

export type HandshakeStep =
  | { readonly type: "continue"; readonly send: Uint8Array }
  /** Both know the secret. `send` goes out first, if there is something to send. */
  | { readonly type: "proved"; readonly send?: Uint8Array; readonly peer: NodeId; readonly keys: FrameKeys }
  /** We refuse: tell the other end, and close. */
  | { readonly type: "refused"; readonly reason: Refused }
  /** The other end refuses, for the reason that it gives. */
  | { readonly type: "rejected"; readonly reason: string };

/** Why we refuse. Frozen: it goes to the other end, as text. */
export type Refused = "no-secret" | "wrong-secret" | "cluster-mismatch" | "malformed";

/** Of this channel alone: one for each direction, so that no frame can be sent back to its author. */
export interface FrameKeys {
  readonly sending: Uint8Array;
  readonly receiving: Uint8Array;
}

/** One side of one handshake: good for one attempt. */
export interface Handshake {
  /** What to send at once. */
  readonly opening: Uint8Array | undefined;
  receive(frame: Uint8Array): HandshakeStep;
}

/** The side that was dialed. @param secrets  any of them will do; the answer uses the one that the dialer used */
export function acceptorHandshake(self: Self, secrets: readonly Uint8Array[], nonce: Uint8Array): Handshake {
  return {
    opening: encode(CHALLENGE, [nonce, Buffer.from(self.nodeId)]),
    receive(frame) {
      const parsed = parse(frame, RESPONSE);
      if (parsed.type !== "fields") return parsed;
      const [dialerNonce = NOTHING, idBytes = NOTHING, clusterId = NOTHING, proof = NOTHING] = parsed.fields;
      const peer = nodeIdIn(idBytes);
      if (peer === undefined || dialerNonce.length !== NONCE_BYTES || proof.length !== PROOF_BYTES) return MALFORMED;
      const bound = { clusterId, dialer: peer, acceptor: self.nodeId, dialerNonce, acceptorNonce: nonce };
      let known: Uint8Array | undefined;
      // All of them are tried, so that the time does not tell which one it was.
      for (const secret of secrets) if (timingSafeEqual(proofOf(secret, DIALER, bound), proof)) known = secret;
      if (known === undefined) return { type: "refused", reason: "wrong-secret" };
      // Told only to who knows a secret of ours.
      if (!clusterId.equals(Buffer.from(self.clusterId))) return { type: "refused", reason: "cluster-mismatch" };
      const [sending, receiving] = [frameKey(known, ACCEPTOR, bound), frameKey(known, DIALER, bound)];
      const send = encode(WELCOME, [proofOf(known, ACCEPTOR, bound)]);
      return { type: "proved", send, peer, keys: { sending, receiving } };
    },
  };
}

/** The side that dialed. */
export function dialerHandshake(self: Self, secret: Uint8Array, nonce: Uint8Array): Handshake {
  let bound: Bound | undefined;
  let peer: NodeId | undefined;
  return {
    opening: undefined,
    receive(frame) {
      const parsed = parse(frame, bound === undefined ? CHALLENGE : WELCOME);
      if (parsed.type !== "fields") return parsed;
      if (bound !== undefined && peer !== undefined) {
        const [proof = NOTHING] = parsed.fields;
        if (proof.length !== PROOF_BYTES) return MALFORMED;
        if (!timingSafeEqual(proofOf(secret, ACCEPTOR, bound), proof)) {
          return { type: "refused", reason: "wrong-secret" };
        }
        const keys = { sending: frameKey(secret, DIALER, bound), receiving: frameKey(secret, ACCEPTOR, bound) };
        return { type: "proved", peer, keys };
      }
      const [acceptorNonce = NOTHING, idBytes = NOTHING] = parsed.fields;
      peer = nodeIdIn(idBytes);
      if (peer === undefined || acceptorNonce.length !== NONCE_BYTES) return MALFORMED;
      const [nodeId, clusterId] = [Buffer.from(self.nodeId), Buffer.from(self.clusterId)];
      bound = { clusterId, dialer: self.nodeId, acceptor: peer, dialerNonce: nonce, acceptorNonce };
      return {
        type: "continue",
        send: encode(RESPONSE, [nonce, nodeId, clusterId, proofOf(secret, DIALER, bound)]),
      };
    },
  };
}

/** What tells the other end that we refuse. */
export function refusalFrame(reason: string): Uint8Array {
  return encode(REFUSAL, [Buffer.from(reason).subarray(0, REASON_BYTES_MAX)]);
}

const LABEL = Buffer.from("wavekv authentication 1");
const DIALER = Buffer.from("dialer");
const ACCEPTOR = Buffer.from("acceptor");
const FRAMES = Buffer.from("frames");
const VERSION = 1;
const CHALLENGE = 1;
const RESPONSE = 2;
const WELCOME = 3;
const REFUSAL = 4;
const PROOF_BYTES = 32;
const KEY_BYTES = 32;
const REASON_BYTES_MAX = 32;
const HEADER_BYTES = 3;
/** How many fields a frame of each kind has. */
const FIELD_COUNTS: ReadonlyMap<number, number> = new Map([
  [CHALLENGE, 2],
  [RESPONSE, 4],
  [WELCOME, 1],
  [REFUSAL, 1],
]);

const NOTHING = Buffer.alloc(0);
const MALFORMED: HandshakeStep = { type: "refused", reason: "malformed" };

/** All that a proof is good for. */
interface Bound {
  readonly clusterId: Uint8Array;
  readonly dialer: NodeId;
  readonly acceptor: NodeId;
  readonly dialerNonce: Uint8Array;
  readonly acceptorNonce: Uint8Array;
}

function transcript(purpose: readonly Uint8Array[], bound: Bound): Buffer {
  const { clusterId, dialer, acceptor, dialerNonce, acceptorNonce } = bound;
  const names = [clusterId, Buffer.from(dialer), Buffer.from(acceptor)];
  // A length in front of each field: no two lists of fields have the same bytes.
  return lengthPrefixed([LABEL, ...purpose, ...names, dialerNonce, acceptorNonce]);
}

function proofOf(secret: Uint8Array, role: Uint8Array, bound: Bound): Buffer {
  return createHmac("sha256", secret)
    .update(transcript([role], bound))
    .digest();
}

/** RFC 5869. A secret is no key: it may be a text, and it outlives the channel. */
function frameKey(secret: Uint8Array, sender: Uint8Array, bound: Bound): Uint8Array {
  const salt = Buffer.concat([bound.dialerNonce, bound.acceptorNonce]);
  return new Uint8Array(hkdfSync("sha256", secret, salt, transcript([FRAMES, sender], bound), KEY_BYTES));
}

function lengthPrefixed(fields: readonly Uint8Array[]): Buffer {
  return Buffer.concat(fields.flatMap((field) => [Uint8Array.of(field.length), field]));
}

/** @param fields  of 255 bytes at most */
function encode(kind: number, fields: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat([Uint8Array.of(HANDSHAKE_MAGIC, VERSION, kind), lengthPrefixed(fields)]);
}

type Parsed = { readonly type: "fields"; readonly fields: readonly Buffer[] } | HandshakeStep;

/** The fields of a frame, which has to be of this kind or a refusal. */
function parse(frame: Uint8Array, expected: number): Parsed {
  // A frame of the protocol, or of something else: whoever sent it knows nothing of secrets.
  if (frame[0] !== HANDSHAKE_MAGIC) return { type: "refused", reason: "no-secret" };
  const [, version, kind = 0] = frame;
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  const isKnown = version === VERSION && (kind === expected || kind === REFUSAL);
  const fields = isKnown ? fieldsOf(bytes.subarray(HEADER_BYTES), FIELD_COUNTS.get(kind) ?? 0) : undefined;
  if (fields === undefined) return MALFORMED;
  if (kind !== REFUSAL) return { type: "fields", fields };
  const reason = fields[0]?.toString("latin1") ?? "";
  // It ends up in a log: nothing but what we would send ourselves.
  return { type: "rejected", reason: /^[a-z-]{1,32}$/.test(reason) ? reason : "no reason that we know" };
}

/** Exactly so many fields and nothing behind them, or undefined. The fields are copies. */
function fieldsOf(bytes: Buffer, count: number): Buffer[] | undefined {
  const fields: Buffer[] = [];
  let at = 0;
  for (let index = 0; index < count; index++) {
    const length = bytes[at];
    if (length === undefined || at + 1 + length > bytes.length) return undefined;
    fields.push(Buffer.from(bytes.subarray(at + 1, at + 1 + length)));
    at += 1 + length;
  }
  return at === bytes.length ? fields : undefined;
}

function nodeIdIn(bytes: Buffer): NodeId | undefined {
  const name = bytes.toString("utf8");
  return isNodeId(name) && Buffer.from(name).equals(bytes) ? name : undefined;
}
