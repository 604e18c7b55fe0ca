/** Ephemeral entries under random schedules: puts, deletes, links that come and go, slow messages, deaths, restarts. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EphemeralWorld, LEASE_MS, type Process, TICK_MS } from "../models/ephemeral-world.ts";

const COUNT = 4;
const TRANSIT_TICKS = 3;
const LEASE_TICKS = LEASE_MS / TICK_MS;
/** Each process takes a version in once at most, so what is on its way adds up to no more than this. */
const GONE_TICKS = LEASE_TICKS + COUNT * (TRANSIT_TICKS + 1) + 1;

const runs = (standard: number): number => Number(process.env.WAVEKV_RUNS ?? standard);

const who = fc.nat(COUNT - 1);
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ type: fc.constant("put" as const), who, key: fc.nat(3), value: fc.nat(9) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("delete" as const), who, key: fc.nat(3) }) },
  { weight: 8, arbitrary: fc.record({ type: fc.constant("deliver" as const), who, to: who }) },
  { weight: 5, arbitrary: fc.record({ type: fc.constant("pass" as const), ticks: fc.integer({ min: 1, max: 12 }) }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant("link" as const), who, to: who }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("cut" as const), who, to: who }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("kill" as const), who }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("close" as const), who }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("restart" as const), who, generation: fc.nat(5) }) },
);
const steps = fc.array(step, { maxLength: 120, size: "max" });
/** Which of all links there are in the end, besides those of a line. */
const shape = fc.array(fc.boolean(), { minLength: COUNT * COUNT, maxLength: COUNT * COUNT });

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Does a step. @param onTick  called after every tick */
function take(world: EphemeralWorld, next: Step, onTick: () => void): void {
  const at = (index: number): Process => world.processes[index]!;
  switch (next.type) {
    case "put":
      world.put(at(next.who), `k${next.key}`, next.value);
      return;
    case "delete":
      world.put(at(next.who), `k${next.key}`, null);
      return;
    case "deliver":
      world.deliver(at(next.who), at(next.to));
      return;
    case "pass":
      for (let n = 0; n < next.ticks; n++) {
        world.pass();
        onTick();
      }
      return;
    case "link":
      world.link(at(next.who), at(next.to));
      return;
    case "cut":
      world.cut(at(next.who), at(next.to));
      return;
    case "kill":
      world.kill(at(next.who));
      return;
    case "close":
      world.close(at(next.who));
      return;
    case "restart":
      world.restart(at(next.who), next.generation);
  }
}

/** Joins all that live: a line, and whatever else the shape says. */
function join(world: EphemeralWorld, isLinked: readonly boolean[]): void {
  const alive = world.processes.filter(({ isAlive }) => isAlive);
  for (const [a, from] of alive.entries()) {
    for (const [b, to] of alive.entries()) {
      if (b === a + 1 || (b > a && isLinked[a * COUNT + b] === true)) world.link(from, to);
      else if (b > a) world.cut(from, to);
    }
  }
}

/** Comparing texts: `toEqual` would take most of the time. */
function expectAgreement(world: EphemeralWorld): void {
  const truth = world.truth().join();
  for (const process of world.processes) {
    const seen = process.isAlive ? world.seenBy(process).join() : truth;
    if (seen !== truth) expect.fail(`${process.nodeId} sees ${seen}, and there is ${truth}`);
  }
}

describe("ephemeral entries", () => {
  test("in the end everybody sees what those who live have set, and it stays so", () => {
    fc.assert(
      fc.property(steps, shape, (schedule, isLinked) => {
        const world = new EphemeralWorld({ count: COUNT, transitTicks: TRANSIT_TICKS });
        for (const next of schedule) take(world, next, () => undefined);
        join(world, isLinked);
        for (let n = 0; n < GONE_TICKS; n++) world.pass();
        for (let n = 0; n < LEASE_TICKS; n++) {
          expectAgreement(world);
          world.pass();
        }
        for (const { rejects } of world.processes) expect(rejects).toEqual([]);
      }),
      { numRuns: runs(150) },
    );
  });

  test("nobody is shown who has been dead for longer than a lease and what messages take", () => {
    fc.assert(
      fc.property(steps, (schedule) => {
        const world = new EphemeralWorld({ count: COUNT, transitTicks: TRANSIT_TICKS });
        const diedAt = new Map<string, number>();
        const check = (): void => {
          for (const process of world.processes) {
            for (const text of process.isAlive ? world.seenBy(process) : []) {
              const deadTicks = world.tick - (diedAt.get(text.slice(text.indexOf("@") + 1)) ?? world.tick);
              if (deadTicks > GONE_TICKS) expect.fail(`${process.nodeId} sees ${text}, dead for ${deadTicks} ticks`);
            }
          }
        };
        for (const next of schedule) {
          take(world, next, check);
          for (const { nodeId, isAlive } of world.processes) {
            if (isAlive) diedAt.delete(nodeId);
            else if (!diedAt.has(nodeId)) diedAt.set(nodeId, world.tick);
          }
        }
        for (let n = 0; n < GONE_TICKS; n++) {
          world.pass();
          check();
        }
      }),
      { numRuns: runs(150) },
    );
  });

  test("who lives and is reached is never missing, whatever others do", () => {
    const harmless = fc.array(
      step.filter(({ type }) => type === "put" || type === "delete" || type === "deliver" || type === "pass"),
      { maxLength: 150, size: "max" },
    );
    fc.assert(
      fc.property(harmless, shape, (schedule, isLinked) => {
        const world = new EphemeralWorld({ count: COUNT, transitTicks: TRANSIT_TICKS });
        for (const process of world.processes) world.put(process, "pinned", 1);
        join(world, isLinked);
        for (let n = 0; n < COUNT * TRANSIT_TICKS * 3; n++) world.pass();
        const check = (): void => {
          for (const process of world.processes) {
            const holdings = process.exchange.sets.holdings("pinned");
            if (holdings.length < COUNT)
              expect.fail(`${process.nodeId} sees ${holdings.map(({ nodeId }) => nodeId).join()}`);
          }
        };
        for (const next of schedule) {
          take(world, next, check);
          check();
        }
      }),
      { numRuns: runs(40) },
    );
  });

  test("who was stopped for a while is back, and sees again who is there", () => {
    fc.assert(
      fc.property(
        steps,
        shape,
        who,
        fc.integer({ min: 1, max: 3 * LEASE_TICKS }),
        (schedule, isLinked, index, ticks) => {
          const world = new EphemeralWorld({ count: COUNT, transitTicks: TRANSIT_TICKS });
          const stopped = world.processes[index]!;
          for (const next of schedule.slice(0, 60)) take(world, next, () => undefined);
          stopped.isPaused = stopped.isAlive;
          for (let n = 0; n < ticks; n++) world.pass();
          stopped.isPaused = false;
          for (const next of schedule.slice(60)) take(world, next, () => undefined);
          join(world, isLinked);
          for (let n = 0; n < GONE_TICKS; n++) world.pass();
          expectAgreement(world);
        },
      ),
      { numRuns: runs(80) },
    );
  });
});
