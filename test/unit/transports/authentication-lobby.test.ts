import { describe, expect, test } from "vitest";
import { Lobby } from "../../../transports/authentication-lobby.ts";

describe("those who wait", () => {
  test("are 256; for one more the oldest of the address with most has to go", () => {
    const { lobby, enter, evicted } = watched();
    enter("10.0.0.1", "first");
    for (let n = 0; n < 253; n++) enter("10.0.0.9", `crowd ${n}`);
    enter("10.0.0.2", "second");
    enter("10.0.0.3", "third");
    expect([lobby.count, evicted]).toEqual([256, []]);
    enter("10.0.0.3", "fourth");
    enter("10.0.0.3", "fifth");
    expect([lobby.count, evicted]).toEqual([256, ["crowd 0", "crowd 1"]]);
  });

  test("no longer count once they have left, however often they say so", () => {
    const { lobby, enter, evicted } = watched();
    const leave = enter("10.0.0.1", "one");
    for (let n = 0; n < 255; n++) enter("10.0.0.9", `crowd ${n}`);
    leave();
    leave();
    expect(lobby.count).toBe(255);
    enter("10.0.0.2", "two");
    expect(evicted).toEqual([]);
    enter("10.0.0.2", "three");
    expect(evicted).toEqual(["crowd 0"]);
  });

  test("have gone once they were told to: to leave then is nothing", () => {
    const { lobby, enter } = watched();
    const leaves = Array.from({ length: 257 }, (_, n) => enter("10.0.0.9", `crowd ${n}`));
    leaves[0]!();
    expect(lobby.count).toBe(256);
  });
});

describe("an address", () => {
  test("may connect 256 times at once, and then 128 times a second", () => {
    const lobby = new Lobby();
    const admitted = (count: number, nowMs: number): number =>
      Array.from({ length: count }, () => lobby.admits("10.0.0.1", nowMs)).filter(Boolean).length;
    expect(admitted(300, 0)).toBe(256);
    expect(lobby.admits("10.0.0.2", 0)).toBe(true);
    expect(admitted(300, 1000)).toBe(128);
    expect(admitted(1000, 1_000_000)).toBe(256);
  });

  // [two addresses, whether they count as one]
  test.each<[string, string, boolean]>([
    ["10.0.0.1", "10.0.0.2", false],
    ["::ffff:10.0.0.1", "10.0.0.1", true],
    ["2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true],
    ["2001:db8:1:2::1", "2001:db8:1:3::1", false],
    ["2001:db8::1", "2001:db8:0:0:8::1", true],
    ["2001:db8::1", "2001:db8:0:1::1", false],
    ["fe80::1%eth0", "fe80::2%eth1", true],
    ["::1", "::2", true],
    ["::1", "1::1", false],
  ])("%s and %s", (one, other, expected) => {
    const lobby = new Lobby();
    for (let n = 0; n < 256; n++) lobby.admits(one, 0);
    expect(lobby.admits(other, 0)).toBe(!expected);
  });

  test("is forgotten when 4,096 others came after it", () => {
    const lobby = new Lobby();
    for (let n = 0; n < 257; n++) lobby.admits("10.0.0.1", 0);
    for (let n = 0; n < 4095; n++) lobby.admits(`10.1.${n >> 8}.${n & 255}`, 0);
    expect(lobby.admits("10.0.0.1", 0)).toBe(false);
    for (let n = 0; n < 4096; n++) lobby.admits(`10.2.${n >> 8}.${n & 255}`, 0);
    expect(lobby.admits("10.0.0.1", 0)).toBe(true);
  });
});

function watched() {
  const lobby = new Lobby();
  const evicted: string[] = [];
  const enter = (address: string, name: string): (() => void) => lobby.enter(address, () => evicted.push(name));
  return { lobby, enter, evicted };
}
