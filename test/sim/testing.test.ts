/** What users of `wavekv/testing` rely on: hosts that crash, clocks that are off, disks that fail, and time that is theirs. */
import { expect, test } from "vitest";
import { isReplicaError, openReplica, type Replica } from "wavekv";
import { type SimHost, Simulation } from "wavekv/testing";

const logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

function open(world: Simulation, host: SimHost): Promise<Replica> {
  return world.run(() => openReplica({ nodeId: host.name, directory: "data", logger, ...host.boot() }));
}

test("what was awaited survives power loss, what was not may not", async () => {
  const world = new Simulation({ seed: 1 });
  const host = world.host("a");
  const before = await open(world, host);
  await world.run(() => before.put("kept", 1));
  const never = before.put("lost", 2);
  void never.catch(() => undefined);
  host.powerLoss(() => false);
  const after = await open(world, host);
  expect([after.get("kept"), after.get("lost")]).toEqual([1, undefined]);
});

test("a process that has ended does nothing more", async () => {
  const world = new Simulation({ seed: 1 });
  const host = world.host("a");
  const replica = await open(world, host);
  let settled = false;
  void replica.put("k", 1).finally(() => {
    settled = true;
  });
  host.kill();
  await world.advance(60_000);
  expect(settled).toBe(false);
});

test("a paused process answers nobody, and goes on where it was", async () => {
  const world = new Simulation({ seed: 2 });
  const [a, b] = [await open(world, world.host("a")), await open(world, world.host("b"))];
  await world.until(() => b.members().length === 2, 10_000);
  world.host("b").pause(5000);
  await world.run(() => a.put("k", 1));
  await world.advance(4000);
  expect(b.get("k")).toBeUndefined();
  await world.until(() => b.get("k") === 1, 5000);
});

test("a blocked way is one way", async () => {
  const world = new Simulation({ seed: 3 });
  const [a, b] = [await open(world, world.host("a")), await open(world, world.host("b"))];
  await world.until(() => b.members().length === 2 && a.members().length === 2, 10_000);
  world.network.block("a", "b");
  await world.run(() => Promise.all([a.put("from a", 1), b.put("from b", 1)]));
  await world.advance(2000);
  expect([a.get("from b"), b.get("from a")]).toEqual([1, undefined]);
  world.network.heal();
  await world.until(() => b.get("from a") === 1, 60_000);
});

test("a disk fault comes when it is asked for, and is an error of the library", async () => {
  const world = new Simulation({ seed: 4 });
  const host = world.host("a");
  const replica = await open(world, host);
  host.diskFault = ({ operation }) => (operation === "sync" ? { type: "error", code: "EIO" } : undefined);
  const error: unknown = await world.run(() => replica.put("k", 1)).catch((reason: unknown) => reason);
  expect(isReplicaError(error) && error.code).toBe("ERR_STORAGE_FAILED");
});

test("a clock that is off, stands still or runs fast tells so, and can be put right", async () => {
  const world = new Simulation({ seed: 5 });
  const { clock } = world.host("a");
  const start = clock.now();
  await world.advance(1000);
  expect(clock.now()).toBe(start + 1000);
  clock.freeze();
  await world.advance(1000);
  expect(clock.now()).toBe(start + 1000);
  clock.correct();
  clock.drift(2);
  await world.advance(1000);
  expect(clock.now()).toBe(start + 4000);
  clock.jump(-500);
  expect(clock.now()).toBe(start + 3500);
});

test("what cannot happen any more is an error, not a wait", async () => {
  const world = new Simulation({ seed: 6 });
  await expect(world.run(() => new Promise(() => undefined), 1000)).rejects.toThrow("not settled within 1000 ms");
  await expect(world.until(() => false, 1000)).rejects.toThrow("not within 1000 ms");
  const first = world.advance(10);
  await expect(world.advance(10)).rejects.toThrow("time passes already");
  await first;
});
