/** The consumer's side of a watch: what an async generator would do, in fewer steps. */
import { describe, expect, test } from "vitest";
import { WATCH_EVENTS_A_TURN } from "../../../src/limits.ts";
import { Delivery, type EventQueue } from "../../../src/watch/delivery.ts";
import { VirtualTime } from "../../models/virtual-time.ts";

interface Numbered {
  readonly n: number;
}

/** A queue in the open. */
class Numbers implements EventQueue<Numbered> {
  readonly waiting: (Numbered | Error)[] = [];
  discarded = 0;

  take(): Numbered | undefined {
    const next = this.waiting.shift();
    if (next instanceof Error) throw next;
    return next;
  }

  discard(): void {
    this.waiting.length = 0;
    this.discarded += 1;
  }
}

function stage(signal?: AbortSignal) {
  const queue = new Numbers();
  let released = 0;
  const release = (): void => {
    released += 1;
  };
  const time = new VirtualTime();
  const delivery = new Delivery(queue, { timers: time, signal, release });
  delivery.listen();
  const push = (...numbers: number[]): void => {
    queue.waiting.push(...numbers.map((n) => ({ n })));
    delivery.wake();
  };
  return { queue, delivery, events: delivery.iteration(), push, time, released: () => released };
}

const DONE = { done: true, value: undefined };
const given = (n: number) => ({ done: false, value: { n } });

describe("next", () => {
  test("several at once are answered in order, each once", async () => {
    const { events, push, delivery } = stage();
    push(1);
    const asked = [events.next(), events.next(), events.next(), events.next()];
    push(2, 3);
    push(4, 5);
    expect(await Promise.all(asked)).toEqual([1, 2, 3, 4].map(given));
    expect(delivery.isAwaited).toBe(false);
    expect(await events.next()).toEqual(given(5));
  });

  test("one that waits is answered in the next turn of the microtask queue, and so is one that need not wait", async () => {
    const { events, push } = stage();
    const order: string[] = [];
    const waiting = events.next().then(() => order.push("waited"));
    push(1, 2);
    const atOnce = events.next().then(() => order.push("at once"));
    await Promise.resolve().then(() => order.push("one turn"));
    await Promise.all([waiting, atOnce]);
    expect(order).toEqual(["waited", "at once", "one turn"]);
  });

  test("waking without news answers nobody", async () => {
    const { events, push, delivery } = stage();
    const waiting = events.next();
    delivery.wake();
    expect(delivery.isAwaited).toBe(true);
    push(1);
    expect(await waiting).toEqual(given(1));
  });
});

describe("more than one turn of the event loop is to take", () => {
  const MANY = WATCH_EVENTS_A_TURN * 2 + 10;

  function flooded(signal?: AbortSignal) {
    const staged = stage(signal);
    staged.push(...Array.from({ length: MANY }, (_, n) => n));
    const taken: number[] = [];
    const taking = (async () => {
      for await (const { n } of staged.events) taken.push(n);
    })();
    return { ...staged, taken, taking };
  }

  const settle = async (): Promise<void> => {
    for (let n = 0; n < MANY * 4; n += 1) await Promise.resolve();
  };

  test("waits for the next one, and what comes meanwhile comes behind it", async () => {
    const { taken, push, time, delivery, taking } = flooded();
    await settle();
    expect(taken.length).toBe(WATCH_EVENTS_A_TURN);
    expect(delivery.isAwaited).toBe(false);
    push(MANY);
    await settle();
    expect(taken.length).toBe(WATCH_EVENTS_A_TURN);
    expect(time.pending, "one pause is enough").toBe(1);
    await time.run(0);
    expect(taken).toEqual(Array.from({ length: MANY + 1 }, (_, n) => n));
    expect(delivery.isAwaited).toBe(true);
    delivery.end();
    await taking;
  });

  test("so it is where all is asked for at once", async () => {
    const { events, push, time } = stage();
    const asked = Array.from({ length: MANY }, () => events.next());
    let answered = 0;
    for (const answer of asked) void answer.then(() => (answered += 1));
    push(...Array.from({ length: MANY }, (_, n) => n));
    await settle();
    expect(answered).toBe(WATCH_EVENTS_A_TURN);
    await time.run(0);
    expect(await Promise.all(asked)).toEqual(Array.from({ length: MANY }, (_, n) => given(n)));
  });

  test("nobody who takes what comes, one by one, ever waits for a turn", async () => {
    const { events, push, time } = stage();
    for (let n = 0; n < MANY; n += 1) {
      const next = events.next();
      push(n);
      expect(await next).toEqual(given(n));
    }
    expect(time.pending).toBe(0);
  });

  test("an abort and a return end the pause, an end does not", async () => {
    const controller = new AbortController();
    const aborted = flooded(controller.signal);
    await settle();
    controller.abort(new Error("enough"));
    await expect(aborted.taking).rejects.toThrow("enough");
    const left = flooded();
    await settle();
    await left.events.return?.();
    await left.taking;
    const ended = flooded();
    await settle();
    ended.delivery.end();
    await settle();
    expect(ended.taken.length).toBe(WATCH_EVENTS_A_TURN);
    await ended.time.run(0);
    await ended.taking;
    expect(ended.taken.length).toBe(MANY);
  });
});

describe("the end", () => {
  test("comes after what is left, to all who wait, and stays", async () => {
    const { events, push, delivery, released } = stage();
    push(1);
    delivery.end();
    expect(released()).toBe(1);
    expect([await events.next(), await events.next(), await events.next()]).toEqual([given(1), DONE, DONE]);
  });

  test("with an error: the first who asks gets it, the others are done", async () => {
    const { events, delivery } = stage();
    const asked = [events.next(), events.next()];
    const error = new Error("the log has failed");
    delivery.end(error);
    // The first end counts.
    delivery.end();
    expect(await Promise.allSettled(asked)).toEqual([
      { status: "rejected", reason: error },
      { status: "fulfilled", value: DONE },
    ]);
    expect(await events.next()).toEqual(DONE);
  });

  test("an abort discards what is left, and its reason may be undefined", async () => {
    const { events, push, delivery, queue } = stage();
    push(1);
    delivery.abort(undefined);
    expect(queue.waiting).toEqual([]);
    await expect(events.next()).rejects.toBeUndefined();
    expect(await events.next()).toEqual(DONE);
  });

  test("a consumer that has left, or been told of the end, hears of no later one", async () => {
    const left = stage();
    await left.events.return?.();
    left.delivery.abort(new Error("too late"));
    expect(await left.events.next()).toEqual(DONE);
    const told = stage();
    told.delivery.end();
    expect(await told.events.next()).toEqual(DONE);
    told.delivery.abort(new Error("too late"));
    expect(await told.events.next()).toEqual(DONE);
  });

  test("an event that cannot be made ends the watch, where it is read and where it is published", async () => {
    const error = new Error("of a kind that nobody knows");
    const reading = stage();
    reading.queue.waiting.push(error, { n: 1 });
    await expect(reading.events.next()).rejects.toBe(error);
    expect(await reading.events.next()).toEqual(DONE);
    expect([reading.queue.discarded, reading.released()]).toEqual([1, 1]);
    const waiting = stage();
    const asked = waiting.events.next();
    waiting.queue.waiting.push(error);
    waiting.delivery.wake();
    await expect(asked).rejects.toBe(error);
  });
});

describe("return and throw", () => {
  test("answer those who wait, pass on what they are given, and end it", async () => {
    const returned = stage();
    const asked = [returned.events.next(), returned.events.next()];
    expect(await returned.events.return?.(Promise.resolve(5))).toEqual({ done: true, value: 5 });
    expect(await Promise.all(asked)).toEqual([DONE, DONE]);
    const thrown = stage();
    thrown.push(1);
    const error = new Error("enough");
    await expect(thrown.events.throw?.(error)).rejects.toBe(error);
    expect(await thrown.events.next()).toEqual(DONE);
    expect([thrown.queue.discarded, thrown.released()]).toEqual([1, 1]);
  });

  test("a loop that is left lets go of the signal", async () => {
    const controller = new AbortController();
    const { events, push, queue, released } = stage(controller.signal);
    push(1, 2);
    for await (const { n } of events) if (n === 1) break;
    expect([queue.discarded, released()]).toEqual([1, 1]);
    controller.abort();
    expect([queue.discarded, released()]).toEqual([1, 1]);
  });
});
