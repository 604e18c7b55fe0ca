/** An origin whose numbers are in doubt is given up while records, sessions and catch-ups are under way. */
import { expect, test } from "vitest";
import type { Ready } from "../../../src/sync/committed.ts";
import { FLOW_LIMITS } from "../../../src/sync/flow.ts";
import type { Epoch } from "../../../src/types.ts";
import { entry, hello, OneReplicator, OWN, PEER, page, THIRD, third } from "./one-replicator.ts";

function recordsOf(one: OneReplicator): Ready[] {
  const records: Ready[] = [];
  for (let ready = one.replicator.takeReady(); ready !== undefined; ready = one.replicator.takeReady()) {
    records.push(ready);
    one.replicator.persisted(ready);
  }
  return records;
}

const kindsOf = ({ ops }: Ready): string => [...new Set(ops.map(({ type }) => type))].join(" ");

test("giving it up and writing again is one record, however much that is, and however full the one before", () => {
  const many = new OneReplicator();
  for (let n = 0; n < 3; n += 1) {
    many.replicator.write([{ key: Buffer.from(`k${n}`), value: new Uint8Array(500_000), expiresAt: 0 }], many.now);
    many.commit();
  }
  many.meet(1, hello({ vector: [[OWN, 9]] }));
  expect(recordsOf(many).map(kindsOf)).toEqual(["uncover rotate set"]);
  const behind = new OneReplicator();
  behind.write("k", 1);
  const slow = behind.replicator.takeReady()!;
  behind.replicator.write([{ key: Buffer.from("big"), value: new Uint8Array(600_000), expiresAt: 0 }], behind.now);
  behind.meet(1, hello({ vector: [[OWN, 9]] }));
  behind.replicator.persisted(slow);
  expect(recordsOf(behind).map(kindsOf)).toEqual(["set", "uncover rotate set"]);
});

test("a record that was made before it says nothing of its coverage, whatever a peer has claimed since", () => {
  const one = new OneReplicator();
  one.write("a", 1);
  const slow = one.replicator.takeReady()!;
  one.write("b", 2);
  one.write("c", 3);
  one.meet(1, hello({ vector: [[OWN, 2]] }));
  expect(one.covered(OWN)).toBe(0);
  one.meet(2, hello({ vector: [[OWN, 2]] }));
  const others = [1, 2].map((seq) => entry(`other ${seq}`, seq, { origin: OWN }));
  one.receive(2, page(others, { mark: [[OWN, 2]] }));
  expect(one.covered(OWN)).toBe(2);
  one.replicator.persisted(slow);
  expect(one.replicator.durable.coverage.get(OWN), "what the peer means is not on the disk yet").toBe(0);
  one.commit();
  expect(one.replicator.durable.coverage.get(OWN), "and then it is").toBe(2);
});

test("a catch-up does not go on where it was for the same process under another origin", () => {
  const one = new OneReplicator({ flow: { ...FLOW_LIMITS, pageEntries: 2, windowBytes: 300 } });
  one.meet(9, third());
  one.receive(9, page([entry("its own", 5)], { mark: [[PEER, 5]] }));
  const more = Array.from({ length: 20 }, (_, n) => entry(`k${n}`, n + 1, { origin: THIRD }));
  one.receive(9, page(more, { mark: [[THIRD, 20]] }));
  one.commit();
  // It was set back to its fourth write, and covers its fifth, which is another one than ours.
  one.meet(1, hello({ vector: [[PEER, 5]] }));
  one.receive(1, { type: "ack", frames: one.frames(1), vector: [], kept: one.frames(1) });
  expect(one.take(1, "page").length).toBeGreaterThan(1);
  one.receive(1, { type: "bye", code: "new-epoch", detail: "" });
  one.meet(2, hello({ epoch: "00000000000000dd" as Epoch, vector: [[PEER, 4]] }));
  for (let n = 0; n < 30; n += 1) {
    one.receive(2, { type: "ack", frames: one.frames(2), vector: [], kept: one.frames(2) });
    one.tick();
  }
  const keys = one.take(2, "page").flatMap(({ entries }) => entries.map(({ key }) => Buffer.from(key).toString()));
  expect(keys).toContain("its own");
});
