import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { NodeId } from "../../../src/types.ts";
import {
  acceptorHandshake,
  dialerHandshake,
  HANDSHAKE_FRAME_BYTES_MAX,
  type Handshake,
  type HandshakeStep,
  refusalFrame,
} from "../../../transports/authentication-handshake.ts";

const SECRET: Uint8Array = Buffer.from("correct horse battery staple");
const OTHER: Uint8Array = Buffer.from("incorrect horse battery staple");
const self = (nodeId: string, clusterId = "prod") => ({ nodeId: nodeId as NodeId, clusterId });

describe("two that know one secret", () => {
  test("prove it to each other, name each other, and have keys that cross", () => {
    const { dialer, acceptor } = meet(dial("a"), accept("b"));
    if (dialer?.type !== "proved" || acceptor?.type !== "proved") throw new Error("not proved");
    expect([dialer.peer, acceptor.peer]).toEqual(["b", "a"]);
    expect(dialer.keys.sending).toEqual(acceptor.keys.receiving);
    expect(dialer.keys.receiving).toEqual(acceptor.keys.sending);
    // One key for both directions would let a frame be sent back to who made it.
    expect(dialer.keys.sending).not.toEqual(dialer.keys.receiving);
  });

  test("have other keys on the next channel", () => {
    const [one, two] = [meet(dial("a"), accept("b")).dialer, meet(dial("a"), accept("b")).dialer];
    if (one?.type !== "proved" || two?.type !== "proved") throw new Error("not proved");
    expect(one.keys.sending).not.toEqual(two.keys.sending);
  });

  test("may have the longest names there are, in the longest frame", () => {
    const [long, cluster] = ["é".repeat(32), "c".repeat(64)];
    const frames: Uint8Array[] = [];
    const { acceptor } = meet(dial(long, SECRET, cluster), accept(`${long.slice(1)}xy`, [SECRET], cluster), (frame) => {
      frames.push(frame);
      return frame;
    });
    expect(acceptor?.type).toBe("proved");
    for (const { length } of frames) expect(length).toBeLessThanOrEqual(HANDSHAKE_FRAME_BYTES_MAX);
  });
});

describe("rotation", () => {
  const [old, fresh] = [SECRET, OTHER];
  // [the dialer proves with, the acceptor's list, whether they meet]
  test.each<[string, Uint8Array, Uint8Array[], boolean]>([
    ["nobody has begun", old, [old], true],
    ["the acceptor knows the new one", old, [old, fresh], true],
    ["the dialer puts the new one first", fresh, [old, fresh], true],
    ["the acceptor does too, the dialer not yet", old, [fresh, old], true],
    ["the dialer has dropped the old one", fresh, [fresh, old], true],
    ["everybody has", fresh, [fresh], true],
    ["one that was forgotten", old, [fresh], false],
    ["the dialer was too early", fresh, [old], false],
  ])("%s", (_, secret, accepted, expected) => {
    const { dialer, acceptor } = meet(dial("a", secret), accept("b", accepted));
    expect(acceptor?.type).toBe(expected ? "proved" : "refused");
    expect(dialer?.type).toBe(expected ? "proved" : "rejected");
  });
});

describe("refused", () => {
  test("a wrong secret, and the dialer is told so", () => {
    const { dialer, acceptor } = meet(dial("a", OTHER), accept("b"));
    expect(acceptor).toEqual({ type: "refused", reason: "wrong-secret" });
    expect(dialer).toEqual({ type: "rejected", reason: "wrong-secret" });
  });

  test("an acceptor that cannot prove anything in its turn", () => {
    // It welcomes everybody, with a proof that is made of nothing.
    const { dialer } = meet(dial("a"), {
      opening: accept("b").opening,
      receive: () => ({ type: "continue", send: Uint8Array.of(0x58, 1, 3, 32, ...randomBytes(32)) }),
    });
    expect(dialer).toEqual({ type: "refused", reason: "wrong-secret" });
  });

  test("another cluster, told only to who knows the secret", () => {
    expect(meet(dial("a", SECRET, "test"), accept("b")).dialer).toEqual({
      type: "rejected",
      reason: "cluster-mismatch",
    });
    expect(meet(dial("a", OTHER, "test"), accept("b")).dialer).toEqual({ type: "rejected", reason: "wrong-secret" });
  });

  // Each field of the answer is bound: to change it on the way is to break the proof.
  test.each<[string, number]>([
    ["nonce", 4],
    ["nodeId", 4 + 32 + 1],
    ["clusterId", 4 + 32 + 1 + 1 + 1],
    ["proof", 4 + 32 + 1 + 1 + 1 + 4 + 1],
  ])("an answer whose %s was changed on the way", (_, at) => {
    const { acceptor } = meet(dial("a"), accept("b"), (frame, from) => (from === "dialer" ? flip(frame, at) : frame));
    expect(acceptor).toEqual({ type: "refused", reason: "wrong-secret" });
  });

  test.each<[string, number]>([
    ["nonce", 4],
    ["nodeId", 4 + 32 + 1],
  ])("an answer to a challenge whose %s was changed on the way", (_, at) => {
    const { acceptor } = meet(dial("a"), accept("b"), (frame, from) => (from === "acceptor" ? flip(frame, at) : frame));
    expect(acceptor).toEqual({ type: "refused", reason: "wrong-secret" });
  });

  test("an answer that was recorded", () => {
    let recorded: Uint8Array | undefined;
    meet(dial("a"), accept("b"), (frame, from) => {
      if (from === "dialer") recorded = frame;
      return frame;
    });
    const { acceptor } = meet(dial("a"), accept("b"), (frame, from) => (from === "dialer" ? recorded! : frame));
    expect(acceptor).toEqual({ type: "refused", reason: "wrong-secret" });
  });

  test("our own challenge, sent back", () => {
    const handshake = accept("b");
    expect(handshake.receive(handshake.opening!)).toEqual({ type: "refused", reason: "malformed" });
  });

  test("our own proof, sent back in the other role", () => {
    // The attacker lets "b" dial it, with the challenge that "b" has given it, and answers with what "b" answers, which
    // is the proof of a dialer: as a welcome it proves nothing.
    const proofs: Uint8Array[] = [];
    const { dialer } = meet(dial("b"), accept("b"), (frame, from) => {
      if (from === "dialer") proofs.push(frame.subarray(-33));
      return from === "acceptor" && frame[2] === 3 ? Buffer.concat([Uint8Array.of(0x58, 1, 3), proofs[0]!]) : frame;
    });
    expect(dialer).toEqual({ type: "refused", reason: "wrong-secret" });
  });

  test.each<[string, Uint8Array, string]>([
    ["nothing", new Uint8Array(0), "no-secret"],
    ["a frame of the protocol", Uint8Array.of(0x57, 1, 0, 0, 0, 0), "no-secret"],
    ["a later version", Uint8Array.of(0x58, 2, 2, 0, 0, 0, 0), "malformed"],
    ["a welcome in place of an answer", Uint8Array.of(0x58, 1, 3, 0), "malformed"],
    ["a kind that is none", Uint8Array.of(0x58, 1, 9, 0), "malformed"],
    ["a header alone", Uint8Array.of(0x58, 1, 2), "malformed"],
    ["empty fields", Uint8Array.of(0x58, 1, 2, 0, 0, 0, 0), "malformed"],
    ["a field that ends too soon", Uint8Array.of(0x58, 1, 2, 32, 1, 2), "malformed"],
  ])("%s", (_, frame, reason) => {
    expect(accept("b").receive(frame)).toEqual({ type: "refused", reason });
  });

  test("an answer with a byte behind it, and a proof that is short or long", () => {
    const answer = answerTo(accept("b"));
    for (const changed of [
      Buffer.concat([answer, Buffer.of(0)]),
      Buffer.concat([answer.subarray(0, -33), Buffer.of(31), answer.subarray(-31)]),
      Buffer.concat([answer.subarray(0, -33), Buffer.of(33), answer.subarray(-32), Buffer.of(0)]),
    ]) {
      expect(accept("b").receive(changed)).toEqual({ type: "refused", reason: "malformed" });
    }
  });

  test.each(["", "a\nb", "\u001b[2J", "x".repeat(65)])("the name %j", (name) => {
    const answer = answerTo(accept("b"));
    const fields = [answer.subarray(4, 36), Buffer.from(name), Buffer.from("prod"), answer.subarray(-32)];
    const changed = Buffer.concat([Buffer.of(0x58, 1, 2), ...fields.flatMap((f) => [Buffer.of(f.length), f])]);
    expect(accept("b").receive(changed)).toEqual({ type: "refused", reason: "malformed" });
  });

  test("a reason that would forge a line of the log is not repeated", () => {
    expect(accept("b").receive(refusalFrame("too bad\n[info] all is well"))).toEqual({
      type: "rejected",
      reason: "no reason that we know",
    });
  });
});

function dial(nodeId: string, secret = SECRET, clusterId = "prod"): Handshake {
  return dialerHandshake(self(nodeId, clusterId), secret, randomBytes(32));
}

function accept(nodeId: string, secrets = [SECRET], clusterId = "prod"): Handshake {
  return acceptorHandshake(self(nodeId, clusterId), secrets, randomBytes(32));
}

/** Runs the two against each other, through somebody who may change what they say. */
function meet(
  dialer: Handshake,
  acceptor: Handshake,
  onTheWay: (frame: Uint8Array, from: "dialer" | "acceptor") => Uint8Array = (frame) => frame,
): { dialer?: HandshakeStep; acceptor?: HandshakeStep } {
  const last: { dialer?: HandshakeStep; acceptor?: HandshakeStep } = {};
  let [frame, to] = [acceptor.opening, "dialer" as "dialer" | "acceptor"];
  // Challenge, answer, welcome, and the refusal of that.
  for (let hops = 0; frame !== undefined && hops < 4; hops++) {
    const step = (to === "dialer" ? dialer : acceptor).receive(
      onTheWay(frame, to === "dialer" ? "acceptor" : "dialer"),
    );
    last[to] = step;
    frame = "send" in step ? step.send : step.type === "refused" ? refusalFrame(step.reason) : undefined;
    to = to === "dialer" ? "acceptor" : "dialer";
  }
  return last;
}

function answerTo(acceptor: Handshake): Buffer {
  const step = dial("a").receive(acceptor.opening!);
  if (step.type !== "continue") throw new Error(step.type);
  return Buffer.from(step.send);
}

function flip(frame: Uint8Array, at: number): Uint8Array {
  const changed = Uint8Array.from(frame);
  changed[at]! ^= 1;
  return changed;
}
