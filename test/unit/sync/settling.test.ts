/** Two replicas that differ in little and cannot tell by their vectors: what settling moves, and what it decides. */
import { describe, expect, test } from "vitest";
import { encodeMessage } from "../../../src/codec/messages.ts";
import type { StateOp } from "../../../src/core/ops.ts";
import { stampAt } from "../../../src/hybrid-logical-clock.ts";
import type { Message } from "../../../src/sync/messages.ts";
import { type Entry, type Epoch, makeOrigin, type NodeId } from "../../../src/types.ts";
import { type DurableRecord, Mesh } from "../../models/mesh.ts";

const AUTHOR = makeOrigin("author" as NodeId, "00000000000000cc" as Epoch);
const NOW = 1_700_000_000_000;
const VALUE_BYTES = 100;

function written(seq: number): Entry {
  const value = new Uint8Array(VALUE_BYTES).fill(seq);
  return { key: Buffer.from(`key/${seq}`), value, stamp: stampAt(NOW - 1e6) + seq, origin: AUTHOR, seq, expiresAt: 0 };
}

/** What a replica holds that was sent `seqs` by a peer which broke off before it could say that this was all. */
function held(seqs: Iterable<number>): DurableRecord[] {
  const ops: StateOp[] = Array.from(seqs, (seq) => ({ type: "set", entry: written(seq) }));
  return [{ ops, lsn: 0 }];
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, n) => from + n);
}

/** Two nodes that hold what is given; `sent` gathers the messages. */
function pair(first: DurableRecord[], second: DurableRecord[]): { mesh: Mesh; sent: Message[] } {
  const sent: Message[] = [];
  const mesh = new Mesh(2, { onDeliver: (message) => sent.push(message) });
  mesh.restart(0, first);
  mesh.restart(1, second);
  return { mesh, sent };
}

function bytesOf(messages: readonly Message[]): number {
  return messages.reduce((sum, message) => sum + encodeMessage(message, 1).length, 0);
}

function entriesOf(messages: readonly Message[]): number {
  return messages.reduce((sum, message) => sum + (message.type === "page" ? message.entries.length : 0), 0);
}

describe("100,000 versions, of which each side lacks five", () => {
  const COUNT = 100_000;
  const all = range(1, COUNT + 1);

  test("settling moves under 1 % of what a full transfer does", () => {
    const full = pair(held(all), []);
    full.mesh.connect(0, 1);
    full.mesh.run(40);
    full.mesh.checkAlike();
    const lacksA = new Set(range(1000, 1005));
    const lacksB = new Set(range(70_000, 70_005));
    const { mesh, sent } = pair(
      held(all.filter((seq) => !lacksA.has(seq))),
      held(all.filter((seq) => !lacksB.has(seq))),
    );
    mesh.connect(0, 1);
    mesh.run(40);
    mesh.checkAlike();
    expect(mesh.node(0).state.table.live).toBe(COUNT);
    expect(entriesOf(sent)).toBe(10);
    expect(entriesOf(full.sent)).toBe(COUNT);
    expect(bytesOf(sent)).toBeLessThan(bytesOf(full.sent) / 100);
  }, 60_000);

  // Half of it is more than what is sent unasked to somebody who may hold what it does not cover.
  test.each([
    ["90,000", 90_000, 0, 10_000, 0],
    ["half of it", 50_000, 0, 50_000, 0],
    ["half of it, and one entry that it cannot claim", 50_000, 1, 49_999, 50_001],
  ])(
    "who has %s and lacks what was written since is sent that, and not asked for all it holds",
    (_, seq, more, missed, listed) => {
      const covering = (upTo: number, beyond: number): DurableRecord[] => {
        const ops = held(range(1, upTo + 1)).flatMap((record) => [...record.ops]);
        for (const entry of range(COUNT - beyond + 1, COUNT + 1).map(written)) ops.push({ type: "set", entry });
        return [{ ops: [...ops, { type: "cover", origin: AUTHOR, seq: upTo }], lsn: 0 }];
      };
      const { mesh, sent } = pair(covering(COUNT, 0), covering(seq, more));
      mesh.connect(0, 1);
      mesh.run(60);
      mesh.checkAlike();
      expect(mesh.node(1).state.table.live).toBe(COUNT);
      expect(entriesOf(sent)).toBe(missed);
      expect(sent.reduce((sum, message) => sum + (message.type === "listing" ? message.entries.length : 0), 0)).toBe(
        listed,
      );
    },
    60_000,
  );

  test("a catch-up that is cut again and again goes on where it was, and sends hardly anything twice", () => {
    const { mesh, sent } = pair(held(range(1, 20_001)), []);
    for (let cuts = 0; cuts < 12; cuts += 1) {
      mesh.connect(0, 1);
      mesh.tick(0);
      for (let n = 0; n < 40; n += 1) {
        mesh.deliver(n);
        mesh.turn(0);
        for (const index of [0, 1, 0, 1]) if (mesh.node(index).replicator.hasReady || n % 3 > 0) mesh.commitAll(index);
      }
      mesh.disconnect(0, 1);
      mesh.commitAll(0);
      mesh.commitAll(1);
    }
    expect(mesh.node(1).state.table.live).toBeGreaterThan(7000);
    mesh.connect(0, 1);
    mesh.run(60);
    mesh.checkAlike();
    expect(entriesOf(sent)).toBeLessThan(20_000 * 1.3);
  }, 60_000);
});
