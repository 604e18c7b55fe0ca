import { afterEach, describe, expect, test } from "vitest";
import { ReplicaError } from "../../../src/errors.ts";
import { FRAME_BYTES_MAX } from "../../../src/limits.ts";
import { Connections } from "../../../src/peers/connections.ts";
import type { Random } from "../../../src/random.ts";
import type { Channel, Transport, TransportHost } from "../../../src/transport.ts";
import type { NodeId } from "../../../src/types.ts";
import { VirtualTime } from "../../models/virtual-time.ts";

const MINUTE_MS = 60_000;

const stages: Stage[] = [];
afterEach(async () => {
  for (const { connections, time } of stages.splice(0)) {
    await connections.close();
    expect(time.pending, "no timer is left").toBe(0);
  }
});

describe("open", () => {
  test("listens for the replica, and hands over what comes in", async () => {
    const stage = await start({ own: ["x:self"] });
    expect(stage.addresses).toEqual(["x:self"]);
    expect(stage.host).toMatchObject({ nodeId: "self", clusterId: "test", maxFrameBytes: FRAME_BYTES_MAX });
    stage.accept();
    expect(stage.sessions).toEqual([{ dialed: false, remote: "accepted" }]);
  });

  test("what a transport throws becomes ERR_LISTEN, what is that already stays", async () => {
    const busy = new Error("busy");
    await expect(start({ listenError: busy })).rejects.toMatchObject({ code: "ERR_LISTEN", cause: busy });
    const own = new ReplicaError("ERR_OPTION", "no");
    await expect(start({ listenError: own })).rejects.toBe(own);
  });
});

describe("whom to dial", () => {
  test("seeds and targets, but never the addresses of our own", async () => {
    const stage = await start({ own: ["x:self"], seeds: ["x:self", "x:seed"] });
    stage.connections.setTargets([
      { nodeId: "a", addresses: ["x:a"] },
      { nodeId: "self", addresses: ["x:old-self"] },
      { nodeId: "b", addresses: ["x:self"] },
      { nodeId: "c", addresses: [] },
    ]);
    await stage.time.run(5000);
    expect(stage.dials.map(({ address }) => address).sort()).toEqual(["x:a", "x:seed"]);
  });

  test("seeds that turn up later", async () => {
    const stage = await start({});
    await stage.time.run(5000);
    stage.seeds.push("x:late");
    await stage.time.run(2000);
    expect(stage.dialed("x:late")).toBe(1);
  });

  test("nobody who is connected, whoever dialed", async () => {
    const stage = await start({ answer: "hang" });
    const session = stage.accept();
    stage.connections.connected(session, "a");
    stage.connections.setTargets([{ nodeId: "a", addresses: ["x:a"] }]);
    await stage.time.run(9000);
    expect(stage.dials).toEqual([]);
    stage.connections.ended(session, "a", "lost");
    await stage.time.run(2000);
    expect(stage.dialed("x:a")).toBe(1);
  });

  test("one address of a replica at a time, the next when it fails", async () => {
    const stage = await start({ answer: (address) => (address === "x:a1" ? "fail" : "open") });
    stage.connections.setTargets([{ nodeId: "a", addresses: ["x:a1", "x:a2", "x:a3"] }]);
    await stage.time.run(5000);
    expect(stage.dials.map(({ address }) => address)).toEqual(["x:a1", "x:a2"]);
  });

  test("a seed that turned out to be somebody connected is left alone", async () => {
    const stage = await start({ seeds: ["x:seed"] });
    await stage.time.run(1);
    const dialed = stage.last();
    stage.connections.connected(stage.accept(), "a");
    stage.connections.ended(dialed, "a", "duplicate");
    await stage.time.run(10 * MINUTE_MS);
    expect(stage.dialed("x:seed")).toBe(1);
  });

  test("a seed that failed before a member said that it is there, and dialed us", async () => {
    const stage = await start({ seeds: ["x:a"], answer: "fail", fraction: 0 });
    await stage.time.run(1);
    stage.connections.connected(stage.accept(), "a");
    stage.connections.setTargets([{ nodeId: "a", addresses: ["x:a"] }]);
    await stage.time.run(10 * MINUTE_MS);
    expect(stage.dialed("x:a")).toBe(1);
  });

  test("all seeds at once: each may be somebody else", async () => {
    const stage = await start({ seeds: ["x:a", "x:b"] });
    await stage.time.run(1);
    stage.seeds.push("x:c");
    await stage.time.run(5000);
    expect(stage.dials.map(({ address }) => address).sort()).toEqual(["x:a", "x:b", "x:c"]);
  });

  test("those who are gone from the targets are forgotten, not cut off", async () => {
    const stage = await start({ answer: (address) => (address === "x:a" ? "open" : "fail") });
    stage.connections.setTargets(["a", "b"].map((nodeId) => ({ nodeId, addresses: [`x:${nodeId}`] })));
    await stage.time.run(1);
    stage.connections.setTargets([]);
    const before = stage.dials.length;
    await stage.time.run(10 * MINUTE_MS);
    expect(stage.dials.length).toBe(before);
    expect(stage.channels[0]?.closed).toBe(false);
  });
});

describe("the degree", () => {
  const targets = Array.from({ length: 30 }, (_, n) => ({ nodeId: `n${n}`, addresses: [`x:${n}`] }));

  test("no more than 8 are dialed, chosen at random", async () => {
    const chosen = new Set<string>();
    for (const seed of [1, 2, 3]) {
      const stage = await start({ seed });
      stage.connections.setTargets(targets);
      await stage.time.run(20_000);
      expect(stage.dials.length).toBe(8);
      for (const { address } of stage.dials) chosen.add(address);
    }
    expect(chosen.size).toBeGreaterThan(8);
  });

  test("dials under way count", async () => {
    const stage = await start({ answer: "hang", degree: 3 });
    stage.connections.setTargets(targets);
    await stage.time.run(9000);
    expect(stage.dials.length).toBe(3);
  });

  test("one that ends is replaced", async () => {
    const stage = await start({ degree: 3 });
    stage.connections.setTargets(targets.slice(0, 5));
    await stage.time.run(10);
    stage.greetAll();
    stage.connections.ended(0, stage.nodeIdOf(0), "lost");
    await stage.time.run(100);
    expect(stage.dials.length).toBe(4);
  });

  test("one more roams, so that two halves of a healed partition meet", async () => {
    const stage = await start({ degree: 2 });
    stage.connections.setTargets(targets.slice(0, 6));
    for (let minute = 0; minute < 60; minute++) {
      await stage.time.run(MINUTE_MS);
      stage.greetAll();
      expect(stage.channels.filter(({ closed }) => !closed).length).toBeLessThanOrEqual(3);
    }
    expect(new Set(stage.dials.map(({ address }) => address)).size).toBe(6);
    // The two that are kept are kept.
    expect(stage.channels.slice(0, 2).map(({ closed }) => closed)).toEqual([false, false]);
  });

  test("among 300 replicas it roams a third as often as among 100", async () => {
    const roamed: number[] = [];
    for (const count of [100, 300]) {
      const stage = await start({ degree: 2 });
      stage.connections.setTargets(
        Array.from({ length: count }, (_, n) => ({ nodeId: `n${n}`, addresses: [`x:${n}`] })),
      );
      for (let minute = 0; minute < 60; minute++) {
        await stage.time.run(MINUTE_MS);
        stage.greetAll();
      }
      roamed.push(stage.dials.length - 2);
    }
    expect(roamed[0]).toBeGreaterThan(30);
    expect(roamed[1]! / roamed[0]!).toBeCloseTo(1 / 3, 1);
  });

  test("the one that roams stays in the place of one that was lost", async () => {
    const stage = await start({ degree: 2 });
    stage.connections.setTargets(targets.slice(0, 6));
    await stage.time.run(MINUTE_MS);
    stage.greetAll();
    expect(stage.channels.length).toBe(3);
    // Not the first: that is our successor, and another one takes its place.
    stage.connections.ended(1, stage.nodeIdOf(1), "lost");
    await stage.time.run(2 * MINUTE_MS);
    expect(stage.channels[2]?.closed).toBe(false);
  });

  test("nothing roams where everybody is dialed", async () => {
    const stage = await start({});
    stage.connections.setTargets(targets.slice(0, 8));
    await stage.time.run(10);
    stage.greetAll();
    await stage.time.run(60 * MINUTE_MS);
    expect(stage.dials.length).toBe(8);
  });
});

describe("one that was lost is back", () => {
  const seeds = ["x:a", "x:b", "x:c", "x:d"];
  const back = new Set<string>();
  const answer = (address: string): Answer => (back.has(address) ? "open" : "fail");
  const dialsOf = (stage: Stage): number[] => seeds.map((seed) => stage.dialed(seed));
  afterEach(() => back.clear());

  /** Nobody was reached for a minute, so that the next attempts are 15 s and more away; then x:a is. */
  async function untilOneIsBack(script: Partial<Script> = {}): Promise<{ stage: Stage; before: number[] }> {
    const stage = await start({ seeds, answer, fraction: 0, ...script });
    await stage.time.run(MINUTE_MS);
    back.add("x:a");
    for (let n = 0; n < 400 && stage.channels.length === 0; n += 1) await stage.time.run(100);
    // They waited equally long, and have all been dialed a moment ago.
    await stage.time.run(100);
    return { stage, before: dialsOf(stage) };
  }

  test("ends the waits for all others, once", async () => {
    const { stage, before } = await untilOneIsBack();
    stage.connections.connected(0, "a");
    await stage.time.run(24);
    expect(dialsOf(stage)).toEqual(before);
    back.add("x:b");
    await stage.time.run(26);
    expect(dialsOf(stage)).toEqual([before[0]!, before[1]! + 1, before[2]! + 1, before[3]! + 1]);
    await stage.time.run(5000);
    expect(dialsOf(stage)).toEqual([before[0]!, before[1]! + 1, before[2]! + 1, before[3]! + 1]);
  });

  test("also when it has dialed us", async () => {
    const { stage, before } = await untilOneIsBack();
    stage.connections.setTargets([{ nodeId: "c", addresses: ["x:c"] }]);
    await stage.time.run(1);
    stage.connections.connected(stage.accept(), "c");
    await stage.time.run(50);
    expect(dialsOf(stage)).toEqual([before[0]!, before[1]! + 1, before[2]!, before[3]! + 1]);
  });

  test("but one that was never lost ends no waits", async () => {
    const { stage, before } = await untilOneIsBack();
    stage.connections.connected(stage.accept(), "new");
    await stage.time.run(5000);
    expect(dialsOf(stage)).toEqual(before);
  });

  test("nor does anything end the wait for one that has refused us", async () => {
    const { stage } = await untilOneIsBack({ answer: (address) => (address === "x:b" ? "refuse" : answer(address)) });
    const refused = stage.dialed("x:b");
    stage.connections.connected(0, "a");
    await stage.time.run(5000);
    expect(stage.dialed("x:b")).toBe(refused);
  });

  test("one that comes and goes makes no storm: those who stay away are dialed once in two seconds at most", async () => {
    const { stage, before } = await untilOneIsBack();
    stage.connections.connected(0, "a");
    stage.connections.ended(0, "a", "lost");
    back.clear();
    const beginMs = stage.time.now();
    for (let round = 0; round < 40; round += 1) {
      const session = stage.accept();
      stage.connections.connected(session, "a");
      await stage.time.run(100);
      stage.connections.ended(session, "a", "lost");
      await stage.time.run(150);
    }
    const seconds = (stage.time.now() - beginMs) / 1000;
    for (const away of [1, 2, 3]) expect(dialsOf(stage)[away]! - before[away]!).toBeLessThanOrEqual(seconds / 2);
  });
});

describe("backing off", () => {
  test.each([
    [0, [125, 250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000]],
    [1 - 2 ** -32, [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]],
  ])("doubles from 250 ms to 30 s, with jitter at fraction %d", async (fraction, expected) => {
    const stage = await start({ seeds: ["x:a"], answer: "fail", fraction });
    await stage.time.run(3 * MINUTE_MS);
    const gaps = stage.dials.slice(1).map(({ atMs }, n) => Math.round(atMs - stage.dials[n]!.atMs));
    expect(gaps.slice(0, 9)).toEqual(expected);
  });

  test.each([
    [4999, 4],
    [5000, 1],
  ])("after a session of %i ms, attempt number %i comes next", async (lastedMs, attempt) => {
    // Three attempts fail, then a session comes up.
    const stage = await start({
      seeds: ["x:a"],
      fraction: 0,
      answer: () => (stage.dials.length > 3 ? "open" : "fail"),
    });
    await stage.time.run(125 + 250 + 500);
    expect(stage.dials.length).toBe(4);
    stage.connections.connected(0, "a");
    await stage.time.run(lastedMs);
    stage.connections.ended(0, "a", "lost");
    const delayMs = 125 * 2 ** (attempt - 1);
    await stage.time.run(delayMs - 1);
    expect(stage.dials.length).toBe(4);
    await stage.time.run(1);
    expect(stage.dials.length).toBe(5);
  });

  test("a peer that we accepted and lost is not dialed at once: it dials too", async () => {
    const stage = await start({ fraction: 0 });
    stage.connections.connected(stage.accept(), "a");
    stage.connections.setTargets([{ nodeId: "a", addresses: ["x:a"] }]);
    await stage.time.run(10_000);
    stage.connections.ended(0, "a", "lost");
    await stage.time.run(124);
    expect(stage.dials.length).toBe(0);
    await stage.time.run(1);
    expect(stage.dials.length).toBe(1);
  });

  test.each(["cluster-mismatch", "protocol-version", "unauthenticated"])(
    "after %s the next attempt is minutes away",
    async (code) => {
      const stage = await start({ seeds: ["x:a"], fraction: 0 });
      await stage.time.run(1);
      stage.connections.ended(0, undefined, code);
      await stage.time.run(150_000 - 2);
      expect(stage.dials.length).toBe(1);
      await stage.time.run(2);
      expect(stage.dials.length).toBe(2);
    },
  );

  test("so it is after a dial that was refused for what we could not prove", async () => {
    const stage = await start({ seeds: ["x:a"], fraction: 0, answer: "refuse" });
    await stage.time.run(150_000 - 1);
    expect(stage.dials.length).toBe(1);
    await stage.time.run(2);
    expect(stage.dials.length).toBe(2);
  });

  test("an address at which we find ourselves is tried again, ever more rarely: a balancer may be behind it", async () => {
    const stage = await start({ seeds: ["x:balancer"], fraction: 0 });
    const intervals: number[] = [];
    for (let dials = 1; dials <= 12; dials++) {
      const beginMs = stage.time.now();
      while (stage.dials.length < dials) await stage.time.run(5);
      intervals.push(stage.time.now() - beginMs);
      stage.connections.ended(dials - 1, "self", "self");
    }
    expect(intervals[1]).toBeLessThan(1000);
    expect(intervals.at(-1)).toBeGreaterThanOrEqual(15_000);
  });

  test("failures are reported, with their address", async () => {
    const stage = await start({ seeds: ["x:a"], answer: "fail" });
    await stage.time.run(1);
    expect(stage.failures).toEqual(["x:a: Error: nobody at x:a"]);
  });
});

describe("the deadline of a dial", () => {
  test("a dial is given up after 10 s, and what comes of it later is closed", async () => {
    const stage = await start({ seeds: ["x:a"], answer: "hang", fraction: 0 });
    await stage.time.run(9999);
    expect(stage.dials[0]?.signal.aborted).toBe(false);
    await stage.time.run(1);
    expect(stage.dials[0]?.signal.aborted).toBe(true);
    expect(stage.failures).toEqual(["x:a: Error: no answer within 10000 ms"]);
    const late = stage.dials[0]!.succeed();
    await stage.time.run(125);
    expect(late.closed).toBe(true);
    expect(stage.sessions).toEqual([]);
    expect(stage.dials.length).toBe(2);
  });
});

describe("close", () => {
  test("gives up dials, closes the transport once, and hands nothing over any more", async () => {
    const stage = await start({ seeds: ["x:a"], answer: "hang" });
    await stage.time.run(1);
    await Promise.all([stage.connections.close(), stage.connections.close()]);
    expect(stage.transportCloses).toBe(1);
    expect(stage.dials[0]?.signal.aborted).toBe(true);
    const late = stage.dials[0]!.succeed();
    stage.accept();
    stage.connections.setTargets([{ nodeId: "b", addresses: ["x:b"] }]);
    await stage.time.run(MINUTE_MS);
    stage.connections.connected(7, "b");
    expect(late.closed).toBe(true);
    expect(stage.sessions).toEqual([]);
    expect(stage.dials.length).toBe(1);
  });

  test("a session that ends while it is handed over is dialed again", async () => {
    const stage = await start({ seeds: ["x:a"], fraction: 0, endAtOnce: true });
    await stage.time.run(125);
    expect(stage.dials.length).toBe(2);
  });
});

interface Script {
  own?: string[];
  seeds?: string[];
  degree?: number;
  /** What a dial comes to. Default "open". */
  answer?: Answer | ((address: string) => Answer);
  listenError?: Error;
  /** Every random number. Default: pseudo-random from `seed`. */
  fraction?: number;
  seed?: number;
  /** The caller ends every session before it has a name. */
  endAtOnce?: boolean;
}

type Answer = "open" | "fail" | "refuse" | "hang";

interface Dial {
  readonly address: string;
  readonly atMs: number;
  readonly signal: AbortSignal;
  /** Settles a dial that hangs. */
  readonly succeed: () => FakeChannel;
}

/** Connections between a transport that follows a script and a caller that notes what it is given. */
class Stage {
  readonly time = new VirtualTime();
  readonly dials: Dial[] = [];
  readonly channels: FakeChannel[] = [];
  readonly sessions: { dialed: boolean; remote: string }[] = [];
  readonly failures: string[] = [];
  readonly seeds: string[];
  readonly connections: Connections;
  addresses: readonly string[] = [];
  host: TransportHost | undefined;
  transportCloses = 0;
  readonly #greeted = new Set<number>();

  constructor(script: Script) {
    this.seeds = script.seeds ?? [];
    const transport: Transport = {
      listen: async (host) => {
        if (script.listenError !== undefined) throw script.listenError;
        this.host = host;
        return script.own ?? [];
      },
      seeds: () => this.seeds,
      dial: (address, signal) =>
        new Promise((resolve, reject) => {
          const succeed = (): FakeChannel => {
            const channel = new FakeChannel(address, (closed) => this.#onClose(closed));
            resolve(channel);
            return channel;
          };
          this.dials.push({ address, atMs: this.time.now(), signal, succeed });
          const { answer = "open" } = script;
          const outcome = typeof answer === "string" ? answer : answer(address);
          if (outcome === "open") this.channels.push(succeed());
          if (outcome === "refuse") reject(new ReplicaError("ERR_AUTH", "another secret"));
          if (outcome === "fail") reject(new Error(`nobody at ${address}`));
        }),
      close: async () => {
        this.transportCloses += 1;
      },
    };
    this.connections = new Connections({
      transport,
      timers: this.time,
      random: randomOf(script),
      nodeId: "self" as NodeId,
      clusterId: "test",
      ...(script.degree === undefined ? {} : { degree: script.degree }),
      onChannel: (channel, dialed) => {
        const session = this.sessions.push({ dialed, remote: channel.remote }) - 1;
        if (script.endAtOnce === true) this.connections.ended(session, undefined, "too-many-peers");
        return session;
      },
      onFailed: (address, error) => this.failures.push(`${address}: ${String(error)}`),
    });
  }

  /** Somebody dials us. Returns the session. */
  accept(): number {
    this.host?.accept(new FakeChannel("accepted", () => {}));
    return this.last();
  }

  last(): number {
    return this.sessions.length - 1;
  }

  dialed(address: string): number {
    return this.dials.filter((dial) => dial.address === address).length;
  }

  /** In these tests replica n3 is at x:3. */
  nodeIdOf(session: number): string {
    return this.sessions[session]!.remote.replace("x:", "n");
  }

  /** All sessions come up that have not. */
  greetAll(): void {
    for (let session = this.#greeted.size; session < this.sessions.length; session++) {
      this.#greeted.add(session);
      this.connections.connected(session, this.nodeIdOf(session));
    }
  }

  #onClose(channel: FakeChannel): void {
    const session = this.channels.indexOf(channel);
    if (session >= 0) this.time.after(1, () => this.connections.ended(session, this.nodeIdOf(session), "lost"));
  }
}

async function start(script: Script): Promise<Stage> {
  const stage = new Stage(script);
  stage.addresses = await stage.connections.open();
  stages.push(stage);
  return stage;
}

class FakeChannel implements Channel {
  readonly remote: string;
  closed = false;
  readonly #onClose: (channel: FakeChannel) => void;

  constructor(remote: string, onClose: (channel: FakeChannel) => void) {
    this.remote = remote;
    this.#onClose = onClose;
  }

  start(): void {}

  send(): void {}

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#onClose(this);
  }
}

function randomOf({ fraction, seed = 1 }: Script): Random {
  let state = seed;
  return {
    hex64: () => "0".repeat(16),
    fraction: () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return fraction ?? state / 2 ** 32;
    },
  };
}
