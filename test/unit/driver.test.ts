/** The order in which a record becomes durable, is sent, is published and resolves; and what a failure stops. */
import { describe, expect, test } from "vitest";
import { decodeMessage, encodeBody, frameOf } from "../../src/codec/messages.ts";
import { CoreState } from "../../src/core/core-state.ts";
import { Driver, type Log } from "../../src/driver.ts";
import { ReplicaError } from "../../src/errors.ts";
import { ANSWERS_A_TURN, INBOX_ENTRY_BYTES, INBOX_TURN_BYTES, TURN_BYTES } from "../../src/limits.ts";
import type { SessionEvent } from "../../src/sync/committed.ts";
import type { Message } from "../../src/sync/messages.ts";
import { Replicator } from "../../src/sync/replicator.ts";
import { Telemetry } from "../../src/telemetry/telemetry.ts";
import type { ChannelReceiver } from "../../src/transport.ts";
import { type Epoch, makeOrigin, type NodeId } from "../../src/types.ts";
import { VirtualTime } from "../models/virtual-time.ts";

interface Append {
  readonly keys: string[];
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** A driver around a real replicator, with a log and a channel whose every step the test decides. */
class Stage {
  readonly time = new VirtualTime();
  readonly state = new CoreState(makeOrigin("n" as NodeId, "0123456789abcdef" as Epoch));
  readonly appends: Append[] = [];
  /** Everything that leaves the driver, in order. */
  readonly trace: string[] = [];
  readonly events: SessionEvent[] = [];
  readonly driver: Driver;
  readonly replicator: Replicator;
  hasListeners = false;
  receiver: ChannelReceiver | undefined;
  #frames = 0;

  constructor({ memory = false } = {}) {
    this.replicator = new Replicator({
      state: this.state,
      clusterId: "test",
      incarnation: "1".repeat(16),
      limits: { maxKeyBytes: 100, maxValueBytes: 100, maxKeys: 1e6, maxBytes: 1e9, maxDriftMs: 60_000 },
      isReadable: () => true,
      nextEpoch: (epoch) => epoch,
    });
    const log: Log = {
      append: (ops) =>
        new Promise((resolve, reject) => {
          const keys = ops.flatMap((op) => (op.type === "set" ? [Buffer.from(op.entry.key).toString()] : []));
          this.appends.push({ keys, resolve, reject });
        }),
    };
    this.driver = new Driver({
      replicator: this.replicator,
      log: memory ? undefined : log,
      clock: this.time,
      timers: this.time,
      telemetry: new Telemetry(() => this.time.now()),
      publish: (changes) => {
        for (const { entry } of changes) this.trace.push(`publish ${Buffer.from(entry.key).toString()}`);
      },
      onEvent: (event) => {
        this.events.push(event);
        this.trace.push(`event ${event.type}, ${[...this.replicator.sessions].length} sessions`);
      },
      onFailure: (error) => this.trace.push(`failed ${error.code}`),
      hasListeners: () => this.hasListeners,
      onStep: () => undefined,
    });
  }

  write(key: string): Promise<unknown> {
    this.replicator.write([{ key: Buffer.from(key), value: Uint8Array.of(1), expiresAt: 0 }], this.time.now());
    this.driver.wake();
    const done = this.driver.durable(this.state.lsn, key);
    done.then(
      (value) => this.trace.push(`resolve ${value}`),
      (error: unknown) => this.trace.push(`reject ${(error as ReplicaError).code}`),
    );
    return done;
  }

  /** A peer that has said hello. */
  connect(): void {
    this.driver.attach(
      {
        remote: "there",
        start: (receiver) => {
          this.receiver = receiver;
        },
        send: (frame) => {
          const decoded = decodeMessage(frame);
          if (decoded.type !== "message") return;
          const { message } = decoded;
          const keys =
            message.type === "page" ? message.entries.map(({ key }) => ` ${Buffer.from(key).toString()}`) : [];
          this.trace.push(`send ${message.type}${keys.join("")}`);
        },
        close: () => this.trace.push("close"),
      },
      true,
    );
    this.receive({
      type: "hello",
      versionMin: 1,
      versionMax: 1,
      clusterId: "test",
      nodeId: "peer" as NodeId,
      epoch: "f".repeat(16) as Epoch,
      incarnation: "2".repeat(16),
      vector: [],
      addresses: [],
      links: [],
      wallClock: this.time.now(),
      frontier: [],
      features: 0,
    });
  }

  receive(message: Message): void {
    this.receiver?.frame(frameOf(encodeBody(message), ++this.#frames));
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("with a log", () => {
  test("writes of one turn share a record, what is written meanwhile is the next, one at a time, in order", async () => {
    const stage = new Stage();
    void stage.write("a");
    void stage.write("b");
    expect(stage.appends).toHaveLength(0);
    await turn();
    void stage.write("c");
    await turn();
    void stage.write("d");
    await turn();
    expect(stage.appends.map(({ keys }) => keys)).toEqual([["a", "b"]]);
    expect(stage.trace).toEqual([]);
    stage.appends[0]!.resolve();
    await turn();
    expect(stage.appends.map(({ keys }) => keys)).toEqual([
      ["a", "b"],
      ["c", "d"],
    ]);
    stage.appends[1]!.resolve();
    await turn();
    const published = (...keys: string[]) => keys.map((key) => `publish ${key}`);
    const resolved = (...keys: string[]) => keys.map((key) => `resolve ${key}`);
    expect(stage.trace).toEqual([
      ...published("a", "b"),
      ...resolved("a", "b"),
      ...published("c", "d"),
      ...resolved("c", "d"),
    ]);
  });

  test("a peer hears of it after the append, before it is published", async () => {
    const stage = new Stage();
    stage.connect();
    await turn();
    stage.trace.length = 0;
    void stage.write("a");
    await turn();
    expect(stage.trace).toEqual([]);
    stage.appends[0]!.resolve();
    await turn();
    expect(stage.trace.slice(0, 3)).toEqual(["send page a", "publish a", "resolve a"]);
  });

  test("what is durable already waits for nobody, unless a record is on its way", async () => {
    const stage = new Stage();
    await stage.driver.durable(0, undefined);
    void stage.write("a");
    let resolved = false;
    void stage.driver.durable(0, undefined).then(() => {
      resolved = true;
    });
    await turn();
    expect(resolved).toBe(false);
    stage.appends[0]!.resolve();
    await turn();
    expect(resolved).toBe(true);
    expect(stage.trace).toEqual(["publish a", "resolve a"]);
  });

  /** So many writes of one record, which has just become durable. */
  async function durableAtOnce(stage: Stage, count: number): Promise<void> {
    for (let at = 0; at < count; at++) stage.write(`${at}`).catch(() => undefined);
    await turn();
    stage.appends[0]!.resolve();
    await turn();
  }

  const resolvedOf = (stage: Stage): string[] => stage.trace.filter((step) => step.startsWith("resolve"));

  test("of many that share a record a turn answers some; what they write waits for the others to be answered", async () => {
    const stage = new Stage();
    const count = 2 * ANSWERS_A_TURN + 1;
    await durableAtOnce(stage, count);
    expect(resolvedOf(stage)).toHaveLength(ANSWERS_A_TURN);
    expect(stage.driver.waiting).toBe(ANSWERS_A_TURN + 1);
    void stage.write("again");
    // It is durable already, and yet behind those who came before.
    let late = false;
    void stage.driver.durable(0, undefined).then(() => {
      late = true;
    });
    stage.time.oneTurn();
    await turn();
    expect(resolvedOf(stage)).toHaveLength(2 * ANSWERS_A_TURN);
    expect(stage.appends).toHaveLength(1);
    stage.time.oneTurn();
    await turn();
    expect(resolvedOf(stage)).toEqual(Array.from({ length: count }, (_, at) => `resolve ${at}`));
    expect(stage.appends.map(({ keys }) => keys.length)).toEqual([count, 1]);
    expect(late).toBe(false);
    stage.appends[1]!.resolve();
    await turn();
    expect([late, stage.driver.waiting]).toEqual([true, 0]);
    expect(resolvedOf(stage).at(-1)).toBe("resolve again");
  });

  test("a failure while some are still to be answered: what is durable resolves, what is not rejects", async () => {
    const stage = new Stage();
    await durableAtOnce(stage, ANSWERS_A_TURN + 2);
    const again = stage.write("again");
    stage.driver.fail(new ReplicaError("ERR_STORAGE_FULL", "full"));
    await expect(again).rejects.toMatchObject({ code: "ERR_STORAGE_FULL" });
    expect(resolvedOf(stage)).toHaveLength(ANSWERS_A_TURN + 2);
    expect(stage.time.pending).toBe(0);
    await stage.time.run(0);
    expect(stage.appends).toHaveLength(1);
  });

  test("a failed append: all that wait reject, channels close, nothing is sent, published or appended again", async () => {
    const stage = new Stage();
    stage.connect();
    await turn();
    stage.trace.length = 0;
    const writes = [stage.write("a")];
    await turn();
    writes.push(stage.write("b"));
    stage.appends[0]!.reject(new ReplicaError("ERR_STORAGE_FULL", "full"));
    const outcomes = await Promise.allSettled(writes);
    expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(stage.trace).toEqual([
      "close",
      "failed ERR_STORAGE_FULL",
      "reject ERR_STORAGE_FULL",
      "reject ERR_STORAGE_FULL",
    ]);
    stage.trace.length = 0;
    stage.receive({ type: "probe", digest: "0".repeat(16), wallClock: stage.time.now() });
    stage.driver.wake();
    await stage.time.run(60_000);
    await stage.driver.idle();
    expect(stage.trace).toEqual([]);
    expect(stage.appends).toHaveLength(1);
    expect(stage.time.pending).toBe(0);
    await expect(stage.driver.durable(0, "old")).resolves.toBe("old");
    await expect(stage.driver.durable(1, "new")).rejects.toMatchObject({ code: "ERR_STORAGE_FULL" });
  });

  test("a failure while there is more to send than a turn takes: no turn is taken any more", async () => {
    const stage = new Stage();
    const value = new Uint8Array(TURN_BYTES);
    const writes = ["a", "b", "c"].map((key) => ({ key: Buffer.from(key), value, expiresAt: 0 }));
    stage.replicator.write(writes, stage.time.now());
    stage.driver.wake();
    await turn();
    stage.appends[0]!.resolve();
    await turn();
    stage.connect();
    expect(stage.replicator.wantsTurn).toBe(true);
    stage.driver.fail(new ReplicaError("ERR_STORAGE_FULL", "full"));
    stage.trace.length = 0;
    await stage.time.run(1);
    expect([stage.trace, stage.time.pending]).toEqual([[], 0]);
  });

  test("an append that succeeds after the failure is not published, and the first failure counts", async () => {
    const stage = new Stage();
    const write = stage.write("a");
    await turn();
    stage.driver.fail(new ReplicaError("ERR_STORAGE_FAILED", "first"));
    stage.driver.fail(new ReplicaError("ERR_STORAGE_FULL", "second"));
    stage.appends[0]!.resolve();
    await expect(write).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
    await turn();
    expect(stage.trace).toEqual(["failed ERR_STORAGE_FAILED", "reject ERR_STORAGE_FAILED"]);
    expect(stage.driver.failure?.message).toBe("first");
  });

  test("idle waits for the record on its way", async () => {
    const stage = new Stage();
    void stage.write("a");
    let idle = false;
    const waiting = stage.driver.idle().then(() => {
      idle = true;
    });
    await turn();
    expect(idle).toBe(false);
    stage.appends[0]!.resolve();
    await waiting;
    expect(stage.trace).toEqual(["publish a", "resolve a"]);
  });
});

describe("in memory", () => {
  test("with nobody to tell, a write is durable when the call returns, and nothing piles up", () => {
    const stage = new Stage({ memory: true });
    for (let i = 0; i < 100; i++) {
      void stage.write(`k${i}`);
      expect(stage.replicator.hasReady).toBe(false);
      expect(stage.replicator.durable.lsn).toBe(i + 1);
    }
  });

  test("with a watcher or a peer, writes of one turn are gathered", async () => {
    const stage = new Stage({ memory: true });
    stage.hasListeners = true;
    void stage.write("a");
    void stage.write("b");
    expect(stage.trace).toEqual([]);
    await turn();
    expect(stage.trace).toEqual(["publish a", "publish b", "resolve a", "resolve b"]);
    stage.hasListeners = false;
    stage.connect();
    await turn();
    stage.trace.length = 0;
    void stage.write("c");
    void stage.write("d");
    await turn();
    expect(stage.trace[0]).toBe("send page c d");
  });
});

describe("channels", () => {
  test("one that closes: the session is gone when its end is told, and only once", async () => {
    const stage = new Stage();
    stage.connect();
    await turn();
    expect(stage.events.map(({ type }) => type)).toEqual(["up"]);
    stage.receiver?.closed("cable");
    expect(stage.trace.slice(-2)).toEqual(["event end, 0 sessions", "close"]);
    expect(stage.events.at(-1)).toMatchObject({ type: "end", code: "lost", detail: "cable", nodeId: "peer" });
    stage.receive({ type: "probe", digest: "0".repeat(16), wallClock: 0 });
    stage.receiver?.closed("again");
    expect(stage.events).toHaveLength(2);
  });

  test("of pages of small entries one turn takes as many as of larger ones", async () => {
    const stage = new Stage({ memory: true });
    stage.connect();
    await turn();
    const origin = makeOrigin("peer" as NodeId, "f".repeat(16) as Epoch);
    const count = Math.ceil(INBOX_TURN_BYTES / INBOX_ENTRY_BYTES);
    for (const page of [1, 2, 3]) {
      const from = page * count;
      const entries = Array.from({ length: count }, (_, at) => {
        const key = Buffer.from(String(from + at));
        return { key, value: Uint8Array.of(1), stamp: 1, origin, seq: from + at, expiresAt: 0 };
      });
      stage.receive({ type: "page", entries, last: true, runFrom: 0, runTo: 0, mark: null, ackNow: false });
    }
    expect(stage.state.table.size).toBe(count);
    stage.time.advance(0);
    expect(stage.state.table.size).toBe(3 * count);
  });

  test("a frame that is nonsense: goodbye, then the channel is closed", async () => {
    const stage = new Stage();
    stage.connect();
    await turn();
    stage.trace.length = 0;
    stage.receiver?.frame(Uint8Array.of(255, 255, 255));
    expect(stage.trace).toEqual(["send bye", "event end, 0 sessions", "close"]);
  });

  test("bytes are counted, and forgotten with the session", async () => {
    const stage = new Stage();
    stage.connect();
    expect(stage.driver.bytesOf(1).in).toBeGreaterThan(0);
    expect(stage.driver.bytesOf(1).out).toBeGreaterThan(0);
    expect(stage.driver.remoteOf(1)).toBe("there");
    stage.receiver?.closed("");
    expect([stage.driver.bytesOf(1), stage.driver.remoteOf(1)]).toEqual([{ in: 0, out: 0 }, undefined]);
  });

  test("stop says goodbye, cancels the tick and lets what is being committed go on", async () => {
    const stage = new Stage();
    stage.connect();
    await turn();
    void stage.write("a");
    await turn();
    stage.trace.length = 0;
    stage.driver.stop();
    expect(stage.trace).toEqual(["send bye", "event end, 0 sessions", "close"]);
    expect(stage.time.pending).toBe(0);
    stage.appends[0]!.resolve();
    await turn();
    expect(stage.trace.slice(3)).toEqual(["publish a", "resolve a"]);
  });
});
