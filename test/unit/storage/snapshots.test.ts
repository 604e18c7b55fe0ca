import { createHash } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import { ByteWriter } from "../../../src/codec/bytes.ts";
import { decodeRun, encodeRun } from "../../../src/codec/entry-runs.ts";
import { FILE_HEADER_BYTES } from "../../../src/codec/file-header.ts";
import {
  BLOCK_HEADER_BYTES,
  type BlockKind,
  decodeFooter,
  encodeEntriesBlock,
  encodeFooter,
  parseBlockHeader,
  sealBlock,
} from "../../../src/codec/snapshots.ts";
import { EntryRun } from "../../../src/core/entry-run.ts";
import type { StateOp } from "../../../src/core/ops.ts";
import { present } from "../../../src/invariant.ts";
import { MemoryDisk } from "../../../src/storage/memory-disk.ts";
import type { Entry } from "../../../src/types.ts";
import { commit, contentsOf, DIRECTORY, type OpenedStore, open, put, valuesOf } from "../../models/store-harness.ts";

const SNAPSHOT = `${DIRECTORY}/0000000002.snapshot`;
const KEYS = 1500;

interface Block {
  kind: BlockKind;
  payload: Buffer;
}

/** The blocks of a snapshot but the footer. */
function blocksOf(bytes: Uint8Array): Block[] {
  const blocks: Block[] = [];
  for (let at = FILE_HEADER_BYTES; ; ) {
    const { kind, length } = parseBlockHeader(bytes.subarray(at))!;
    if (kind === "footer") return blocks;
    blocks.push({
      kind,
      payload: Buffer.from(bytes.subarray(at + BLOCK_HEADER_BYTES, at + BLOCK_HEADER_BYTES + length)),
    });
    at += BLOCK_HEADER_BYTES + length;
  }
}

/** A snapshot of these blocks with all checksums as they should be. */
function sealed(original: Uint8Array, blocks: readonly Block[]): Buffer {
  const header = Buffer.from(original.subarray(0, FILE_HEADER_BYTES));
  const parts = [header];
  let seed = header.readUInt32LE(FILE_HEADER_BYTES - 4);
  for (const { kind, payload } of blocks) {
    const block = Buffer.concat([Buffer.alloc(BLOCK_HEADER_BYTES), payload]);
    seed = sealBlock(block, kind, seed);
    parts.push(block);
  }
  const { entries, requiredRecords, endLsn } = decodeFooter(original.subarray(original.length - 56));
  const sha256 = createHash("sha256").update(Buffer.concat(parts)).digest();
  const footer = encodeFooter({ entries, requiredRecords, endLsn, sha256 });
  sealBlock(footer, "footer", seed);
  return Buffer.concat([...parts, footer]);
}

function keyOf(number: number): string {
  return `key/${(number * 7919) % KEYS}`;
}

/** Many keys in no order, with tombstones, expiries and one large value. */
async function fill(opened: OpenedStore): Promise<void> {
  const { state } = opened;
  const ops: StateOp[] = [];
  for (let number = 1; number <= KEYS; number += 1) {
    const value = number % 10 === 0 ? null : number === 77 ? "v".repeat(50_000) : `value ${number}`;
    const op = put(state, number, keyOf(number), value);
    if (op.type !== "set") continue;
    const entry: Entry = number % 7 === 0 ? { ...op.entry, expiresAt: 2 ** 41 + number } : op.entry;
    ops.push({ type: "set", entry });
  }
  await commit(opened, ops);
}

test("what was written and removed while a snapshot was taken is there when it is opened", async () => {
  const disk = new MemoryDisk();
  const opened = await open(disk, { durability: "os" });
  const { state, store } = opened;
  await fill(opened);
  const checkpoint = store.checkpoint();
  let isOver = false;
  void checkpoint.finally(() => (isOver = true));
  let seq = KEYS;
  for (let round = 0; !isOver; round += 1) {
    const key = Buffer.from(keyOf((round * 17) % KEYS));
    const held = state.entryAt(state.table.find(Buffer.from(keyOf(round % KEYS))));
    const ops: StateOp[] = [put(state, ++seq, key.toString(), round % 3 === 0 ? null : `new ${round}`)];
    ops.push(put(state, ++seq, `added/${round}`, "x"));
    if (held.value !== null) ops.push({ type: "expire", key: held.key, origin: held.origin, seq: held.seq });
    await commit(opened, ops);
  }
  await checkpoint;
  expect(blocksOf(disk.bytesOf(SNAPSHOT)).filter(({ kind }) => kind === "unordered")).not.toEqual([]);
  await store.close();
  const again = await open(disk, { strict: true });
  expect(contentsOf(again.state)).toEqual(contentsOf(state));
  expect(again.state.table.digestRoot()).toBe(state.table.digestRoot());
  expect(Object.keys(valuesOf(again.state))).toEqual(Object.keys(valuesOf(state)));
  await again.store.close();
});

/** An entry becomes another one of the same lengths, at its own place in the change log. */
function withKeyTwice(blocks: Block[]): void {
  const columns = present(blocks[1], "columns follow the bookkeeping");
  const run = new EntryRun();
  decodeRun(columns.payload, run);
  const { starts, keyLengths, valueLengths } = run;
  const bytes = run.bytes.slice();
  // In the middle of the order: where pieces meet, words that do not fit would be noticed before.
  const one = 100;
  const other = Array.from({ length: 100 }, (_, index) => one + 1 + index).find(
    (index) => keyLengths[index] === keyLengths[one] && valueLengths[index] === valueLengths[one],
  )!;
  bytes.copyWithin(starts[one]!, starts[other]!, starts[other + 1]);
  run.adopt(run.count, bytes);
  columns.payload = written((writer) => encodeRun(writer, run));
}

/** The last entry, a tombstone, is written as format 1 does. */
function lastOfFormat1(blocks: Block[]): void {
  const at = blocks.findLastIndex(({ kind }) => kind === "columns");
  const run = new EntryRun();
  decodeRun(blocks[at]!.payload, run);
  run.count -= 1;
  run.byteLength = run.starts[run.count]!;
  const entry: Entry = {
    key: Buffer.from(keyOf(KEYS)),
    value: null,
    stamp: 5000,
    origin: run.origins[0]!,
    seq: KEYS,
    expiresAt: 0,
  };
  blocks.splice(
    at,
    1,
    { kind: "columns", payload: written((writer) => encodeRun(writer, run)) },
    { kind: "entries", payload: written((writer) => encodeEntriesBlock(writer, [entry], [KEYS])) },
  );
}

function written(write: (writer: ByteWriter) => void): Buffer {
  const writer = new ByteWriter();
  write(writer);
  return Buffer.from(writer.copy());
}

test("a snapshot of tombstones alone, which has no order, opens", async () => {
  const disk = new MemoryDisk();
  const opened = await open(disk);
  await commit(
    opened,
    Array.from({ length: KEYS }, (_, index) => put(opened.state, index + 1, keyOf(index), null)),
  );
  await opened.store.checkpoint();
  await opened.store.close();
  const again = await open(disk, { strict: true });
  expect(contentsOf(again.state)).toEqual(contentsOf(opened.state));
  for (let index = 0; index < KEYS; index += 1) expect(again.state.table.find(Buffer.from(keyOf(index)))).toBe(index);
  await again.store.close();
});

describe("a snapshot whose checksums are right and whose content is not", () => {
  const disk = new MemoryDisk();
  let original: Uint8Array;
  let contents: unknown;

  beforeAll(async () => {
    const opened = await open(disk);
    await fill(opened);
    await opened.store.checkpoint();
    await commit(opened, [put(opened.state, KEYS + 1, "last", "one")]);
    await opened.store.close();
    original = disk.bytesOf(SNAPSHOT);
    contents = valuesOf(opened.state);
  });

  async function openWith(change: (blocks: Block[]) => void): Promise<{ values: unknown; corrupt: boolean }> {
    const changed = disk.clone(true);
    const blocks = blocksOf(original);
    change(blocks);
    changed.put(SNAPSHOT, sealed(original, blocks));
    const opened = await open(changed);
    await opened.store.close();
    return { values: valuesOf(opened.state), corrupt: opened.recovery.corrupt };
  }

  test("is used if nothing was changed", async () => {
    expect(await openWith(() => undefined)).toEqual({ values: contents, corrupt: false });
  });

  const orders = (blocks: Block[]): Buffer => blocks.find(({ kind }) => kind === "order")!.payload;
  const swap = (bytes: Buffer, a: number, b: number, length: number): void => {
    const first = Buffer.from(bytes.subarray(a, a + length));
    bytes.copyWithin(a, b, b + length);
    first.copy(bytes, b);
  };
  test.each<[string, (blocks: Block[]) => void]>([
    ["an entry twice in the order", (blocks) => orders(blocks).copyWithin(16, 8, 12)],
    ["two entries swapped", (blocks) => swap(orders(blocks), 4, 12, 8)],
    ["an entry that there is not", (blocks) => void orders(blocks).writeUInt32LE(KEYS, 8)],
    ["an entry far beyond", (blocks) => void orders(blocks).writeUInt32LE(2 ** 32 - 1, 8)],
    ["a tombstone in the order", (blocks) => void orders(blocks).writeUInt32LE(9, 8)],
    ["more shared than is", (blocks) => void orders(blocks).writeUInt16LE(6, 0)],
    ["other words", (blocks) => void orders(blocks).writeUInt16LE(3, 0)],
    ["an empty piece", (blocks) => void orders(blocks).writeUInt16LE(0, 2)],
    ["a piece that is too long", (blocks) => void orders(blocks).writeUInt16LE(513, 2)],
    ["half a piece", (blocks) => void blocks.find(({ kind }) => kind === "order")!.payload.writeUInt16LE(511, 2)],
    [
      "no order",
      (blocks) =>
        void blocks.splice(
          blocks.findIndex(({ kind }) => kind === "order"),
          1,
        ),
    ],
    ["an order before the entries", (blocks) => void blocks.splice(1, 0, ...blocks.splice(-1, 1))],
    [
      "an entry without order that has one",
      (blocks) => void blocks.push({ kind: "unordered", payload: Buffer.alloc(4) }),
    ],
    ["half a number", (blocks) => void blocks.push({ kind: "unordered", payload: Buffer.alloc(5) })],
    ["a key twice", withKeyTwice],
    ["entries of two formats", lastOfFormat1],
    ["entries twice", (blocks) => void blocks.splice(2, 0, blocks[1]!)],
    ["entries missing", (blocks) => void blocks.splice(1, 1)],
    ["entries out of order", (blocks) => void blocks.splice(1, 2, blocks[2]!, blocks[1]!)],
  ])("is not used: %s", async (_name, change) => {
    // The log goes back to its beginning, so nothing is lost.
    expect(await openWith(change)).toEqual({ values: contents, corrupt: true });
  });
});
