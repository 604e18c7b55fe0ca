/** One exchange, and what it says to neighbours that the test plays. In virtual time. */
import { beforeEach, describe, expect, test } from "vitest";
import { ChunkExchange } from "../../../demo/filesync/chunk-exchange.ts";
import { type ChunkMessage, encodeMessage, parseMessage } from "../../../demo/filesync/chunk-messages.ts";
import { CHUNK_BYTES, type ChunkHash, describeBytes, hashOf } from "../../../demo/filesync/content.ts";
import { Pace, WINDOW_BYTES } from "../../../demo/filesync/neighbour.ts";

let nowMs: number;
let exchange: ChunkExchange;
/** Of our folder. */
let own: Map<ChunkHash, Uint8Array>;
let arrived: ChunkHash[];

beforeEach(() => {
  nowMs = 0;
  own = new Map();
  arrived = [];
  exchange = new ChunkExchange({ nowMs: () => nowMs, notice: () => undefined });
  exchange.serve({
    has: (chunk) => own.has(chunk),
    read: async (chunk) => own.get(chunk),
    arrived: (chunk) => arrived.push(chunk),
  });
});

class Player {
  readonly heard: ChunkMessage[] = [];
  readonly #receiver;

  constructor(nodeId: string) {
    const send = (frame: Uint8Array): void => void this.heard.push(parseMessage(frame)!);
    this.#receiver = exchange.opened({ nodeId, send, close: () => undefined });
  }

  say(message: ChunkMessage): void {
    this.#receiver.frame(encodeMessage(message));
  }

  answer(...values: readonly Uint8Array[]): void {
    for (const value of values) this.say({ type: "chunk", chunk: hashOf(value), value });
  }

  leave(): void {
    this.#receiver.closed();
  }

  /** What it was asked for since the last call, once all that follows from what was said has been done. */
  async asked(): Promise<ChunkHash[]> {
    return (await this.told("want")).flatMap((message) => ("chunks" in message ? message.chunks : []));
  }

  async told(type: ChunkMessage["type"]): Promise<ChunkMessage[]> {
    await new Promise((resolve) => setImmediate(resolve));
    return this.heard.splice(0).filter((message) => message.type === type);
  }
}

/** Chunks of a size, no two of them alike. */
function chunks(count: number, bytes = 1000): Uint8Array[] {
  return Array.from({ length: count }, (_, index) => Buffer.alloc(bytes, `chunk ${index} of ${bytes} `));
}

function want(values: readonly Uint8Array[]): void {
  for (const value of values) exchange.want(hashOf(value), value.length);
}

describe("what is lacking", () => {
  test("is asked for once, of whoever is there", async () => {
    const values = chunks(20);
    const [one, two] = [new Player("one"), new Player("two")];
    want(values);
    const lists = [await one.asked(), await two.asked()];
    expect(lists.flat().sort()).toEqual(values.map(hashOf).sort());
    expect(lists.map((list) => list.length)).toEqual([10, 10]);
  });

  test("is asked for elsewhere when it is not there, and when who was asked has gone", async () => {
    const [value] = chunks(1);
    const chunk = hashOf(value!);
    const one = new Player("one");
    want([value!]);
    expect(await one.asked()).toEqual([chunk]);
    const two = new Player("two");
    one.say({ type: "none", chunks: [chunk] });
    expect(await two.asked()).toEqual([chunk]);
    const three = new Player("three");
    two.leave();
    expect(await three.asked()).toEqual([chunk]);
    expect(await one.asked()).toEqual([]);
    three.answer(value!);
    expect(arrived).toEqual([chunk]);
    expect(exchange.get(chunk)).toEqual(Buffer.from(value!));
    exchange.unwant(chunk);
    expect(exchange.get(chunk)).toBeUndefined();
  });

  test("is asked for again after a while, or at once when somebody says that it is there", async () => {
    const [value] = chunks(1);
    const chunk = hashOf(value!);
    const one = new Player("one");
    want([value!]);
    await one.asked();
    one.say({ type: "none", chunks: [chunk] });
    expect(await one.asked()).toEqual([]);
    exchange.tick();
    expect(await one.asked()).toEqual([chunk]);
    one.say({ type: "none", chunks: [chunk] });
    nowMs += 999;
    exchange.tick();
    expect(await one.asked()).toEqual([]);
    one.say({ type: "have", chunks: [chunk] });
    expect(await one.asked()).toEqual([chunk]);
    one.say({ type: "none", chunks: [chunk] });
    expect(await one.asked()).toEqual([]);
    nowMs += 1;
    exchange.tick();
    expect(await one.asked()).toEqual([chunk]);
  });

  test("is asked for elsewhere when the answer does not come", async () => {
    const [value] = chunks(1);
    const [one, two] = [new Player("one"), new Player("two")];
    want([value!]);
    expect(await one.asked()).toHaveLength(1);
    nowMs += 29_999;
    exchange.tick();
    expect(await two.asked()).toEqual([]);
    nowMs += 1;
    exchange.tick();
    expect(await two.asked()).toEqual([hashOf(value!)]);
  });

  test("comes in a window: what has arrived and was not used yet counts", async () => {
    const values = chunks(40, CHUNK_BYTES);
    const one = new Player("one");
    want(values);
    const queue = await one.asked();
    expect(queue).toHaveLength(2);
    const byHash = new Map(values.map((value) => [hashOf(value), value]));
    for (let chunk = queue.shift(); chunk !== undefined; chunk = queue.shift()) {
      one.answer(byHash.get(chunk)!);
      queue.push(...(await one.asked()));
    }
    expect(arrived).toHaveLength(WINDOW_BYTES / CHUNK_BYTES);
    exchange.unwant(arrived[0]!);
    expect(await one.asked()).toHaveLength(1);
  });
});

describe("what others lack", () => {
  test("is sent if it is here, and they are told when it is after all", async () => {
    const [here, later] = chunks(2);
    const one = new Player("one");
    own.set(hashOf(here!), here!);
    one.say({ type: "want", chunks: [hashOf(here!), hashOf(later!)] });
    expect(exchange.queued).toBe(2);
    await new Promise((resolve) => setImmediate(resolve));
    expect(one.heard.splice(0)).toEqual([
      { type: "chunk", chunk: hashOf(here!), value: Buffer.from(here!) },
      { type: "none", chunks: [hashOf(later!)] },
    ]);
    expect(exchange.queued).toBe(0);
    exchange.announce([hashOf(later!)]);
    expect(await one.told("have")).toEqual([{ type: "have", chunks: [hashOf(later!)] }]);
    exchange.announce([hashOf(later!)]);
    expect(await one.told("have")).toEqual([]);
  });

  test("is passed on while it is only arriving", async () => {
    const [value] = chunks(1);
    const [one, two] = [new Player("one"), new Player("two")];
    want([value!]);
    await one.asked();
    two.say({ type: "want", chunks: [hashOf(value!)] });
    expect(await two.told("none")).toHaveLength(1);
    one.answer(value!);
    expect(await two.told("have")).toHaveLength(1);
    two.say({ type: "want", chunks: [hashOf(value!)] });
    expect(await two.told("chunk")).toHaveLength(1);
  });
});

describe("what is given unasked", () => {
  const give = async (value: Uint8Array): Promise<void> =>
    await exchange.giveUnasked(describeBytes(value), async (offset, bytes) => value.subarray(offset, offset + bytes));

  test("stays until it is used, and then there is room for more", async () => {
    const [value] = chunks(1, 5000);
    const one = new Player("one");
    one.say({ type: "gift", chunk: hashOf(value!), value: value! });
    expect(arrived).toEqual([]);
    expect(await one.told("taken")).toEqual([]);
    want([value!]);
    expect(arrived).toEqual([hashOf(value!)]);
    expect(await one.asked()).toEqual([]);
    exchange.unwant(hashOf(value!));
    expect(await one.told("taken")).toEqual([{ type: "taken", chunks: [hashOf(value!)] }]);
    expect(exchange.get(hashOf(value!))).toBeUndefined();
  });

  test("is dropped when nobody has wanted it for long", async () => {
    const [value] = chunks(1, 5000);
    const one = new Player("one");
    one.say({ type: "gift", chunk: hashOf(value!), value: value! });
    nowMs += 14_999;
    exchange.tick();
    expect(exchange.get(hashOf(value!))).toBeDefined();
    nowMs += 1;
    exchange.tick();
    expect(exchange.get(hashOf(value!))).toBeUndefined();
    expect(await one.told("taken")).toHaveLength(1);
  });

  test("goes to all who have room, and to nobody who has not taken what was given before", async () => {
    const values = chunks(3, CHUNK_BYTES);
    const [one, two] = [new Player("one"), new Player("two")];
    await give(values[0]!);
    await give(values[1]!);
    expect(await one.told("gift")).toHaveLength(2);
    expect(await two.told("gift")).toHaveLength(2);
    one.say({ type: "taken", chunks: [hashOf(values[0]!)] });
    await give(values[2]!);
    expect(await one.told("gift")).toHaveLength(1);
    expect(await two.told("gift")).toHaveLength(0);
  });

  test("is what is new only, and not what is large", async () => {
    const [known, fresh] = chunks(2, CHUNK_BYTES);
    own.set(hashOf(known!), known!);
    const one = new Player("one");
    await give(Buffer.concat([known!, fresh!]));
    expect(await one.told("gift")).toMatchObject([{ chunk: hashOf(fresh!) }]);
    await give(Buffer.concat(chunks(9, CHUNK_BYTES - 1)));
    expect(await one.told("gift")).toEqual([]);
  });
});

test("more is under way where answers are quick, and less where they are slow, but always room for a chunk", () => {
  const pace = new Pace();
  const room = (): number => {
    let bytes = 0;
    while (pace.hasRoom(bytes + CHUNK_BYTES / 2)) bytes += CHUNK_BYTES / 2;
    return bytes / CHUNK_BYTES;
  };
  expect(room()).toBe(2);
  const take = (tookMs?: number): void => {
    pace.begin(CHUNK_BYTES);
    pace.end(CHUNK_BYTES, tookMs);
  };
  take(300);
  expect(room()).toBe(3);
  take(301);
  take(1999);
  take(undefined);
  expect(room()).toBe(3);
  for (let count = 0; count < 20; count++) take(0);
  expect(room()).toBe(16);
  take(2000);
  expect(room()).toBe(8);
  for (let count = 0; count < 20; count++) take(9999);
  expect(room()).toBe(1);
});
