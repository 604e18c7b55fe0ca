/** Export and import: what comes out goes in again, as a stream, and what cannot is told with its place. */
import { Readable, Writable } from "node:stream";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Replica } from "wavekv";
import {
  type ExportOptions,
  type ExportReport,
  exportBinary,
  exportJson,
  type ImportOptions,
  type ImportProgress,
  type ImportReport,
  type ImportSource,
  importBinary,
  importJson,
} from "wavekv/dump";
import { encodeValue } from "../../../src/codec/values.ts";
import { BLOCK_HEADER_BYTES, DUMP_MAGIC } from "../../../src/dump/binary-format.ts";
import { MemoryDisk } from "../../../src/storage/memory-disk.ts";
import { value } from "../../models/arbitrary-codec.ts";
import { VirtualTime } from "../../models/virtual-time.ts";
import { failureOf, open, turn } from "../replica/stage.ts";

interface Form {
  readonly export: (replica: Replica, target: Writable, options?: ExportOptions) => Promise<ExportReport>;
  readonly import: (replica: Replica, source: ImportSource, options?: ImportOptions) => Promise<ImportReport>;
}

const FORMS: [string, Form][] = [
  ["JSON lines", { export: exportJson, import: importJson }],
  ["a binary dump", { export: exportBinary, import: importBinary }],
];

/** Takes everything, and keeps it. */
class Collector extends Writable {
  readonly chunks: Uint8Array[] = [];
  override _write(chunk: Uint8Array, _: string, done: () => void): void {
    this.chunks.push(chunk);
    done();
  }
  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }
}

async function dumped(form: Form, replica: Replica, options?: ExportOptions): Promise<Buffer> {
  const target = new Collector();
  const report = await form.export(replica, target, options);
  expect(report.bytes).toBe(target.bytes.length);
  expect(target.writableEnded).toBe(false);
  return target.bytes;
}

/** In chunks of a size that fits nothing. */
async function* inPieces(bytes: Uint8Array, size = 7): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function filled(entries: Iterable<readonly [string, unknown]>): Promise<Replica> {
  const replica = await open();
  for (const [key, held] of entries) await replica.put(key, held);
  return replica;
}

describe.each(FORMS)("%s", (_, form) => {
  test("carries every value", async () => {
    const entries = fc.array(fc.tuple(fc.string({ unit: "binary", minLength: 1, maxLength: 20 }), value), {
      maxLength: 20,
      size: "max",
    });
    await fc.assert(
      fc.asyncProperty(entries, fc.integer({ min: 1, max: 100 }), async (pairs, pieceBytes) => {
        const source = await filled(pairs);
        const bytes = await dumped(form, source);
        const target = await open();
        const report = await form.import(target, inPieces(bytes, pieceBytes));
        const count = new Map(pairs).size;
        expect(report).toMatchObject({ imported: count, skipped: 0, kept: 0, expired: 0, position: count });
        // Equal bytes mean equal values.
        const held = (replica: Replica) => [...replica.entries()].map(([key, item]) => [key, encodeValue(item)]);
        expect(held(target)).toEqual(held(source));
        await Promise.all([source.close(), target.close()]);
      }),
      { numRuns: 60 },
    );
  });

  test("carries the time that is left, and nothing whose time is over", async () => {
    const time = new VirtualTime();
    const source = await open({ clock: time, timers: time });
    const expiresAt = time.now() + 10_000;
    await source.put("soon", 1, { ttlMs: 5000 });
    await source.put("later", 2, { ttlMs: 10_000 });
    await source.put("never", 3);
    const bytes = await dumped(form, source);
    time.advance(5000);
    const target = await open({ clock: time, timers: time });
    const report = await form.import(target, inPieces(bytes), { clock: time });
    expect(report).toMatchObject({ imported: 2, expired: 1, skipped: 0 });
    expect([...target.infos()].map((info) => [info.key, info.expiresAt])).toEqual([
      ["later", expiresAt],
      ["never", undefined],
    ]);
  });

  test("is of one moment, whatever is written meanwhile", async () => {
    const keys = Array.from({ length: 5000 }, (_, index) => `key-${index}`);
    const replica = await open();
    await replica.batch(keys.map((key) => ({ type: "put", key, value: "x".repeat(50) })));
    let chunks = 0;
    const target = new Collector();
    await form.export(replica, target, {
      onProgress: () => {
        chunks += 1;
        void replica.put("key-4999", "changed");
        void replica.delete("key-77");
        void replica.put("new", 1);
      },
    });
    expect(chunks).toBeGreaterThan(2);
    const copy = await open();
    await form.import(copy, inPieces(target.bytes, 1000));
    expect([...copy.keys()]).toHaveLength(5000);
    expect([...copy.values()].every((held) => held === "x".repeat(50))).toBe(true);
  });

  test("takes a range", async () => {
    const replica = await filled([
      ["a/1", 1],
      ["a/2", 2],
      ["b/1", 3],
    ]);
    const copy = await open();
    await form.import(copy, inPieces(await dumped(form, replica, { prefix: "a/", gt: "a/1" })));
    expect([...copy.entries()]).toEqual([["a/2", 2]]);
  });

  test("goes no faster than what it writes to", async () => {
    const replica = await open();
    const keys = Array.from({ length: 5000 }, (_, index) => `key-${index}`);
    await replica.batch(keys.map((key) => ({ type: "put", key, value: "x".repeat(100) })));
    const waiting: (() => void)[] = [];
    let taken = 0;
    const target = new Writable({
      highWaterMark: 1,
      write: (chunk: Uint8Array, _, done) => {
        taken += chunk.length;
        waiting.push(done);
      },
    });
    let ended = false;
    const exported = form.export(replica, target).then(() => {
      ended = true;
    });
    let most = 0;
    while (!ended) {
      await turn();
      await turn();
      most = Math.max(most, target.writableLength);
      waiting.shift()?.();
    }
    await exported;
    expect(taken).toBeGreaterThan(500_000);
    // One chunk at a time, never two.
    expect(most).toBeLessThan(2 * 64 * 1024);
  });

  test("rejects with what it writes to fails with, also before the first byte", async () => {
    const replica = await filled([["a", 1]]);
    const failing = new Writable({ write: (_chunk, _encoding, done) => done(new Error("EPIPE, as it were")) });
    await expect(form.export(replica, failing)).rejects.toThrow("EPIPE, as it were");
    await expect(form.export(replica, failing)).rejects.toThrow();
    const destroyed = new Collector().destroy();
    await expect(form.export(replica, destroyed)).rejects.toThrow();
  });

  test("ends when the signal says so, also while nothing comes", async () => {
    const replica = await filled([["a", 1]]);
    const controller = new AbortController();
    const { signal } = controller;
    const imported = form.import(replica, new Readable({ read: () => undefined }), { signal });
    const stuck = new Writable({ write: () => undefined });
    const exported = form.export(replica, stuck, { signal });
    await turn();
    controller.abort(new Error("enough"));
    await expect(imported).rejects.toThrow("enough");
    await expect(exported).rejects.toThrow("enough");
    await expect(form.export(replica, new Collector(), { signal })).rejects.toThrow("enough");
    await expect(form.import(replica, inPieces(Buffer.from("")), { signal })).rejects.toThrow("enough");
  });

  test("goes on where it stopped, and repeats nothing that was there", async () => {
    const source = await open();
    const keys = Array.from({ length: 2500 }, (_, index) => `key-${String(index).padStart(4, "0")}`);
    await source.batch(keys.map((key) => ({ type: "put", key, value: 1 })));
    const bytes = await dumped(form, source);
    const disk = new MemoryDisk();
    const first = await open({ directory: "/data", disk });
    const seen: ImportProgress[] = [];
    // Closed after the second batch: the third is refused.
    const failure = await failureOf(() =>
      form.import(first, inPieces(bytes, 1000), {
        onProgress: (progress) => {
          seen.push(progress);
          if (seen.length === 2) void first.close();
        },
      }),
    );
    expect(failure.code).toBe("ERR_CLOSED");
    const { position, imported } = seen.at(-1)!;
    expect({ position, imported }).toEqual({ position: 500, imported: 500 });
    await first.close();
    const again = await open({ directory: "/data", disk });
    expect([...again.keys()]).toEqual(keys.slice(0, position));
    const report = await form.import(again, inPieces(bytes, 1000), { after: position });
    expect(report).toMatchObject({ imported: 2000, position: 2500 });
    expect([...again.keys()]).toEqual(keys);
  });

  test("keeps what is there, if asked to", async () => {
    const bytes = await dumped(form, await filled([["a", 1], ["b", 2]])); // biome-ignore format: reason: one line reads better
    const target = await filled([["a", "mine"]]);
    expect(await form.import(target, inPieces(bytes), { existing: "keep" })).toMatchObject({ kept: 1, imported: 1 });
    expect([...target.entries()]).toEqual([
      ["a", "mine"],
      ["b", 2],
    ]);
    await form.import(target, inPieces(bytes));
    expect(target.get("a")).toBe(1);
  });

  test("lets others have their turn, also where nothing ever waits, and where everything is left out", async () => {
    const COUNT = 5000;
    const bytes = await dumped(form, await filled(Array.from({ length: COUNT }, (_, n) => [`k${n}`, n] as const)));
    const replica = await open();
    const turnsOf = async (options: ImportOptions): Promise<number> => {
      let turns = 0;
      let isOver = false;
      const count = async (): Promise<void> => {
        for (; !isOver; turns += 1) await turn();
      };
      const counting = count();
      await form.import(replica, inPieces(bytes, 65_536), options);
      isOver = true;
      await counting;
      return turns;
    };
    for (const options of [{}, { existing: "keep" }, { after: COUNT }] as const) {
      expect(await turnsOf(options)).toBeGreaterThanOrEqual(COUNT / 250);
    }
  });

  test("leaves out what the replica refuses, and says which and why", async () => {
    const bytes = await dumped(form, await filled([["a", 1], ["b", "too long"], ["ccc", 3], ["d", 4]])); // biome-ignore format: reason: one line reads better
    const target = await open({ limits: { maxValueBytes: 5, maxKeyBytes: 2 } });
    const skipped: unknown[] = [];
    const report = await form.import(target, inPieces(bytes), { onSkip: (skip) => skipped.push(skip) });
    expect(report).toMatchObject({ imported: 2, skipped: 2, position: 4 });
    expect(report.problems.map(({ position }) => position)).toEqual([2, 3]);
    expect(report.problems[0]?.reason).toContain("more than 5 bytes");
    expect(skipped).toEqual(report.problems);
    expect([...target.keys()]).toEqual(["a", "d"]);
    const strict = await open({ limits: { maxValueBytes: 5 } });
    const failure = await failureOf(() => form.import(strict, inPieces(bytes), { strict: true }));
    expect(failure).toMatchObject({
      code: "ERR_CORRUPT",
      message: expect.stringContaining("at 2 of the dump") as unknown,
    });
  });

  test("stops when the store is full, instead of leaving out the rest", async () => {
    const bytes = await dumped(form, await filled([["a", 1], ["b", 2], ["c", 3]])); // biome-ignore format: reason: one line reads better
    const target = await open({ limits: { maxKeys: 3 } }); // its own member record is one of them
    expect(await failureOf(() => form.import(target, inPieces(bytes)))).toMatchObject({ code: "ERR_LIMIT" });
    expect([...target.keys()]).toEqual(["a", "b"]);
  });

  test.each([[{ after: -1 }], [{ after: 1.5 }], [{ existing: "merge" }], [{ strict: 1 }], [{ wrong: 1 }]])(
    "refuses %j",
    async (options) => {
      const replica = await open();
      const failure = await failureOf(() => form.import(replica, inPieces(Buffer.from("")), options as ImportOptions));
      expect(failure.code).toBe("ERR_OPTION");
      expect((await failureOf(() => form.export(replica, new Collector(), { wrong: 1 } as ExportOptions))).code).toBe(
        "ERR_OPTION",
      );
    },
  );

  test("of a closed replica is refused", async () => {
    const replica = await open();
    await replica.close();
    expect((await failureOf(() => form.export(replica, new Collector()))).code).toBe("ERR_CLOSED");
  });
});

describe("damaged lines", () => {
  test.each([
    ["{", "the line is no JSON"],
    ["5", 'no object with "key"'],
    ["[]", 'no object with "key"'],
    ["null", 'no object with "key"'],
    ['{"value":1}', '"key" is no string'],
    ['{"key":"k"}', 'there is no "value"'],
    ['{"key":"k","value":1,"ttl":5}', 'a field "ttl"'],
    ['{"key":"k","value":1,"expiresAt":"x"}', '"expiresAt"'],
    ['{"key":"k","value":{"$oops":1}}', "$oops"],
    ['{"key":"","value":1}', "key"], // refused by the replica
    ['{"key":"k","value":"\\ud800"}', "value"],
    [`{"key":"k","value":${"[".repeat(200)}${"]".repeat(200)}}`, "value"],
    [`{"key":"k","value":${"[".repeat(100_000)}${"]".repeat(100_000)}}`, "line is no JSON|nested too deeply"],
  ])("%s: %s", async (line, reason) => {
    const replica = await open();
    const text = `{"key":"a","value":1}\n\n${line}\r\n{"key":"b","value":2}`;
    const report = await importJson(replica, inPieces(Buffer.from(text), 50_000));
    expect(report).toMatchObject({ imported: 2, skipped: 1, position: 4 });
    expect(report.problems).toEqual([
      { position: 3, reason: expect.stringMatching(reason.replace(/[[$\]]/g, "\\$&")) as unknown },
    ]);
    expect([...replica.keys()]).toEqual(["a", "b"]);
  });

  test("bytes that are no text", async () => {
    const replica = await open();
    const bytes = Buffer.concat([Buffer.from('{"key":"'), Uint8Array.of(0xff), Buffer.from('","value":1}\n')]);
    expect((await importJson(replica, inPieces(bytes))).problems).toEqual([
      { position: 1, reason: "the line is not UTF-8" },
    ]);
  });

  test("a line without an end is not kept in memory", async () => {
    const replica = await open();
    const chunk = Buffer.alloc(1024 * 1024, "x");
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (let count = 0; count < 70; count++) yield chunk;
      yield Buffer.from('\n{"key":"a","value":1}\n');
    }
    const report = await importJson(replica, endless());
    expect(report).toMatchObject({ imported: 1, skipped: 1, position: 2 });
    expect(report.problems[0]?.reason).toContain("has more than");
  });
});

describe("damaged dumps", () => {
  /** Three blocks of one long entry each. */
  async function threeBlocks(): Promise<Buffer> {
    const long = "x".repeat(64 * 1024);
    return await dumped(FORMS[1]![1], await filled([["a", long], ["b", long], ["c", long]])); // biome-ignore format: reason: one line reads better
  }
  const importedFrom = async (bytes: Uint8Array) => {
    const replica = await open();
    const report = await importBinary(replica, inPieces(bytes, 10_000));
    return { keys: [...replica.keys()], ...report };
  };

  test("a damaged payload costs its block alone", async () => {
    const bytes = await threeBlocks();
    bytes[bytes.indexOf("b")]! ^= 1;
    expect(await importedFrom(bytes)).toMatchObject({
      keys: ["a", "c"],
      skipped: 1,
      problems: [{ position: 2, reason: expect.stringMatching(/^the block at byte \d+ is damaged$/) as unknown }],
      position: 3,
    });
  });

  test("a damaged header ends it", async () => {
    const bytes = await threeBlocks();
    bytes[DUMP_MAGIC.length]! ^= 1;
    const reason = `nothing can be read from byte ${DUMP_MAGIC.length} of the dump on`;
    expect(await importedFrom(bytes)).toMatchObject({ keys: [], problems: [{ position: 1, reason }] });
  });

  test("no byte of it can be lost or changed without a word", async () => {
    const bytes = await dumped(FORMS[1]![1], await filled([["a", 1], ["b", [2n]]])); // biome-ignore format: reason: one line reads better
    for (let at = 0; at < bytes.length; at++) {
      const cut = await importBinary(await open(), inPieces(bytes.subarray(0, at))).catch((error: unknown) => error);
      if (cut instanceof Error) expect(at).toBeLessThan(DUMP_MAGIC.length);
      else expect((cut as ImportReport).skipped, `cut at ${at}`).toBeGreaterThan(0);
      const changed = Buffer.from(bytes);
      changed[at]! ^= 0x10;
      const flipped = await importBinary(await open(), inPieces(changed)).catch((error: unknown) => error);
      if (flipped instanceof Error) expect(at).toBeLessThan(DUMP_MAGIC.length);
      else expect((flipped as ImportReport).skipped, `changed at ${at}`).toBeGreaterThan(0);
    }
    expect(bytes.length).toBeGreaterThan(DUMP_MAGIC.length + 2 * BLOCK_HEADER_BYTES);
  });

  test("what is no dump, and what comes from the future", async () => {
    const replica = await open();
    expect((await failureOf(() => importBinary(replica, inPieces(Buffer.from("hello, world"))))).code).toBe(
      "ERR_CORRUPT",
    );
    expect((await failureOf(() => importBinary(replica, inPieces(Buffer.from(""))))).code).toBe("ERR_CORRUPT");
    const later = Buffer.from(DUMP_MAGIC);
    later[later.length - 1] = 2;
    expect((await failureOf(() => importBinary(replica, inPieces(later)))).code).toBe("ERR_FORMAT_VERSION");
  });
});
