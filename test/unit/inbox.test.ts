/** What peers have sent is dealt with in order, and in portions. */
import { describe, expect, test } from "vitest";
import { Inbox } from "../../src/inbox.ts";
import { INBOX_BYTES_MAX, INBOX_ENTRY_BYTES, INBOX_FRAME_BYTES, INBOX_TURN_BYTES } from "../../src/limits.ts";

/** @param entries  that each frame holds */
function stage(entries = 0) {
  const handled: string[] = [];
  const overflowed: number[] = [];
  const inbox = new Inbox({
    handle: (session, arrival) => {
      handled.push(`${session} ${typeof arrival === "string" ? arrival : (arrival[0] ?? "empty")}`);
      return entries;
    },
    overflow: (session) => overflowed.push(session),
  });
  /** All turns that it wants. */
  const turns = (): void => {
    while (inbox.wantsTurn) inbox.turn();
  };
  return { inbox, handled, overflowed, turns };
}

/** Of what one turn takes. */
const half = (name: number): Uint8Array => new Uint8Array(INBOX_TURN_BYTES / 2 - INBOX_FRAME_BYTES).fill(name);

describe("an inbox", () => {
  test("deals at once with what one turn may take, and with the rest in the next ones", () => {
    const { inbox, handled } = stage();
    for (const name of [1, 2]) inbox.arrive(7, half(name));
    expect(inbox.wantsTurn).toBe(false);
    for (const name of [3, 4, 5]) inbox.arrive(7, half(name));
    expect(handled).toEqual(["7 1", "7 2"]);
    expect(inbox.wantsTurn).toBe(true);
    inbox.turn();
    expect(handled).toEqual(["7 1", "7 2", "7 3", "7 4"]);
    inbox.turn();
    expect(handled.at(-1)).toBe("7 5");
    expect(inbox.wantsTurn).toBe(false);
    inbox.arrive(7, half(6));
    expect(handled.at(-1)).toBe("7 6");
  });

  test("which has nothing left has spent what was dealt with in its last turn", () => {
    const { inbox, handled, turns } = stage();
    for (const name of [1, 2, 3, 4]) inbox.arrive(7, half(name));
    turns();
    inbox.arrive(7, half(5));
    expect(handled.length).toBe(4);
    turns();
    expect(handled).toEqual(["7 1", "7 2", "7 3", "7 4", "7 5"]);
  });

  test("takes a frame that is longer than a turn's worth, alone", () => {
    const { inbox, handled } = stage();
    inbox.arrive(1, new Uint8Array(INBOX_TURN_BYTES * 10).fill(1));
    inbox.arrive(2, new Uint8Array(INBOX_TURN_BYTES * 10).fill(2));
    inbox.arrive(2, Uint8Array.of(3));
    expect(handled).toEqual(["1 1"]);
    inbox.turn();
    expect(handled).toEqual(["1 1", "2 2"]);
    inbox.turn();
    expect(handled).toEqual(["1 1", "2 2", "2 3"]);
  });

  test("counts each frame, however short, and each entry, however small", () => {
    const { inbox, handled } = stage();
    const perTurn = Math.ceil(INBOX_TURN_BYTES / (INBOX_FRAME_BYTES + 1));
    for (let n = 0; n < perTurn * 2 + 1; n += 1) inbox.arrive(1, Uint8Array.of(n));
    expect(handled.length).toBe(perTurn);
    inbox.turn();
    expect(handled.length).toBe(perTurn * 2);
    const full = stage((INBOX_TURN_BYTES - INBOX_FRAME_BYTES) / INBOX_ENTRY_BYTES);
    for (const name of [1, 2]) full.inbox.arrive(1, Uint8Array.of(name));
    expect(full.handled).toEqual(["1 1"]);
  });

  test("keeps the order of many that wait, while more of them come", () => {
    const { inbox, handled, turns } = stage();
    for (let n = 0; n < 2000; n += 1) {
      inbox.arrive(n, Uint8Array.of(1));
      if (n % 500 === 0) inbox.turn();
    }
    turns();
    expect(handled).toEqual(Array.from({ length: 2000 }, (_, n) => `${n} 1`));
  });

  test("tells of a channel that has closed behind its frames, and of nothing out of turn", () => {
    const { inbox, handled, turns } = stage();
    for (const name of [1, 2, 3]) inbox.arrive(7, half(name));
    inbox.arrive(7, "gone");
    inbox.arrive(8, Uint8Array.of(9));
    expect(handled).toEqual(["7 1", "7 2"]);
    turns();
    expect(handled).toEqual(["7 1", "7 2", "7 3", "7 gone", "8 9"]);
  });

  test("keeps so much of a peer and no more; others are not concerned", () => {
    const { inbox, handled, overflowed, turns } = stage();
    const block = new Uint8Array(1024 * 1024).fill(1);
    inbox.arrive(7, block);
    inbox.arrive(8, Uint8Array.of(2));
    for (let bytes = 0; bytes < INBOX_BYTES_MAX; bytes += block.length) inbox.arrive(7, block);
    expect(overflowed).toEqual([]);
    inbox.arrive(7, Uint8Array.of(3));
    expect(overflowed).toEqual([7]);
    inbox.arrive(9, Uint8Array.of(4));
    turns();
    expect(handled).toEqual(["7 1", "8 2", "9 4"]);
  });

  test("what was dealt with makes room again", () => {
    const { inbox, overflowed } = stage();
    const block = new Uint8Array(INBOX_BYTES_MAX / 4).fill(1);
    for (let n = 0; n < 20; n += 1) {
      inbox.arrive(7, block);
      inbox.turn();
    }
    expect(overflowed).toEqual([]);
  });
});
