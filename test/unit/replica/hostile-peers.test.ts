/**
 * Peers that misbehave, among whole replicas: nobody else is delayed by as much as one virtual millisecond, what is
 * kept for them is bounded, and status() says who and why.
 */
import { afterEach, describe, expect, test } from "vitest";
import { encodeValue } from "../../../src/codec/values.ts";
import { stampAt } from "../../../src/hybrid-logical-clock.ts";
import type { Replica } from "../../../src/index.ts";
import { PAGE_BYTES, QUARANTINE_ENTRIES_MAX, WINDOW_BYTES } from "../../../src/limits.ts";
import { type Entry, type NodeId, nodeIdOf, type Origin } from "../../../src/types.ts";
import { PlayedPeer } from "../../models/played-peer.ts";
import { VirtualCluster } from "../../models/virtual-cluster.ts";

const open: VirtualCluster[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((cluster) => cluster.close()));
});

interface Scene {
  readonly cluster: VirtualCluster;
  readonly a: Replica;
  readonly b: Replica;
  readonly evil: PlayedPeer;
  /** What a has seen of b, and what b has seen of a, and when: "12 ms a/7". */
  readonly seen: readonly [string[], string[]];
}

const STEP_MS = 10;

/** Two replicas that write to each other over a link of 3 ms; and somebody else, connected to `a`, if it is to come. */
async function play(
  comes: boolean,
  act: (scene: Scene, step: number) => void,
  steps: number,
  bytes = 100,
): Promise<Scene> {
  const cluster = new VirtualCluster();
  open.push(cluster);
  cluster.network.delay("a", "b", 3);
  const a = await cluster.open("a");
  const b = await cluster.open("b");
  await cluster.live([a, b]);
  const evil = new PlayedPeer(cluster.network, "evil");
  if (comes) {
    const meeting = evil.meet("a");
    await cluster.time.run(1);
    await meeting;
  } else await cluster.time.run(1);
  await cluster.time.run(1000);
  const startMs = cluster.time.now();
  const seen: Scene["seen"] = [[], []];
  for (const [n, replica] of [a, b].entries()) {
    replica.on("change", ({ local, key }) => {
      if (!local) seen[n]!.push(`${cluster.time.now() - startMs} ms ${key}`);
    });
  }
  const scene = { cluster, a, b, evil, seen };
  for (let step = 0; step < steps; step++) {
    if (comes) act(scene, step);
    void a.put(`a/${step}`, "x".repeat(bytes));
    void b.put(`b/${step}`, "x".repeat(bytes));
    await cluster.time.run(STEP_MS);
  }
  return scene;
}

/** The same with and without the intruder: what the others see, and when, is the same. */
async function compare(act: (scene: Scene, step: number) => void, steps: number, bytes?: number): Promise<Scene> {
  const alone = await play(false, act, steps, bytes);
  const together = await play(true, act, steps, bytes);
  expect(alone.seen.map(({ length }) => length)).toEqual([steps, steps]);
  expect(together.seen).toEqual(alone.seen);
  return together;
}

const reasonsOf = (replica: Replica): string => replica.status().reasons.join("; ");

describe("a peer that never acknowledges anything", () => {
  test("is sent a window and a page, however much is written, and shows as behind", async () => {
    const STEPS = 1000;
    // It stays in contact, so that it is not dropped as silent.
    const { a, evil } = await compare(
      ({ evil }, step) => {
        if (step % 100 === 0) evil.probe();
      },
      STEPS,
      10_000,
    );
    expect(evil.bytesIn).toBeGreaterThan(WINDOW_BYTES * 0.9);
    expect(evil.bytesIn).toBeLessThan(WINDOW_BYTES + 2 * PAGE_BYTES);
    expect(evil.closed).toBeUndefined();
    const { evil: peer, b: good } = a.status().peers;
    expect(peer).toMatchObject({ state: "catching-up", rejects: {} });
    expect(peer!.lagEntries).toBeGreaterThan(STEPS);
    expect(peer!.lagMs).toBeGreaterThan(8000);
    expect(peer!.bytesOut).toBe(evil.bytesIn);
    expect(good).toMatchObject({ state: "live" });
    expect(reasonsOf(a)).toMatch(/"evil" is behind for \d+ s/);
  });

  test("is let go of after 15 s when it says nothing at all", async () => {
    const { a, evil } = await compare(() => undefined, 1700);
    expect(evil.received.at(-1)).toMatchObject({ type: "bye", code: "silent" });
    expect(evil.closed).toBeDefined();
    expect(a.status().peers["evil"]).toBeUndefined();
  });
});

describe("a peer that claims absurd coverage", () => {
  test.each([
    [
      "of writes that are still to be made",
      (a: Replica): [Origin, number] => [`a/${a.status().epoch}` as Origin, 1_000_000],
    ],
    ["beyond any sequence number", (): [Origin, number] => ["evil/00000000000000ee" as Origin, 2 ** 51]],
  ])("%s: is told so and cut off; both ends know why", async (_, claim) => {
    const { a, b, evil } = await compare(({ a, evil }, step) => {
      if (step === 50) evil.send({ type: "ack", frames: 0, kept: 0, vector: [claim(a)] });
      if (step > 50) evil.page([]);
    }, 200);
    expect(evil.received.at(-1)).toEqual({
      type: "bye",
      code: "bad-frame",
      detail: "it claims coverage that cannot be",
    });
    expect(reasonsOf(a)).toMatch(
      /the connection to "evil" has ended \(bad-frame\): it claims coverage that cannot be; what runs there/,
    );
    expect(a.status().peers["evil"]).toBeUndefined();
    expect(b.status().reasons).toEqual([]);
    // Its claim has touched nothing: a goes on writing under its own numbers, and b has all.
    expect(b.has("a/199")).toBe(true);
  });
});

describe("a peer that says again and again that it has everybody's writes from somebody else", () => {
  const crowd = Array.from({ length: 1023 }, (_, n) => `n${n}` as NodeId);

  test("gets them all, late; of itself and of us it is not believed, and nobody else is late", async () => {
    const STEPS = 150;
    const { cluster, a, evil } = await compare(({ evil }, step) => {
      evil.send({ type: "supply", prune: ["b" as NodeId, ...crowd], graft: step % 7 === 0 ? crowd : [] });
      evil.send({ type: "supply", prune: [(step % 2 === 0 ? "a" : "evil") as NodeId], graft: [] });
    }, STEPS);
    await cluster.time.run(1000);
    const pages = evil.received.filter((message) => message.type === "page");
    const authors = pages.flatMap(({ entries }) => entries.map(({ origin }) => nodeIdOf(origin)));
    for (const name of ["a", "b"])
      expect(authors.filter((author) => author === name).length).toBeGreaterThanOrEqual(STEPS);
    expect(a.status().peers["evil"]).toMatchObject({ rejects: { "absurd-supply": STEPS } });
  });
});

describe("a peer whose every entry is refused", () => {
  test("keeps nobody waiting; what is kept of it for another try is bounded", async () => {
    const PER_STEP = 40;
    const value = encodeValue("x".repeat(50));
    let sent = 0;
    const { a, b, evil, cluster } = await compare(({ evil, cluster }, step) => {
      if (step >= 100) return step % 100 === 0 ? evil.probe() : undefined;
      // An hour ahead of everybody's clock.
      const stamp = stampAt(cluster.time.now() + 3_600_000);
      const entries = Array.from({ length: PER_STEP }, (_, n): Entry => {
        const seq = ++sent;
        return {
          key: Buffer.from(`evil/${step}/${n}`),
          value,
          stamp: stamp + n,
          origin: evil.origin,
          seq,
          expiresAt: 0,
        };
      });
      evil.page(entries);
    }, 400);
    expect(sent).toBe(4000);
    expect(evil.closed).toBeUndefined();
    const refusedNow = (): number => a.status().peers["evil"]?.rejects["clock-ahead"] ?? 0;
    expect(refusedNow()).toBeGreaterThanOrEqual(sent);
    // Each second those that are kept are tried again, and refused again: so many are kept.
    const before = refusedNow();
    evil.probe();
    await cluster.time.run(5000);
    expect(refusedNow() - before).toBeLessThanOrEqual(5 * QUARANTINE_ENTRIES_MAX);
    expect(refusedNow() - before).toBeGreaterThan(0);
    expect(reasonsOf(a)).toMatch(/refused from "evil": \d+ clock-ahead/);
    expect(a.status().clock.rejected).toBe(refusedNow());
    expect([...a.keys({ prefix: "evil/" }), ...b.keys({ prefix: "evil/" })]).toEqual([]);
    // Nor has it moved anybody's clock.
    expect(a.status().clock.driftMs).toBeLessThan(100);
  });
});
