import { expect, test } from "vitest";
import { isReplicaError } from "../../src/errors.ts";
import type { Channel, Transport } from "../../src/transport.ts";
import type { NodeId } from "../../src/types.ts";
import { inProcessNetwork } from "../../transports/in-process.ts";
import { VirtualTime } from "../models/virtual-time.ts";
import { contractTests } from "./suite.ts";

contractTests("in-process", () => {
  const network = inProcessNetwork();
  return { transport: () => network.transport(), nowhere: "in-process:nobody" };
});

contractTests("in-process with a delay", () => {
  const network = inProcessNetwork();
  network.delay("a", "b", 2);
  return { transport: () => network.transport(), nowhere: "in-process:nobody" };
});

contractTests("in-process in a time of its own", () => {
  const time = new VirtualTime();
  const network = inProcessNetwork({ time });
  network.delay("a", "b", 20);
  // The suite waits in real time: a step of the network's time in every turn of the event loop.
  let step: NodeJS.Immediate | undefined;
  const go = (): void => {
    time.advance(1);
    step = setImmediate(go);
  };
  go();
  return {
    transport: () => network.transport(),
    nowhere: "in-process:nobody",
    dispose: async () => clearImmediate(step),
  };
});

test("with a time of its own, a frame arrives when that has passed, and not before", async () => {
  const time = new VirtualTime();
  const network = inProcessNetwork({ time });
  const { dial } = await three(network);
  const dialing = dial("a", "b");
  await time.run(0);
  const [ours, theirs] = await dialing;
  network.delay("a", "b", 1000);
  ours.channel.send(Uint8Array.of(1));
  await time.run(999);
  expect(theirs.frames).toEqual([]);
  await time.run(1);
  expect(theirs.frames).toEqual([Uint8Array.of(1)]);
});

test("replicas on one network find the others that listen now", async () => {
  const network = inProcessNetwork();
  const a = network.transport();
  const b = network.transport();
  await listen(a, "a");
  expect([...a.seeds()]).toEqual([]);
  const [address] = await listen(b, "b");
  expect([...a.seeds()]).toEqual([address]);
  await b.close();
  expect([...a.seeds()]).toEqual([]);
  await a.close();
});

test("a nodeId is free again after close, and two of them at once get different addresses", async () => {
  const network = inProcessNetwork();
  const [first, twin, later] = [network.transport(), network.transport(), network.transport()];
  const [address] = await listen(first, "a");
  expect(await listen(twin, "a")).not.toEqual([address]);
  await first.close();
  expect(await listen(later, "a")).toEqual([address]);
  await expect(listen(first, "a")).rejects.toMatchObject({ code: "ERR_LISTEN" });
  await Promise.all([twin.close(), later.close()]);
});

test("a cut closes both ends, loses what is in flight, and lets nothing through until healed", async () => {
  const network = inProcessNetwork();
  const { dial, close } = await three(network);
  const [ours, theirs] = await dial("a", "b");
  const [others, othersThere] = await dial("a", "c");
  ours.channel.send(Uint8Array.of(1));
  network.cut("b", "a");
  ours.channel.send(Uint8Array.of(2));
  expect(await ours.closed).toBe("the link was cut");
  expect(await theirs.closed).toBe("the link was cut");
  expect(theirs.frames).toEqual([]);
  await expect(dial("a", "b")).rejects.toThrow("cut");
  await expect(dial("b", "a")).rejects.toThrow("cut");

  others.channel.send(Uint8Array.of(3));
  others.channel.close();
  await othersThere.closed;
  expect(othersThere.frames).toEqual([Uint8Array.of(3)]);

  network.heal("a", "b");
  const [again, there] = await dial("a", "b");
  again.channel.send(Uint8Array.of(4));
  again.channel.close();
  await there.closed;
  expect(there.frames).toEqual([Uint8Array.of(4)]);
  await close();
});

test.each([
  [["a", "b"] as const, { ab: true, ac: false, bc: false }],
  [["b", "a"] as const, { ab: true, ac: false, bc: false }],
  [["a"] as const, { ab: true, ac: true, bc: false }],
  [[] as const, { ab: true, ac: true, bc: true }],
])("heal(%j) heals the links that it names", async (names, expected) => {
  const network = inProcessNetwork();
  const { dial, close } = await three(network);
  for (const [one, other] of [
    ["a", "b"],
    ["a", "c"],
    ["b", "c"],
  ] as const)
    network.cut(one, other);
  network.heal(...names);
  const open = (one: string, other: string): Promise<boolean> =>
    dial(one, other).then(
      () => true,
      () => false,
    );
  expect({ ab: await open("a", "b"), ac: await open("a", "c"), bc: await open("b", "c") }).toEqual(expected);
  await close();
});

test("a delayed link keeps the order, also when the delay shrinks, and delays no other link", async () => {
  const network = inProcessNetwork();
  const { dial, close } = await three(network);
  const [slow, slowThere] = await dial("a", "b");
  const [fast, fastThere] = await dial("a", "c");
  network.delay("a", "b", 30);
  slow.channel.send(Uint8Array.of(1));
  network.delay("b", "a", 0);
  slow.channel.send(Uint8Array.of(2));
  slow.channel.close();
  fast.channel.send(Uint8Array.of(3));
  fast.channel.close();
  await fastThere.closed;
  expect(slowThere.frames).toEqual([]);
  await slowThere.closed;
  expect(slowThere.frames).toEqual([Uint8Array.of(1), Uint8Array.of(2)]);
  await close();
});

test("close leaves nothing scheduled, however long the delay", async () => {
  const network = inProcessNetwork();
  const { dial, transports, close } = await three(network);
  const [ours, theirs] = await dial("a", "b");
  network.delay("a", "b", 3_600_000);
  ours.channel.send(Uint8Array.of(1));
  const hanging = expect(dial("a", "b")).rejects.toThrow("given up");
  await transports.a.close();
  await hanging;
  await ours.closed;
  await close();
  await theirs.closed;
  expect(theirs.frames).toEqual([]);
});

test("the two ends share no memory", async () => {
  const { dial, close } = await three(inProcessNetwork());
  const [ours, theirs] = await dial("a", "b");
  const sent = Uint8Array.of(1, 2);
  ours.channel.send(sent);
  sent[0] = 9;
  ours.channel.close();
  await theirs.closed;
  expect(theirs.frames).toEqual([Uint8Array.of(1, 2)]);
  await close();
});

test.each([-1, Number.NaN, Number.POSITIVE_INFINITY])("a delay of %d ms is refused", (ms) => {
  let error: unknown;
  try {
    inProcessNetwork().delay("a", "b", ms);
  } catch (caught) {
    error = caught;
  }
  expect(isReplicaError(error) && error.code).toBe("ERR_OPTION");
});

function listen(transport: Transport, nodeId: string, accept = (_channel: Channel): void => {}) {
  return transport.listen({ nodeId: nodeId as NodeId, clusterId: "test", maxFrameBytes: 1024, accept });
}

interface End {
  readonly channel: Channel;
  readonly frames: Uint8Array[];
  readonly closed: Promise<string>;
}

function started(channel: Channel): End {
  const frames: Uint8Array[] = [];
  const closed = new Promise<string>((resolve) => {
    channel.start({ frame: (frame) => frames.push(frame), closed: resolve });
  });
  return { channel, frames, closed };
}

/** Three replicas a, b and c that listen. */
async function three(network = inProcessNetwork()) {
  const transports = { a: network.transport(), b: network.transport(), c: network.transport() };
  const addresses = new Map<string, string>();
  const accepted: Channel[] = [];
  for (const [nodeId, transport] of Object.entries(transports)) {
    const [address] = await listen(transport, nodeId, (channel) => accepted.push(channel));
    addresses.set(nodeId, address!);
  }
  return {
    transports,
    async dial(from: string, to: string): Promise<[End, End]> {
      const transport = transports[from as keyof typeof transports];
      const ours = started(await transport.dial(addresses.get(to)!, new AbortController().signal));
      return [ours, started(accepted.pop()!)];
    },
    close: () => Promise.all(Object.values(transports).map((transport) => transport.close())),
  };
}
