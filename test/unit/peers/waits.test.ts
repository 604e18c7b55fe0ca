/** Conditions that calls wait for: when they are looked at, how many are answered at once, and in which order. */
import { describe, expect, test } from "vitest";
import { ANSWERS_A_TURN, WAITS_MAX } from "../../../src/limits.ts";
import { Waits } from "../../../src/peers/waits.ts";
import { VirtualTime } from "../../models/virtual-time.ts";

class Stage {
  readonly time = new VirtualTime();
  readonly waits = new Waits(this.time);
  /** Conditions with numbers up to this one hold. */
  met = 0;
  looks = 0;
  readonly resolved: number[] = [];
  readonly rejected: number[] = [];

  until(number: number, lane?: unknown, signal?: AbortSignal): void {
    const isMet = (): boolean => {
      this.looks += 1;
      return number <= this.met;
    };
    this.waits.until(isMet, lane, signal).then(
      () => this.resolved.push(number),
      () => this.rejected.push(number),
    );
  }

  /** Something happens, and a turn passes. */
  async turn(met = this.met): Promise<void> {
    this.met = met;
    this.waits.check();
    this.looks = 0;
    this.time.oneTurn();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, at) => at + 1);

describe("of one lane", () => {
  test("only the first that is not met is looked at, however many wait, and once a turn", async () => {
    const stage = new Stage();
    for (const number of numbers(1000)) stage.until(number, "lane");
    for (let times = 0; times < 100; times++) stage.waits.check();
    await stage.turn();
    expect(stage.looks).toBe(1);
    await stage.turn(3);
    expect(stage.looks).toBe(4);
    expect(stage.resolved).toEqual([1, 2, 3]);
  });

  test("one that gives up lets those behind it through", async () => {
    const stage = new Stage();
    const giveUp = new AbortController();
    stage.until(5, "lane", giveUp.signal);
    stage.until(1, "lane");
    await stage.turn(1);
    expect(stage.resolved).toEqual([]);
    giveUp.abort();
    await stage.turn();
    expect([stage.rejected, stage.resolved, stage.waits.size]).toEqual([[5], [1], 0]);
  });
});

describe("a turn", () => {
  test("answers so many, and the next ones the others, without being asked", async () => {
    const stage = new Stage();
    const count = 2 * ANSWERS_A_TURN + 1;
    for (const number of numbers(count)) stage.until(number, number % 2);
    await stage.turn(count);
    expect(stage.resolved).toHaveLength(ANSWERS_A_TURN);
    expect(stage.waits.size).toBe(ANSWERS_A_TURN + 1);
    await stage.time.run(0);
    expect(stage.resolved.toSorted((a, b) => a - b)).toEqual(numbers(count));
    expect([stage.waits.size, stage.time.pending]).toEqual([0, 0]);
  });

  test("a lane that is always full does not keep others from being answered", async () => {
    const stage = new Stage();
    const full = (): void => {
      for (let at = 0; at <= ANSWERS_A_TURN; at++) stage.until(stage.met + 1, "full");
    };
    full();
    stage.until(1);
    await stage.turn(1);
    expect(stage.resolved).toHaveLength(ANSWERS_A_TURN);
    full();
    await stage.turn(2);
    expect(stage.resolved.filter((number) => number === 1)).toHaveLength(ANSWERS_A_TURN + 2);
  });

  test("is not taken for nobody", () => {
    const stage = new Stage();
    stage.waits.check();
    expect(stage.time.pending).toBe(0);
  });
});

test("closing resolves what is met, and rejects what is not and what comes later", async () => {
  const stage = new Stage();
  stage.until(1);
  stage.until(2, "lane");
  stage.until(3, "lane");
  stage.met = 2;
  stage.waits.check();
  stage.waits.close(new Error("closed"));
  stage.until(4);
  expect(stage.time.pending).toBe(0);
  await stage.time.run(0);
  expect([stage.resolved, stage.rejected.toSorted(), stage.waits.size]).toEqual([[1, 2], [3, 4], 0]);
});

test("one more than may wait is refused, until one has been answered", async () => {
  const stage = new Stage();
  for (let at = 0; at < WAITS_MAX; at++) stage.until(1, at % 3 === 0 ? "lane" : undefined);
  const refused = stage.waits.until(() => false, undefined, undefined);
  await expect(refused).rejects.toMatchObject({ code: "ERR_LIMIT" });
  await stage.turn(1);
  stage.until(2);
  expect(stage.waits.size).toBe(WAITS_MAX - ANSWERS_A_TURN + 1);
});
