/** Whose clock is wrong shows where it is wrong, and who listens to the status hears of a peer that falls behind. */
import { describe, expect, test } from "vitest";
import type { Replica, Status } from "wavekv";
import { inProcessNetwork } from "wavekv/transports/in-process";
import { VirtualTime } from "../../models/virtual-time.ts";
import { open } from "./stage.ts";

/** Replicas on one network and in one time, each with a wall clock that is off by so much. */
async function cluster(offsetsMs: readonly number[]) {
  const time = new VirtualTime();
  const network = inProcessNetwork({ time });
  const replicas: Replica[] = [];
  for (const [index, offsetMs] of offsetsMs.entries()) {
    const clock = { now: () => time.now() + offsetMs };
    replicas.push(await open({ nodeId: `n${index}`, clock, timers: time, transport: network.transport() }));
  }
  await time.run(3000);
  return { time, network, replicas };
}

const clockReasons = ({ reasons }: Status): string[] => reasons.filter((reason) => reason.startsWith("our clock"));

describe("a clock that is wrong", () => {
  test.each([
    ["ahead", 60_000, []], // on the limit: what it writes is accepted
    ["ahead", 61_000, ["our clock is 61 s ahead of those of most peers: they refuse what we write; set it right"]],
    ["behind", -60_000, []],
    ["behind", -61_000, ["our clock is 61 s behind those of most peers: we refuse what they write; set it right"]],
  ])("%s by %i ms says so, and the others do not", async (_, offsetMs, expected) => {
    const { replicas } = await cluster([0, 0, offsetMs]);
    const [first, second, wrong] = replicas.map((replica) => replica.status());
    expect(clockReasons(wrong!)).toEqual(expected);
    expect(wrong!.clock.peersAheadMs).toBe(-offsetMs);
    if (expected.length > 0) expect(wrong!.health).toBe("yellow");
    for (const right of [first!, second!]) {
      expect(clockReasons(right)).toEqual([]);
      // One of its two peers agrees with it.
      expect(Math.abs(right.clock.peersAheadMs)).toBeLessThan(1000);
    }
  });

  test("alone there is nothing to compare with", async () => {
    const { replicas } = await cluster([1e9]);
    expect(replicas[0]!.status()).toMatchObject({ health: "green", clock: { peersAheadMs: 0 } });
  });
});

describe("on status", () => {
  test("a peer that falls behind and catches up is told of, though no connection changes", async () => {
    const { time, network, replicas } = await cluster([0, 0]);
    const [a] = replicas as [Replica, Replica];
    const heard: string[] = [];
    a.on("status", ({ health, peers }) => {
      heard.push(`${health}, ${peers.n1?.state}, ${(peers.n1?.lagEntries ?? 0) > 0 ? "behind" : "even"}`);
    });
    await time.run(5000);
    expect(heard).toEqual([]);
    network.delay("n0", "n1", 12_000);
    void a.put("k", 1);
    await time.run(13_900);
    expect(heard).toEqual(expect.arrayContaining(["green, live, behind", "yellow, live, behind"]));
    // Not every second anew.
    expect(heard.length).toBeLessThan(6);
  });
});
