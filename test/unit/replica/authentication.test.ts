/** What replicas let in, over a transport that anybody can reach, and what both sides are told. */
import { describe, expect, test, vi } from "vitest";
import type { Replica } from "../../../src/replica.ts";
import type { Channel, Transport, TransportHost } from "../../../src/transport.ts";
import type { NodeId } from "../../../src/types.ts";
import { type AuthenticationOptions, authenticated, type Secret } from "../../../transports/authentication.ts";
import { inProcessNetwork } from "../../../transports/in-process.ts";
import { failureOf, open, recordingLogger, until } from "./stage.ts";

const SECRET = "correct horse battery staple";
const OTHER = "incorrect horse battery staple";

describe("replicas that share a secret", () => {
  test("replicate", async () => {
    const { join } = cluster();
    const [a, b] = [await join("a", { secret: SECRET }), await join("b", { secret: SECRET })];
    await a.replica.put("k", 1);
    await until(() => b.replica.get("k") === 1, "b has it");
    expect(a.replica.status().refused).toEqual({});
  });

  test("change it without losing a connection, one after the other", async () => {
    const { join } = cluster();
    const secrets: Record<string, Secret> = { a: SECRET, b: SECRET, c: SECRET };
    const replicas: Replica[] = [];
    for (const name of ["a", "b", "c"]) {
      const secret = (): string | readonly string[] => secrets[name] as string | readonly string[];
      replicas.push((await join(name, { secret })).replica);
    }
    const live = (): boolean =>
      replicas.every((replica) => replica.peers().filter(({ state }) => state === "live").length === 2);
    await until(live, "all live");
    const ends: string[] = [];
    for (const replica of replicas) replica.on("peer", ({ type, nodeId }) => type === "down" && ends.push(nodeId));
    let late = 0;
    for (const step of [[SECRET, OTHER], [OTHER, SECRET], OTHER]) {
      for (const name of ["a", "b", "c"]) {
        secrets[name] = step;
        // A newcomer with what "a" has now gets in, whoever of the others it meets.
        const newcomer = await join(`late-${++late}`, { secret: secrets["a"]! });
        await newcomer.replica.put(`from ${late}`, late);
        await until(() => replicas.every((replica) => replica.get(`from ${late}`) === late), `${late} is in`);
        await newcomer.replica.close();
      }
    }
    expect(ends.filter((nodeId) => !nodeId.startsWith("late"))).toEqual([]);
    const old = await join("old", { secret: SECRET });
    await until(() => (old.replica.status().refused["wrong-secret"] ?? 0) > 0, "refused");
    expect(replicas.some((replica) => (replica.status().refused["wrong-secret"] ?? 0) > 0)).toBe(true);
  });
});

describe("refused, with a message on both sides", () => {
  // [what the dialer has, what the acceptor has, by which reason each counts it, what each says]
  test.each<[string, AuthenticationOptions | undefined, AuthenticationOptions | undefined, string, string, RegExp]>([
    ["a wrong secret", { secret: OTHER }, { secret: SECRET }, "wrong-secret", "wrong-secret", /same secret/],
    ["no secret", undefined, { secret: SECRET }, "unauthenticated", "no-secret", /secret/],
    ["nobody wants one", { secret: SECRET }, undefined, "no-secret", "unauthenticated", /secret/],
    ["by a hook", {}, { authenticate: () => false }, "unauthenticated", "not-allowed", /authenticate|secret/],
    [
      "by a hook, with a secret",
      { secret: SECRET },
      { secret: SECRET, authenticate: () => false },
      "not-allowed",
      "not-allowed",
      /hook/,
    ],
  ])("%s", async (_, dialer, acceptor, dialerReason, acceptorReason, text) => {
    const { join } = cluster();
    const a = await join("a", acceptor, []);
    const b = await join("b", dialer, ["in-process:a"]);
    await until(() => b.count(dialerReason) > 0 && a.count(acceptorReason) > 0, "both have counted it");
    for (const { warnings } of [a, b]) {
      expect(warnings.join("\n")).toMatch(text);
      // Neither is told what the other one has.
      expect(warnings.join("\n")).not.toMatch(/horse/);
    }
    expect(b.replica.status().health).toBe("yellow");
    await a.replica.put("k", 1);
    expect(b.replica.get("k")).toBeUndefined();
    expect(a.replica.peers()).toEqual([]);
  });

  test("one that knows the secret and is of another cluster", async () => {
    const { join } = cluster();
    const a = await join("a", { secret: SECRET }, []);
    const b = await join("b", { secret: SECRET }, ["in-process:a"], "test");
    await until(() => b.count("cluster-mismatch") > 0 && a.count("cluster-mismatch") > 0, "both have counted it");
    expect(b.warnings.join()).toMatch(/clusterId/);
  });

  test("a replica that proves to be one and says hello as another", async () => {
    const network = inProcessNetwork();
    const logger = recordingLogger();
    const guarded = authenticated(network.transport(), { secret: SECRET });
    const a = await open({ nodeId: "a", logger, transport: guarded });
    // The transport below proves another name than the replica above has.
    const liar = authenticated(network.transport(), { secret: SECRET });
    const b = await open({ nodeId: "b", transport: { ...liar, listen: (host) => liar.listen(renamed(host, "c")) } });
    await until(() => (a.status().refused["unauthenticated"] ?? 0) > 0, "a has refused it");
    expect(logger.lines.join("\n")).toMatch(/calls itself "b" and has proved to be "c"/);
    await until(() => (b.status().refused["unauthenticated"] ?? 0) > 0, "b was told");
    expect(a.peers()).toEqual([]);
  });

  test("a replica that comes with what belongs to another", async () => {
    const { join } = cluster();
    const a = await join("a", { secret: SECRET, authenticate: ({ dialed }) => (dialed ? true : "c") }, []);
    await join("b", { secret: SECRET }, ["in-process:a"]);
    await until(() => a.count("wrong-node") > 0, "refused");
    expect(a.warnings.join()).toMatch(/"b" came with what belongs to "c"/);
  });

  test("a refused replica is not dialed again at once, and one that is let in later comes in", async () => {
    const { join } = cluster();
    let dials = 0;
    const a = await join("a", { secret: SECRET, authenticate: () => Boolean(dials++) && false }, []);
    await join("b", { secret: SECRET }, ["in-process:a"]);
    await until(() => a.count("not-allowed") === 1, "refused");
    // Three rounds of the dialer: it would be back, if it did not wait for minutes.
    const c = await join("c", { secret: SECRET }, ["in-process:a"]);
    await until(() => c.count("not-allowed") === 1, "c too");
    expect(dials).toBe(2);
  });
});

describe("the hook", () => {
  test("is told who it is about, on both sides, and may take its time", async () => {
    const { join } = cluster();
    const seen: unknown[] = [];
    const authenticate = async (connection: object): Promise<boolean> => {
      await new Promise((resolve) => setImmediate(resolve));
      return Boolean(seen.push(connection));
    };
    const a = await join("a", { authenticate }, []);
    const b = await join("b", { authenticate }, ["in-process:a"]);
    await a.replica.put("k", 1);
    await until(() => b.replica.get("k") === 1, "b has it");
    expect(seen).toContainEqual(expect.objectContaining({ dialed: true, remote: "in-process:a" }));
    expect(seen).toContainEqual(expect.objectContaining({ dialed: false, remote: "in-process:b" }));
  });

  test("names the replica that it lets in: another one is refused by its hello", async () => {
    const { join } = cluster();
    const a = await join("a", { authenticate: () => "c" }, []);
    const b = await join("b", undefined, ["in-process:a"]);
    await until(() => a.count("unauthenticated") > 0 && b.count("unauthenticated") > 0, "both have counted it");
    expect(a.warnings.join()).toMatch(/calls itself "b" and has proved to be "c"/);
  });

  test.each<[string, () => unknown, RegExp]>([
    [
      "throws",
      () => {
        throw new Error("no such certificate");
      },
      /has thrown: Error: no such certificate/,
    ],
    ["returns something else", () => undefined, /neither a nodeId nor true nor false/],
    ["returns a name that is none", () => "", /neither a nodeId nor true nor false/],
  ])("one that %s lets nobody in", async (_, hook, text) => {
    const { join } = cluster();
    const a = await join("a", { authenticate: hook as () => boolean }, []);
    await join("b", undefined, ["in-process:a"]);
    await until(() => a.count("not-allowed") > 0, "refused");
    expect(a.warnings.join()).toMatch(text);
  });
});

describe("on the way", () => {
  test.each<[string, (frame: Uint8Array) => Uint8Array[]]>([
    ["altered", (frame) => [frame.map((byte, at) => (at === 9 ? byte ^ 1 : byte))]],
    ["repeated", (frame) => [frame, frame]],
    ["left out", () => []],
    ["cut to nothing", (frame) => [frame.subarray(0, 1)]],
  ])("a frame that was %s ends the channel, is counted, and nothing of it is believed", async (_, change) => {
    const network = inProcessNetwork();
    let once: ((frame: Uint8Array) => Uint8Array[]) | undefined;
    const below = tampered(network.transport(), (frame) => {
      const [changed, now] = [once, () => [frame]];
      once = undefined;
      return (changed ?? now)(frame);
    });
    const a = await open({ nodeId: "a", transport: authenticated(network.transport(), { secret: SECRET }) });
    const b = await open({ nodeId: "b", transport: authenticated(below, { secret: SECRET }) });
    await until(() => a.peers()[0]?.state === "live" && b.peers()[0]?.state === "live", "live");
    once = change;
    for (let n = 0; n < 20; n++) await b.put(`k${n}`, n);
    await until(() => a.status().refused["altered-frame"] === 1, "noticed");
    await until(() => a.get("k19") === 19, "the next channel brings it all");
    expect(a.status().digest).toBe(b.status().digest);
  });
});

test("what has proved nothing within five seconds is dropped", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  try {
    const network = inProcessNetwork();
    const refusals: string[] = [];
    const host = hostOf("a", { refused: (reason: string) => void refusals.push(reason) });
    const guarded = authenticated(network.transport(), { secret: SECRET });
    const [address] = await guarded.listen(host);
    const stranger = network.transport();
    await stranger.listen(hostOf("x"));
    const channel = await stranger.dial(address!, new AbortController().signal);
    const closed = new Promise<void>((resolve) => channel.start({ frame: () => undefined, closed: () => resolve() }));
    await new Promise((resolve) => setImmediate(resolve));
    vi.advanceTimersByTime(4999);
    await new Promise((resolve) => setImmediate(resolve));
    expect(refusals).toEqual([]);
    vi.advanceTimersByTime(1);
    await closed;
    expect(refusals).toEqual(["timeout"]);
    await Promise.all([guarded.close(), stranger.close()]);
  } finally {
    vi.useRealTimers();
  }
});

test.each<[unknown, RegExp]>([
  [{}, /takes \{ secret \}/],
  [{ secret: "short" }, /16 bytes at least/],
  [{ secret: () => "short" }, /16 bytes at least/],
  [{ secret: new Array(9).fill(SECRET) }, /1 to 8/],
  [{ authenticate: true }, /takes a function/],
])("%j is no way to authenticate", async (options, text) => {
  const failure = await failureOf(() =>
    authenticated(inProcessNetwork().transport(), options as AuthenticationOptions),
  );
  expect(failure).toMatchObject({ code: "ERR_OPTION", message: expect.stringMatching(text) as string });
});

/** Replicas on one network that anybody can reach. */
function cluster() {
  const network = inProcessNetwork();
  const join = async (nodeId: string, options?: AuthenticationOptions, seeds?: string[], clusterId = "prod") => {
    const logger = recordingLogger();
    const bare = network.transport();
    const seeded: Transport = {
      listen: (host) => bare.listen(host),
      seeds: () => seeds ?? bare.seeds(),
      dial: (address, signal) => bare.dial(address, signal),
      close: () => bare.close(),
    };
    const isGuarded = options?.secret !== undefined || options?.authenticate !== undefined;
    const transport = isGuarded ? authenticated(seeded, options) : seeded;
    const replica = await open({ nodeId, clusterId, logger, transport });
    const warnings: string[] = [];
    replica.on("warning", (message) => warnings.push(message));
    return { replica, warnings, count: (reason: string) => replica.status().refused[reason] ?? 0 };
  };
  return { join };
}

function hostOf(nodeId: string, more: Partial<TransportHost> = {}): TransportHost {
  return { nodeId: nodeId as NodeId, clusterId: "prod", maxFrameBytes: 1 << 20, accept: () => undefined, ...more };
}

function renamed(host: TransportHost, nodeId: string): TransportHost {
  return { ...host, nodeId: nodeId as NodeId };
}

/** The transport, with somebody on the line who changes what it sends. */
function tampered(inner: Transport, change: (frame: Uint8Array) => Uint8Array[]): Transport {
  const wrapped = (channel: Channel): Channel => ({
    remote: channel.remote,
    start: (receiver) => channel.start(receiver),
    send: (frame) => {
      for (const changed of change(frame)) channel.send(changed);
    },
    close: () => channel.close(),
  });
  return {
    listen: (host) => inner.listen({ ...host, accept: (channel) => host.accept(wrapped(channel)) }),
    seeds: () => inner.seeds(),
    dial: async (address, signal) => wrapped(await inner.dial(address, signal)),
    close: () => inner.close(),
  };
}
