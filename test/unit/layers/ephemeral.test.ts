/** Ephemeral entries of whole replicas, in virtual time: who sees what of whom, for how long after what. */
import { afterEach, beforeEach, describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { decodeMessage, encodeMessage } from "../../../src/codec/messages.ts";
import { type EphemeralEvent, openReplica, type Replica } from "../../../src/index.ts";
import type { Transport } from "../../../src/transport.ts";
import { asEarlierVersion } from "../../models/earlier-version.ts";
import { killable } from "../../models/killable.ts";
import { tapped } from "../../models/tapped-transport.ts";
import { type Edges, VirtualCluster } from "../../models/virtual-cluster.ts";

let cluster = new VirtualCluster();
beforeEach(() => {
  cluster = new VirtualCluster();
});
afterEach(async () => {
  await cluster.close();
});

const LEASE_MS = 10_000;
const line = (count: number): Edges => Array.from({ length: count - 1 }, (_, n) => [n, n + 1] as const);

/** "key=value@nodeId" of all that a replica sees. */
function seen(replica: Replica, name = "presence"): string[] {
  return replica
    .ephemeral(name)
    .entries()
    .map(({ key, value, nodeId }) => `${key}=${String(value)}@${nodeId}`);
}

async function mesh(count: number): Promise<readonly Replica[]> {
  const replicas: Replica[] = [];
  for (let n = 0; n < count; n++) replicas.push(await cluster.open(`r${n}`));
  await cluster.live();
  return replicas;
}

const until = (condition: () => boolean, withinMs = 60_000, stepMs = 50): Promise<number> =>
  cluster.until(condition, condition.toString(), withinMs, stepMs);

describe("one process", () => {
  test("reads what it has set, as fresh copies, and only under the name", async () => {
    const replica = await cluster.open("a");
    const presence = replica.ephemeral<{ tags: string[] }>("presence");
    const value = { tags: ["x"] };
    presence.put("ada", value);
    value.tags.push("changed");
    presence.get("ada")?.tags.push("changed too");
    expect(presence.get("ada")).toEqual({ tags: ["x"] });
    expect(presence.entries()).toEqual([{ key: "ada", value: { tags: ["x"] }, nodeId: "a", local: true }]);
    expect(replica.ephemeral("other").entries()).toEqual([]);
    expect(replica.ephemeral("pres").entries()).toEqual([]);
    expect([...replica.entries()]).toEqual([]);
    presence.delete("ada");
    presence.delete("nobody");
    expect(presence.get("ada")).toBeUndefined();
    expect(presence.has("ada")).toBe(false);
  });

  test("is typed by its schema, which is asked, and by its codec", async () => {
    const replica = await cluster.open("a");
    const schema = z.object({ user: z.string(), away: z.boolean().default(false) });
    const checked = replica.ephemeral("checked", { schema });
    expectTypeOf(checked.put).parameter(1).toEqualTypeOf<{ user: string; away?: boolean | undefined }>();
    expectTypeOf(checked.get).returns.toEqualTypeOf<{ user: string; away: boolean } | undefined>();
    checked.put("k", { user: "ada" });
    expect(checked.get("k")).toEqual({ user: "ada", away: false });
    expect(() => checked.put("k", { user: 1 as unknown as string })).toThrow(
      expect.objectContaining({ code: "ERR_VALUE" }),
    );
    const codec = { encode: (url: URL) => url.href, decode: (stored: unknown) => new URL(stored as string) };
    const urls = replica.ephemeral("urls", { codec });
    expectTypeOf(urls.entries).returns.items.toHaveProperty("value").toEqualTypeOf<URL>();
    urls.put("k", new URL("http://127.0.0.1/x"));
    expect(urls.get("k")?.pathname).toBe("/x");
  });

  test("lists keys in UTF-8 byte order, within a prefix", async () => {
    const presence = (await cluster.open("a")).ephemeral("p");
    // By UTF-16 code units the surrogates of the second would come first.
    for (const key of ["\uffee", "\u{1f600}", "b", "ab", "a"]) presence.put(key, 1);
    expect(presence.entries().map(({ key }) => key)).toEqual(["a", "ab", "b", "\uffee", "\u{1f600}"]);
    expect(presence.entries({ prefix: "a" }).map(({ key }) => key)).toEqual(["a", "ab"]);
    presence.clear();
    expect(presence.entries()).toEqual([]);
  });

  test("has at most so much", async () => {
    const replica = await cluster.open("a");
    const presence = replica.ephemeral("p");
    for (let n = 0; n < 10_000; n++) presence.put(`${n}`, null);
    expect(() => presence.put("one more", null)).toThrow(expect.objectContaining({ code: "ERR_LIMIT" }));
    presence.put("0", "changed");
    expect(replica.status().ephemeral).toMatchObject({ processes: 1, entries: 10_000 });
    presence.clear();
    // 16 values of 64 KiB are 1 MiB, and there are their keys.
    const large = "x".repeat(64 * 1024 - 9);
    for (let n = 0; n < 15; n++) presence.put(`${n}`, large);
    expect(() => presence.put("15", large)).not.toThrow();
    expect(() => presence.put("16", large)).toThrow(expect.objectContaining({ code: "ERR_LIMIT" }));
    expect(() => presence.put("0", "x".repeat(64 * 1024))).toThrow(expect.objectContaining({ code: "ERR_LIMIT" }));
    expect(presence.get("0")).toBe(large);
  });

  test("is told what is wrong, and nothing was changed", async () => {
    const replica = await cluster.open("a");
    const presence = replica.ephemeral("p");
    expect(() => presence.put("", 1)).toThrow(expect.objectContaining({ code: "ERR_KEY" }));
    expect(() => presence.put("k", undefined)).toThrow(expect.objectContaining({ code: "ERR_VALUE" }));
    expect(() => presence.watch({ key: "a", prefix: "b" })).toThrow(expect.objectContaining({ code: "ERR_OPTION" }));
    expect(() => presence.entries({ prefix: "\ud800" })).toThrow(expect.objectContaining({ code: "ERR_OPTION" }));
    expect(() => replica.ephemeral("")).toThrow(expect.objectContaining({ code: "ERR_OPTION" }));
    await expect(openReplica({ ephemeralLeaseMs: 999 })).rejects.toMatchObject({ code: "ERR_OPTION" });
    expect(presence.entries()).toEqual([]);
    await replica.close();
    expect(() => presence.put("k", 1)).toThrow(expect.objectContaining({ code: "ERR_CLOSED" }));
    expect(() => presence.entries()).toThrow(expect.objectContaining({ code: "ERR_CLOSED" }));
  });
});

describe("several processes", () => {
  test("see each other at once, and what is deleted goes", async () => {
    const [a, b, c] = (await mesh(3)) as [Replica, Replica, Replica];
    a.ephemeral("presence").put("a", 1);
    b.ephemeral("presence").put("b", 2);
    await cluster.time.run(1);
    for (const replica of [a, b, c]) expect(seen(replica)).toEqual(["a=1@r0", "b=2@r1"]);
    expect(
      c
        .ephemeral("presence")
        .entries()
        .map(({ local }) => local),
    ).toEqual([false, false]);
    // Nobody deletes what is another's.
    c.ephemeral("presence").delete("a");
    a.ephemeral("presence").delete("a");
    await cluster.time.run(1);
    for (const replica of [a, b, c]) expect(seen(replica)).toEqual(["b=2@r1"]);
  });

  test("may have one key: the value that was set last counts, and then the other one", async () => {
    const [a, b, c] = (await mesh(3)) as [Replica, Replica, Replica];
    const key = (replica: Replica) =>
      replica
        .ephemeral("service")
        .getAll("primary")
        .map(({ value }) => value);
    // Many changes: it is not the count of them that decides.
    for (let n = 0; n < 9; n++) a.ephemeral("service").put("primary", `a${n}`);
    await cluster.time.run(100);
    b.ephemeral("service").put("primary", "b");
    await cluster.time.run(100);
    for (const replica of [a, b, c]) expect(key(replica)).toEqual(["b", "a8"]);
    // The same value again is set last as well.
    a.ephemeral("service").put("primary", "a8");
    await cluster.time.run(100);
    for (const replica of [a, b, c]) expect(key(replica)).toEqual(["a8", "b"]);
    a.ephemeral("service").delete("primary");
    await cluster.time.run(100);
    for (const replica of [a, b, c]) expect(key(replica)).toEqual(["b"]);
  });

  test("who closes is gone at once", async () => {
    const [a, b, c] = (await mesh(3)) as [Replica, Replica, Replica];
    a.ephemeral("presence").put("a", 1);
    await until(() => seen(c).length === 1);
    const closed = a.close();
    await cluster.time.run(1);
    expect([seen(b), seen(c)]).toEqual([[], []]);
    await closed;
  });

  test("who is killed is gone once its lease has run out, and not before", async () => {
    const kill = killable();
    const [b, c] = (await mesh(2)) as [Replica, Replica];
    const a = await cluster.open("a", {}, kill.wrap);
    a.ephemeral("presence").put("a", 1);
    await until(() => seen(b).length + seen(c).length === 2);
    await cluster.time.run(30_000);
    kill.kill();
    await cluster.time.run(LEASE_MS / 2);
    expect([seen(b), seen(c)]).toEqual([["a=1@a"], ["a=1@a"]]);
    await cluster.time.run(LEASE_MS / 2 + 200);
    expect([seen(b), seen(c)]).toEqual([[], []]);
    // Nor does it come back, with nobody left to say so.
    await cluster.time.run(LEASE_MS * 3);
    expect([seen(b), seen(c)]).toEqual([[], []]);
  });

  test("who is started again has its new entries, and none of the old ones, at once", async () => {
    const kill = killable();
    const [b, c] = (await mesh(2)) as [Replica, Replica];
    const before = await cluster.open("a", {}, kill.wrap);
    before.ephemeral("presence").put("old", 1);
    before.ephemeral("presence").put("both", 1);
    await until(() => seen(c).length === 2);
    kill.kill();
    // Its clock is wrong now, by a year.
    const { time } = cluster;
    const after = await cluster.open("a", { clock: { now: () => time.now() - 3e10 }, maxDriftMs: 2 ** 40 });
    after.ephemeral("presence").put("both", 2);
    await until(() => after.peers().filter(({ state }) => state === "live").length === 2);
    await cluster.time.run(1500);
    for (const replica of [b, c, after]) expect(seen(replica)).toEqual(["both=2@a"]);
  });

  test("who is started again and sets nothing has none of the old ones either", async () => {
    const kill = killable();
    const [b] = (await mesh(2)) as [Replica, Replica];
    (await cluster.open("a", {}, kill.wrap)).ephemeral("presence").put("old", 1);
    await until(() => seen(b).length === 1);
    kill.kill();
    const after = await cluster.open("a");
    await until(() => after.peers().filter(({ state }) => state === "live").length === 2);
    await cluster.time.run(200);
    expect(seen(b)).toEqual([]);
  });

  test("a partition that is shorter than the lease is not noticed", async () => {
    const [a, b] = (await mesh(2)) as [Replica, Replica];
    a.ephemeral("presence").put("a", 1);
    await until(() => seen(b).length === 1);
    const events = b.ephemeral("presence").watch();
    cluster.network.cut("r0", "r1");
    a.ephemeral("presence").put("meanwhile", 1);
    await cluster.time.run(LEASE_MS / 2);
    cluster.network.heal();
    await until(() => seen(b).length === 2, 10_000);
    expect((await events.next()).value).toMatchObject({ type: "put", key: "meanwhile" });
    await cluster.time.run(LEASE_MS * 2);
    expect(seen(b)).toEqual(["a=1@r0", "meanwhile=1@r0"]);
    await events.return?.();
  });

  test("after one that is longer, who was cut off is back with all that it has", async () => {
    const [a, b] = (await mesh(2)) as [Replica, Replica];
    a.ephemeral("presence").put("a", 1);
    a.ephemeral("presence").put("b", 1);
    await until(() => seen(b).length === 2);
    cluster.network.cut("r0", "r1");
    await until(() => seen(b).length === 0, LEASE_MS + 100);
    a.ephemeral("presence").delete("b");
    expect(seen(a)).toEqual(["a=1@r0"]);
    await cluster.time.run(60_000);
    cluster.network.heal();
    await until(() => seen(b).length > 0, 60_000);
    expect(seen(b)).toEqual(["a=1@r0"]);
  });
});

describe("relays", () => {
  test("carry everything along a line of five, there and away again", async () => {
    const replicas = await cluster.openShape(5, line(5));
    const [first, , , , last] = replicas as [Replica, Replica, Replica, Replica, Replica];
    await until(() => replicas.every((replica) => replica.peers().some(({ state }) => state === "live")));
    await until(() => last.members().length === 5);
    first.ephemeral("presence").put("first", 1);
    last.ephemeral("presence").put("last", 1);
    const tookMs = await until(() => replicas.every((replica) => seen(replica).length === 2), 1000, 1);
    // Nobody waits on the way.
    expect(tookMs).toBeLessThanOrEqual(5);
    await cluster.time.run(LEASE_MS * 3);
    for (const replica of replicas) expect(seen(replica)).toEqual(["first=1@r0", "last=1@r4"]);
    const closed = first.close();
    await cluster.time.run(5);
    for (const replica of replicas.slice(1)) expect(seen(replica)).toEqual(["last=1@r4"]);
    await closed;
  });

  test("do not keep the dead alive: a ring of four forgets within a lease and a bit", async () => {
    const kill = killable();
    const replicas = await cluster.openShape(4, [...line(4), [3, 0]]);
    for (const other of ["r1", "r2", "r3"]) cluster.network.cut("a", other);
    const dead = await cluster.open("a", {}, kill.wrap);
    dead.ephemeral("presence").put("a", 1);
    await until(() => replicas.every((replica) => seen(replica).length === 1));
    await cluster.time.run(LEASE_MS);
    kill.kill();
    await until(() => replicas.every((replica) => seen(replica).length === 0), LEASE_MS + 500);
    // Links that break and heal tell everybody what everybody holds.
    cluster.network.cut("r0", "r1");
    await cluster.time.run(1000);
    cluster.network.heal("r0", "r1");
    for (let n = 0; n < 60; n++) {
      await cluster.time.run(500);
      expect(replicas.map((replica) => seen(replica))).toEqual([[], [], [], []]);
    }
  });

  test("a link that is up and says nothing is made up for by the others", async () => {
    let isMute = false;
    // What r0 tells r1 of itself does not arrive any more, while all else does.
    const deafened = (transport: Transport): Transport =>
      tapped(transport, (channel) => {
        let peer = "";
        const heard = (frame: Uint8Array): Uint8Array => {
          const decoded = decodeMessage(frame);
          if (decoded.type !== "message") return frame;
          if (decoded.message.type === "hello") peer = decoded.message.nodeId;
          if (!isMute || peer !== "r0" || decoded.message.type !== "ephemeral") return frame;
          return encodeMessage({ ...decoded.message, news: [] }, decoded.number);
        };
        return {
          remote: channel.remote,
          close: () => channel.close(),
          send: (frame) => channel.send(frame),
          start: (receiver) =>
            channel.start({
              closed: (reason) => receiver.closed(reason),
              frame: (frame) => receiver.frame(heard(frame)),
            }),
        };
      });
    const author = await cluster.open("r0");
    const replicas = [await cluster.open("r1", {}, deafened), await cluster.open("r2")];
    await cluster.live();
    author.ephemeral("presence").put("a", 1);
    await until(() => replicas.every((replica) => seen(replica).length === 1));
    isMute = true;
    for (let n = 0; n < 100; n++) {
      await cluster.time.run(500);
      for (const replica of replicas) expect(seen(replica)).toEqual(["a=1@r0"]);
    }
  });

  test("replicas of a version that does not know of it are sent nothing of it, and go on", async () => {
    const a = await cluster.open("a");
    const kinds = new Set<string>();
    const old = await cluster.open("old", {}, (transport) => asEarlierVersion(transport, (kind) => kinds.add(kind)));
    const b = await cluster.open("b");
    await cluster.live();
    a.ephemeral("presence").put("a", 1);
    await old.put("durable", 1);
    await until(() => seen(b).length === 1 && b.get("durable") === 1 && a.get("durable") === 1);
    await cluster.time.run(LEASE_MS * 2);
    expect(seen(b)).toEqual(["a=1@a"]);
    expect(seen(old)).toEqual([]);
    expect(kinds).toContain("page");
    expect(kinds).not.toContain("ephemeral");
    for (const replica of [a, b, old])
      expect(replica.status().peers).not.toMatchObject({ rejects: { "unknown-message": 1 } });
    expect(old.metrics().rejects).toEqual({});
  });
});

describe("watching", () => {
  const shown = (event: EphemeralEvent | undefined): string =>
    event === undefined || event.type === "ready"
      ? "ready"
      : event.type === "put"
        ? `${event.key}=${String(event.value)}@${event.nodeId}`
        : `-${event.key}@${event.nodeId} ${event.cause}`;

  test("tells what there is, and then what becomes of it, and why something went", async () => {
    const kill = killable();
    const [a, b] = (await mesh(2)) as [Replica, Replica];
    const killed = await cluster.open("c", {}, kill.wrap);
    await cluster.live([a, b, killed], 2);
    killed.ephemeral("p").put("k", 3);
    b.ephemeral("p").put("x", 1);
    b.ephemeral("p").put("z", 1);
    await until(() => seen(a, "p").length === 3);
    const events = a.ephemeral("p").watch({ initial: true });
    const next = async (): Promise<string> => shown((await events.next()).value as EphemeralEvent | undefined);
    expect([await next(), await next(), await next(), await next()]).toEqual(["k=3@c", "x=1@r1", "z=1@r1", "ready"]);
    a.ephemeral("p").put("own", 1);
    expect(await next()).toBe("own=1@r0");
    b.ephemeral("p").delete("x");
    await cluster.time.run(1);
    expect(await next()).toBe("-x@r1 deleted");
    const closed = b.close();
    await cluster.time.run(1);
    expect(await next()).toBe("-z@r1 closed");
    await closed;
    kill.kill();
    await cluster.time.run(LEASE_MS + 200);
    expect(await next()).toBe("-k@c lost");
    const ended = a.close();
    expect((await events.next()).done).toBe(true);
    await ended;
  });

  test("a slow consumer gets the latest state of each entry, and nothing of what has come and gone", async () => {
    const [a, b] = (await mesh(2)) as [Replica, Replica];
    const presence = b.ephemeral("p");
    presence.put("there", 0);
    await until(() => seen(a, "p").length === 1);
    const events = a.ephemeral("p").watch();
    for (let n = 1; n <= 100; n++) {
      presence.put("there", n);
      presence.put("new", n);
      presence.put(`passing-${n}`, n);
      await cluster.time.run(1);
      presence.delete(`passing-${n}`);
      await cluster.time.run(1);
    }
    const told: string[] = [];
    for (let n = 0; n < 2; n++) told.push(shown((await events.next()).value as EphemeralEvent));
    expect(told).toEqual(["there=100@r1", "new=100@r1"]);
    presence.put("end", 1);
    await cluster.time.run(1);
    expect(shown((await events.next()).value as EphemeralEvent)).toBe("end=1@r1");
    await events.return?.();
  });

  test("one key, or a prefix; ends with its signal", async () => {
    const replica = await cluster.open("a");
    const ended = new AbortController();
    const presence = replica.ephemeral("p");
    const one = presence.watch({ key: "ab", signal: ended.signal });
    const several = presence.watch({ prefix: "a" });
    for (const key of ["b", "abc", "ab"]) presence.put(key, 1);
    expect((await one.next()).value).toMatchObject({ key: "ab" });
    expect((await several.next()).value).toMatchObject({ key: "abc" });
    expect((await several.next()).value).toMatchObject({ key: "ab" });
    const waits = one.next();
    ended.abort(new Error("enough"));
    await expect(waits).rejects.toThrow("enough");
    await several.return?.();
  });
});
