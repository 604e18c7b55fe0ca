/** When pages are acknowledged, and when a sender asks for that at once. */
import { expect, test } from "vitest";
import { FLOW_LIMITS } from "../../../src/sync/flow.ts";
import { FEATURE_ACK_NOW } from "../../../src/sync/messages.ts";
import type { ReplicatorOptions } from "../../../src/sync/replicator.ts";
import { entry, hello, OneReplicator, OWN, PEER, page } from "./one-replicator.ts";

const asking = hello({ features: FEATURE_ACK_NOW });

/** Met by a peer that knows how to ask, both live, nothing of it in the way. */
function live(options: Partial<ReplicatorOptions> = {}): OneReplicator {
  const one = new OneReplicator(options);
  one.meet(1, asking);
  one.receive(1, page([], { mark: [] }));
  one.commit();
  one.receive(1, { type: "ack", frames: one.frames(1), vector: [], kept: 1 });
  one.tick();
  one.sent.clear();
  return one;
}

test("pages of a peer that does not ask are acknowledged by one ack, on the tick", () => {
  const one = live();
  for (const seq of [1, 2, 3]) {
    one.receive(1, page([entry("a", seq)], { runFrom: seq - 1, runTo: seq }));
    one.commit();
  }
  expect(one.take(1, "ack")).toEqual([]);
  one.tick();
  expect(one.take(1, "ack")).toEqual([{ type: "ack", frames: 6, vector: [[PEER, 3]], kept: 6 }]);
  one.tick();
  expect(one.take(1, "ack")).toEqual([]);
});

test("one that asks is acknowledged as soon as what it has sent is durable, together with what came before", () => {
  const one = live();
  one.receive(1, page([entry("a", 1)], { runFrom: 0, runTo: 1 }));
  one.commit();
  one.receive(1, page([entry("b", 2)], { runFrom: 1, runTo: 2, ackNow: true }));
  expect(one.take(1, "ack")).toEqual([]);
  one.commit();
  expect(one.take(1, "ack")).toEqual([{ type: "ack", frames: 5, vector: [[PEER, 2]], kept: 5 }]);
  one.tick();
  expect(one.take(1, "ack")).toEqual([]);
});

test("an empty page that asks is answered at once when nothing is on its way to the disk, else behind that", () => {
  const one = live();
  one.receive(1, page([], { ackNow: true }));
  expect(one.take(1, "ack")).toMatchObject([{ frames: 4, vector: [] }]);
  one.receive(1, page([entry("a", 1)], { runFrom: 0, runTo: 1 }));
  const ready = one.replicator.takeReady();
  one.receive(1, page([], { ackNow: true }));
  expect(one.take(1, "ack")).toEqual([]);
  if (ready !== undefined) one.replicator.persisted(ready);
  one.collect();
  expect(one.take(1, "ack")).toMatchObject([{ frames: 6, vector: [[PEER, 1]] }]);
});

test("a peer that cannot ask is acknowledged at once", () => {
  const one = new OneReplicator();
  one.meet(1, hello());
  one.take(1, "ack");
  one.receive(1, page([entry("a", 1)], { mark: [[PEER, 1]] }));
  one.commit();
  expect(one.take(1, "ack")).toMatchObject([{ frames: 2, vector: [[PEER, 1]] }]);
});

test("a catch-up and its end ask, a write does not, and to a peer that cannot tell nothing does", () => {
  const one = new OneReplicator({ flow: { ...FLOW_LIMITS, pageEntries: 1 } });
  one.write("a", 1);
  one.write("b", 2);
  one.commit();
  one.meet(1, asking);
  one.meet(2, hello({ nodeId: "old" as typeof asking.nodeId, epoch: "00000000000000dd" as typeof asking.epoch }));
  expect(one.take(1, "page")).toMatchObject([{ ackNow: true }, { ackNow: true }, { ackNow: true, mark: [[OWN, 2]] }]);
  one.write("c", 3);
  one.commit();
  expect(one.take(1, "page")).toMatchObject([{ ackNow: false, mark: [[OWN, 3]] }]);
  expect(one.take(2, "page").map(({ ackNow }) => ackNow)).toEqual([false, false, false, false]);
});

test("a write asks while a call waits for peers, and so does one page in each quarter of the window", () => {
  let isAwaited = false;
  const one = live({ isAwaited: () => isAwaited, flow: { ...FLOW_LIMITS, windowBytes: 1000 } });
  const asks = (): boolean[] => {
    one.write("a", 1);
    one.commit();
    return one.take(1, "page").map(({ ackNow }) => ackNow);
  };
  isAwaited = true;
  expect(asks()).toEqual([true]);
  isAwaited = false;
  // 82 bytes for each, by the count of the window: the fourth reaches 250.
  expect([asks(), asks(), asks(), asks()]).toEqual([[false], [false], [false], [true]]);
});

test("a call that begins to wait asks those who owe an ack, once they do", () => {
  const one = live();
  one.replicator.askForAcks();
  one.collect();
  expect(one.take(1, "page")).toEqual([]);
  one.write("a", 1);
  one.commit();
  one.take(1, "page");
  one.replicator.askForAcks();
  one.collect();
  expect(one.take(1, "page")).toEqual([page([], { ackNow: true })]);
});

test("a replica that closes says what it holds before it says goodbye", () => {
  const one = live();
  one.receive(1, page([entry("a", 1)], { runFrom: 0, runTo: 1 }));
  one.commit();
  one.replicator.closeSessions();
  one.collect();
  expect(one.sent.get(1)).toMatchObject([{ type: "ack", vector: [[PEER, 1]] }, { type: "bye" }]);
});
