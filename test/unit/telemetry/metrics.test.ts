/** What a replica says it has done is what it has done: metrics, diagnostics channels, and the text of Prometheus. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { afterEach, describe, expect, test } from "vitest";
import type { DiagnosticsMessages } from "wavekv";
import { prometheusText } from "wavekv/prometheus";
import { inProcessNetwork } from "wavekv/transports/in-process";
import type { DiskFile } from "../../../src/storage/disk.ts";
import { diskError, MemoryDisk } from "../../../src/storage/memory-disk.ts";
import { HistogramCounter } from "../../../src/telemetry/histogram.ts";
import { VirtualTime } from "../../models/virtual-time.ts";
import { failureOf, open, turn, until } from "../replica/stage.ts";
import { parseExposition } from "./exposition.ts";

test("a value on a bound falls into the range that the bound ends", () => {
  const histogram = new HistogramCounter([1, 10]);
  for (const value of [0, 1, 1.01, 10, 10.01, 1e9]) histogram.record(value);
  expect(histogram.snapshot()).toEqual({ bounds: [1, 10], counts: [2, 2, 2], count: 6, sum: 1e9 + 22.02 });
});

const failing = (): never => {
  throw diskError("EIO", "told to");
};

/** A disk in memory on which something happens at every sync and rename. */
class MovedDisk extends MemoryDisk {
  onSync: () => void = () => undefined;
  onRename: () => void = () => undefined;

  override async create(path: string): Promise<DiskFile> {
    const file = await super.create(path);
    const sync = file.sync.bind(file);
    return Object.assign(file, {
      sync: async () => {
        this.onSync();
        await sync();
      },
    });
  }

  override async rename(from: string, to: string): Promise<void> {
    this.onRename();
    await super.rename(from, to);
  }
}

describe("metrics", () => {
  test("count what was written, once it is durable", async () => {
    const replica = await open({ directory: "/data", disk: new MemoryDisk() });
    await replica.flush();
    const before = replica.metrics();
    await replica.put("a", 1);
    await replica.batch([
      { type: "put", key: "b", value: 2 },
      { type: "put", key: "c", value: 3 },
      { type: "del", key: "a" },
    ]);
    await replica.delete("absent");
    void replica.put("b", 4);
    void replica.put("c", 5);
    await replica.flush();
    const { writes, commits, disk, store } = replica.metrics();
    // The record by which a replica announces itself is a write as well.
    expect(before.writes).toEqual({ puts: 1, deletes: 0, batches: 1, refused: {} });
    expect(writes).toEqual({ puts: 6, deletes: 1, batches: 5, refused: {} });
    expect(store).toMatchObject({ entries: 2, tombstones: 1, expired: 0 });
    // Put, batch, and the last two together.
    expect(commits.durationMs.count - before.commits.durationMs.count).toBe(3);
    expect(commits.operations.sum - before.commits.operations.sum).toBeGreaterThanOrEqual(6);
    expect(disk.syncMs.count - before.disk.syncMs.count).toBeGreaterThanOrEqual(3);
    expect(disk.recordBytes.sum).toBeGreaterThan(before.disk.recordBytes.sum);
  });

  test("count what is refused, by code", async () => {
    const replica = await open({ limits: { maxValueBytes: 10 } });
    await failureOf(() => replica.put("", 1));
    await failureOf(() => replica.put("k", () => 1));
    await failureOf(() => replica.put("k", "x".repeat(20)));
    await failureOf(() => replica.put("k", "x".repeat(20)));
    expect(replica.metrics().writes).toMatchObject({
      puts: 1,
      refused: { ERR_KEY: 1, ERR_VALUE: 1, ERR_LIMIT: 2 },
    });
  });

  test("have a duration of each commit, sync and checkpoint, by the clock that the replica has", async () => {
    const time = new VirtualTime();
    const disk = new MovedDisk();
    disk.onSync = () => time.advance(7);
    const replica = await open({ directory: "/data", disk, clock: time, timers: time });
    await replica.flush();
    const before = replica.metrics();
    await replica.put("a", 1);
    const after = replica.metrics();
    expect(after.commits.durationMs.sum - before.commits.durationMs.sum).toBe(7);
    expect(after.disk.syncMs.sum - before.disk.syncMs.sum).toBe(7);
    expect(after.disk.checkpointMs.count).toBe(0);
    await replica.checkpoint();
    const { checkpointMs, checkpointFailures } = replica.metrics().disk;
    expect(checkpointMs.count).toBe(1);
    expect(checkpointMs.sum).toBeGreaterThanOrEqual(7);
    expect(checkpointFailures).toBe(0);
  });

  test("count what expires and who lags", async () => {
    const time = new VirtualTime();
    const replica = await open({ clock: time, timers: time });
    await replica.put("a", 1, { ttlMs: 1000 });
    const watch = replica.watch();
    await time.run(1100);
    expect(replica.metrics()).toMatchObject({ store: { expired: 1 }, watchers: { open: 1, lagged: 0 } });
    const keys = Array.from({ length: 8192 }, (_, index) => `key-${index}`);
    for (let round = 0; round < 2; round++) {
      await replica.batch(keys.map((key) => ({ type: "put", key, value: round })));
    }
    expect(replica.metrics().watchers).toEqual({ open: 1, lagged: 1 });
    await watch.return?.();
    expect(replica.metrics().watchers).toEqual({ open: 0, lagged: 1 });
  });

  test("count what goes to peers and comes from them, and keep it when they have gone", async () => {
    const time = new VirtualTime();
    const network = inProcessNetwork({ time });
    const ports = () => ({ clock: time, timers: time, transport: network.transport() });
    const a = await open({ nodeId: "a", ...ports() });
    const b = await open({ nodeId: "b", ...ports(), limits: { maxValueBytes: 200 } });
    await time.run(2000);
    // Both may have dialed at one moment: what was on the connection that was given up is lost.
    const [a0, b0] = [a.metrics(), b.metrics()];
    expect(b0.sessions).toMatchObject({
      begun: b0.messages.received.hello,
      catchUpMs: { count: expect.any(Number) as unknown },
    });
    expect(b0.sessions.catchUpMs.count).toBeGreaterThanOrEqual(1);
    await a.put("k", 1);
    await a.put("long", "x".repeat(500));
    await time.run(500);
    const [a1, b1] = [a.metrics(), b.metrics()];
    expect(b1.messages.received.page - b0.messages.received.page).toBe(2);
    expect(a1.messages.sent.page - a0.messages.sent.page).toBe(2);
    expect(b1.traffic.entriesReceived - b0.traffic.entriesReceived).toBe(2);
    expect(a1.traffic.entriesSent - a0.traffic.entriesSent).toBe(2);
    expect(b1.traffic.bytesReceived - b0.traffic.bytesReceived).toBe(a1.traffic.bytesSent - a0.traffic.bytesSent);
    expect(b1.rejects["value-too-long"]).toBeGreaterThanOrEqual(1);
    expect(b1.queues.quarantine).toBe(1);
    expect(Object.keys(b1.peers)).toEqual(["a"]);
    expect(a1.peers.b).toMatchObject({ state: "live", lagEntries: 1 });
    expect(b1.members).toBe(2);
    // What the peer wrote is no write of ours.
    expect(b1.writes.puts).toBe(b0.writes.puts);
    const closed = a.close();
    await time.run(500);
    await closed;
    const b2 = b.metrics();
    expect(b2.rejects["value-too-long"]).toBeGreaterThanOrEqual(b1.rejects["value-too-long"]!);
    expect(b2.sessions.ended).toMatchObject({ closing: 1 });
    expect(b2.queues.quarantine).toBe(0);
    expect(b2.peers.a?.state).toBe("down");
  });

  test("say when the log has failed", async () => {
    const disk = new MovedDisk();
    const replica = await open({ directory: "/data", disk });
    await replica.flush();
    expect(replica.metrics().disk.failed).toBe(false);
    disk.onSync = failing;
    expect((await failureOf(() => replica.put("a", 1))).code).toBe("ERR_STORAGE_FAILED");
    expect((await failureOf(() => replica.put("a", 1))).code).toBe("ERR_STORAGE_FAILED");
    const metrics = replica.metrics();
    expect(metrics).toMatchObject({ health: "red", disk: { failed: true }, writes: { puts: 1 } });
    expect(metrics.writes.refused).toEqual({ ERR_STORAGE_FAILED: 1 });
  });

  test("are plain data, and of one moment", async () => {
    const replica = await open({ directory: "/data", disk: new MemoryDisk() });
    const metrics = replica.metrics();
    const text = JSON.stringify(metrics);
    await replica.put("a", 1);
    expect(JSON.stringify(metrics)).toBe(text);
    expect(structuredClone(metrics)).toEqual(metrics);
    await replica.close();
    expect((await failureOf(() => replica.metrics())).code).toBe("ERR_CLOSED");
  });
});

describe("diagnostics channels", () => {
  const subscriptions: (() => void)[] = [];
  afterEach(() => {
    for (const stop of subscriptions.splice(0)) stop();
  });

  function heard<K extends keyof DiagnosticsMessages>(name: K, nodeId: string): DiagnosticsMessages[K][] {
    const messages: DiagnosticsMessages[K][] = [];
    const onMessage = (message: unknown): void => {
      // Other tests of this process publish too.
      if ((message as { nodeId: string }).nodeId === nodeId) messages.push(message as DiagnosticsMessages[K]);
    };
    subscribe(name, onMessage);
    subscriptions.push(() => unsubscribe(name, onMessage));
    return messages;
  }

  test("tell of commits, syncs and checkpoints", async () => {
    const replica = await open({ nodeId: "told", directory: "/data", disk: new MemoryDisk() });
    await replica.flush();
    const commits = heard("wavekv:commit", "told");
    const syncs = heard("wavekv:sync", "told");
    const checkpoints = heard("wavekv:checkpoint", "told");
    await replica.put("a", 1);
    const duration = expect.any(Number) as unknown;
    expect(commits).toEqual([{ nodeId: "told", operations: 1, durationMs: duration }]);
    expect(syncs).toEqual([{ nodeId: "told", path: "/data/0000000001.log", durationMs: duration }]);
    await replica.checkpoint();
    expect(checkpoints).toEqual([{ nodeId: "told", ok: true, durationMs: duration }]);
  });

  test("tell of a checkpoint that fails, and of warnings", async () => {
    const disk = new MovedDisk();
    const replica = await open({ nodeId: "failing", directory: "/data", disk });
    const checkpoints = heard("wavekv:checkpoint", "failing");
    const warnings = heard("wavekv:warning", "failing");
    await replica.put("a", 1);
    disk.onRename = failing;
    await failureOf(() => replica.checkpoint());
    expect(checkpoints).toMatchObject([{ ok: false }]);
    expect(replica.metrics().disk).toMatchObject({ checkpointFailures: 1, checkpointMs: { count: 0 } });
    disk.onSync = failing;
    await failureOf(() => replica.put("a", 1));
    expect(warnings).toMatchObject([{ message: expect.stringContaining("the log has failed") as unknown }]);
  });

  test("tell of sessions from their beginning to their end", async () => {
    const network = inProcessNetwork();
    const sessions = heard("wavekv:session", "here");
    await open({ nodeId: "here", transport: network.transport() });
    const there = await open({ nodeId: "there", transport: network.transport() });
    await until(() => sessions.some(({ type }) => type === "live"), "it is live");
    await there.close();
    await until(() => sessions.at(-1)?.type === "end", "it has ended");
    // Both may have dialed at one moment: then one of the two connections has ended as a duplicate, perhaps the one that was live.
    expect(sessions[0]).toEqual({ nodeId: "here", type: "up", peer: "there" });
    expect(sessions.find(({ type }) => type === "live")).toEqual({ nodeId: "here", type: "live", peer: "there" });
    const detail = expect.any(String) as unknown;
    expect(sessions.at(-1)).toEqual({ nodeId: "here", type: "end", peer: "there", code: "closing", detail });
  });
});

describe("the text of Prometheus", () => {
  test("keeps to the grammar, and says what the metrics say", async () => {
    const network = inProcessNetwork();
    const replica = await open({
      nodeId: 'quote " back \\ slash',
      directory: "/data",
      disk: new MemoryDisk(),
      transport: network.transport(),
    });
    await open({ nodeId: "other", transport: network.transport() });
    await until(() => replica.status().peers.other?.state === "live", "it is live");
    await replica.put("a", 1);
    await failureOf(() => replica.put("", 1));
    await turn();
    const metrics = replica.metrics();
    const families = parseExposition(prometheusText(metrics));
    for (const { samples } of families.values()) {
      for (const { labels } of samples) {
        expect(labels).toMatchObject({ node: 'quote " back \\ slash', cluster: "default" });
      }
    }
    const sampleOf = (name: string, labels: Record<string, string> = {}): number | undefined => {
      const family = families.get(name.replace(/_(?:bucket|sum|count)$/, "")) ?? families.get(name);
      const isAsked = (of: Readonly<Record<string, string>>) =>
        Object.entries(labels).every(([key, text]) => of[key] === text);
      return family?.samples.find((sample) => sample.name === name && isAsked(sample.labels))?.value;
    };
    expect(sampleOf("wavekv_entries")).toBe(1);
    expect(sampleOf("wavekv_writes_total", { type: "put" })).toBe(metrics.writes.puts);
    expect(sampleOf("wavekv_writes_refused_total", { code: "ERR_KEY" })).toBe(1);
    expect(sampleOf("wavekv_health", { state: metrics.health })).toBe(1);
    expect(sampleOf("wavekv_peer_up", { peer: "other" })).toBe(1);
    expect(sampleOf("wavekv_messages_sent_total", { type: "hello" })).toBe(metrics.messages.sent.hello);
    expect(sampleOf("wavekv_sync_duration_seconds_count")).toBe(metrics.disk.syncMs.count);
    expect(sampleOf("wavekv_sync_duration_seconds_sum")).toBe(metrics.disk.syncMs.sum / 1000);
    expect(sampleOf("wavekv_sync_duration_seconds_bucket", { le: "+Inf" })).toBe(metrics.disk.syncMs.count);
    expect(sampleOf("wavekv_sync_duration_seconds_bucket", { le: "60" })).toBe(metrics.disk.syncMs.count);
  });

  test.each([
    ['a{b="c"} 1', "no TYPE"],
    ["# TYPE a counter\na 1", "end in _total"],
    ["# TYPE a gauge\n# TYPE a gauge", "twice"],
    ["# TYPE a gauge\na{b=c} 1", "no sample"],
    ['# TYPE a gauge\na{b="x"} 1\na{b="x"} 2', "twice"],
    ["# TYPE a gauge\na one", "no sample"],
    ['# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\na_sum 1\na_count 1', "cumulative"],
    ['# TYPE a histogram\na_bucket{le="1"} 1\na_sum 1\na_count 1', "\\+Inf"],
    ["# TYPE a gauge\na 1", undefined],
  ])("the parser of this test objects to %j", (text, complaint) => {
    const parse = (): unknown => parseExposition(`${text}\n`);
    if (complaint === undefined) expect(parse).not.toThrow();
    else expect(parse).toThrow(new RegExp(complaint));
  });
});
