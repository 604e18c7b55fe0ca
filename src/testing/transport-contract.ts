/**
 * What src/transport.ts promises, as checks that any transport can be put through. They need nothing but Node.js, and
 * no test runner: hand each one to yours.
 */
import assert from "node:assert/strict";
import type { Channel, Transport, TransportHost } from "../transport.ts";
import type { NodeId } from "../types.ts";

/**
 * The contract of a transport, as named checks. With vitest, jest or node:test:
 *
 *     for (const { name, run } of transportContract({ create })) test(name, run);
 *
 * Run them one after the other: the last one counts the handles of the process.
 */
export function transportContract({ create }: TransportContractOptions): TransportCheck[] {
  return CHECKS.map(({ name, body }) => ({
    name,
    async run() {
      const bench = await create();
      try {
        await body(bench);
      } finally {
        await bench.dispose?.();
      }
    },
  }));
}

export interface TransportContractOptions {
  /** Called once for each check. */
  readonly create: () => TransportBench | Promise<TransportBench>;
}

/** What the contract needs to know about a transport. */
export interface TransportBench {
  /** A fresh transport that listens, able to reach the others of this bench. Called three times at most. */
  transport(): Transport;
  /** An address of the right kind at which nobody listens. */
  readonly nowhere: string;
  /** How long anything may take. Default 5000. */
  readonly deadlineMs?: number;
  /** Releases what the bench itself has opened. */
  dispose?(): Promise<void>;
}

export interface TransportCheck {
  /** What must hold. */
  readonly name: string;
  /** Rejects if it does not. Closes every transport that it made. */
  run(): Promise<void>;
}

interface Check {
  readonly name: string;
  readonly body: (bench: TransportBench) => Promise<void>;
}

/** Small, so that the largest frame is quick, and a whole mebibyte, so that every length encoding is met. */
const MAX_FRAME_BYTES = 1024 * 1024;
const SIZES = [1, 2, 125, 126, 127, 128, 4096, 65_535, 65_536, 65_537, MAX_FRAME_BYTES];

const CHECKS: readonly Check[] = [
  check("a dialed channel reaches the one who listens, and frames go both ways", async (a, b) => {
    const [ours, theirs] = await connect(a, b);
    assert.ok(ours.channel.remote.length > 0 && theirs.channel.remote.length > 0, "remote names the other end");
    ours.channel.send(bytes(1));
    theirs.channel.send(bytes(2));
    await theirs.got(1);
    await ours.got(1);
    assertFrames(ours.frames, [bytes(2)]);
    assertFrames(theirs.frames, [bytes(1)]);
  }),

  check("frames of every size arrive whole and in order, both ways at once, and stay as they were", async (a, b) => {
    const [ours, theirs] = await connect(a, b);
    const sent = [...SIZES, ...SIZES].map((size, index) => pattern(size, index));
    for (const frame of sent) {
      ours.channel.send(frame);
      theirs.channel.send(frame);
    }
    for (const end of [ours, theirs]) {
      await end.got(sent.length);
      assertFrames(end.frames, sent);
    }
  }),

  check("a burst of small frames arrives in order", async (a, b) => {
    const [ours, theirs] = await connect(a, b);
    const sent = Array.from({ length: 3000 }, (_, index) => pattern(20, index));
    for (const frame of sent) ours.channel.send(frame);
    await theirs.got(sent.length);
    assertFrames(theirs.frames, sent);
  }),

  check("channels between the same two are independent", async (a, b) => {
    const [one, oneThere] = await connect(a, b);
    const [two, twoThere] = await connect(a, b);
    one.channel.send(bytes(1));
    two.channel.send(bytes(2));
    await oneThere.got(1);
    await twoThere.got(1);
    assertFrames(oneThere.frames, [bytes(1)]);
    assertFrames(twoThere.frames, [bytes(2)]);
    one.channel.close();
    await oneThere.closed();
    two.channel.send(bytes(3));
    await twoThere.got(2);
    assert.equal(twoThere.reasons.length, 0, "the other channel stays open");
  }),

  check(
    "either side may start and send at once, and frames that come before start are kept",
    async (a, b, { watch }) => {
      const accepted = b.next((theirs) => {
        theirs.send(bytes(1));
        theirs.send(bytes(2));
      });
      const channel = await a.dial(b.address);
      await watch.within(accepted, "accept");
      // A round trip on a second channel: time for the frames of the first to arrive.
      const [second, secondThere] = await connect(a, b);
      secondThere.channel.send(bytes(9));
      await second.got(1);
      const ours = a.start(channel);
      await ours.got(2);
      assertFrames(ours.frames, [bytes(1), bytes(2)]);
    },
  ),

  check("frames and the end of a channel that closed before start are kept too", async (a, b, { watch }) => {
    const accepted = b.next((theirs) => {
      theirs.send(bytes(1));
      theirs.close();
    });
    const channel = await a.dial(b.address);
    await watch.within(accepted, "accept");
    const [second, secondThere] = await connect(a, b);
    secondThere.channel.send(bytes(9));
    await second.got(1);
    const ours = a.start(channel);
    await ours.closed();
    assertFrames(ours.frames, [bytes(1)]);
  }),

  check("start after our own close still reports closed, once", async (a, b) => {
    const accepted = b.next();
    const channel = await a.dial(b.address);
    const theirs = b.start(await accepted);
    channel.close();
    await theirs.closed();
    const ours = a.start(channel);
    await ours.closed();
    await turns(5);
    assert.equal(ours.reasons.length, 1);
  }),

  check("nothing is called back within a call", async (a, b) => {
    const [ours, theirs] = await connect(a, b);
    for (let round = 0; round < 20; round++) {
      ours.send(bytes(1));
      theirs.send(bytes(2));
    }
    await ours.got(20);
    await theirs.got(20);
    theirs.send(bytes(3));
    ours.close();
    theirs.close();
    await ours.closed();
    await theirs.closed();
    // The ends note every callback that comes within one of these calls.
  }),

  check("two replicas that answer each other at once do not starve timers", async (a, b, { watch }) => {
    const [ours, theirs] = await connect(a, b);
    let fired = false;
    let rounds = 0;
    const done = new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        fired = true;
        resolve();
      }, 5);
      const answer = (end: End): void => {
        // Far more rounds than fit into the time of the timer, but not for ever: a hung suite tells nobody anything.
        if (++rounds < 200_000 && !fired) end.channel.send(bytes(1));
        else {
          clearTimeout(timer);
          resolve();
        }
      };
      ours.onFrame = () => answer(ours);
      theirs.onFrame = () => answer(theirs);
      ours.channel.send(bytes(1));
    });
    await watch.within(done, "the exchange");
    assert.ok(fired, "a timer of 5 ms fired during the exchange");
  }),

  ...(["the dialer", "the other one", "both at once"] as const).map((who) =>
    check(`closed comes exactly once at both ends when ${who} closes`, async (a, b) => {
      const [ours, theirs] = await connect(a, b);
      if (who !== "the other one") ours.channel.close();
      if (who !== "the dialer") theirs.channel.close();
      ours.channel.close();
      await ours.closed();
      await theirs.closed();
      for (const { channel } of [ours, theirs]) {
        channel.close();
        channel.send(bytes(1));
      }
      await turns(10);
      for (const end of [ours, theirs]) {
        assert.equal(end.reasons.length, 1, "closed is called once");
        assert.ok(end.reasons[0], "with a reason");
        assert.equal(end.frames.length, 0, "send after close does nothing");
      }
    }),
  ),

  check("what was sent before close arrives, then closed", async (a, b) => {
    const [ours, theirs] = await connect(a, b);
    const sent = Array.from({ length: 50 }, (_, index) => pattern(10_000, index));
    for (const frame of sent) ours.channel.send(frame);
    ours.channel.close();
    await theirs.closed();
    assertFrames(theirs.frames, sent);
  }),

  check("after our own close no frame is delivered to us", async (a, b) => {
    const [ours, theirs] = await connect(a, b);
    ours.onFrame = () => ours.channel.close();
    for (let n = 0; n < 100; n++) theirs.channel.send(pattern(100, n));
    await ours.closed();
    await theirs.closed();
    assert.equal(ours.frames.length, 1);
  }),

  check(
    "a dial to nowhere rejects, and so does one to something that is no address",
    async (a, _b, { nowhere, watch }) => {
      for (const address of [nowhere, "nonsense", ""]) {
        await assert.rejects(watch.within(a.dial(address), `the dial to ${JSON.stringify(address)}`), Error);
      }
    },
  ),

  check("a dial rejects with the reason of its signal, aborted before or during it", async (a, b, { watch }) => {
    const reason = new Error("changed my mind");
    await assert.rejects(watch.within(a.dial(b.address, AbortSignal.abort(reason)), "the dial"), reason);
    const controller = new AbortController();
    const dial = a.dial(b.address, controller.signal);
    controller.abort(reason);
    await assert.rejects(watch.within(dial, "the dial"), reason);
    // If the other end has seen a channel it sees it close.
    await turns(5);
    for (const channel of b.accepted) await b.start(channel).closed();
  }),

  check("aborting after the dial has succeeded does nothing", async (a, b) => {
    const controller = new AbortController();
    const accepted = b.next();
    const ours = a.start(await a.dial(b.address, controller.signal));
    const theirs = b.start(await accepted);
    controller.abort();
    ours.channel.send(bytes(1));
    await theirs.got(1);
  }),

  check("close of a transport closes its channels at both ends, and is idempotent", async (a, b, { watch }) => {
    const [one, oneThere] = await connect(a, b);
    const [two, twoThere] = await connect(b, a);
    await Promise.all([watch.within(a.transport.close(), "close"), watch.within(a.transport.close(), "close again")]);
    for (const end of [one, oneThere, two, twoThere]) await end.closed();
    await watch.within(a.transport.close(), "close a third time");
    await turns(5);
    for (const end of [one, oneThere, two, twoThere]) assert.equal(end.reasons.length, 1);
    await assert.rejects(watch.within(b.dial(a.address), "a dial to the closed transport"), Error);
    await assert.rejects(watch.within(a.dial(b.address), "a dial from the closed transport"), Error);
  }),

  check("close does not wait for another end that does not read", async (a, b, { watch }) => {
    const accepted = b.next();
    const ours = a.start(await a.dial(b.address));
    await accepted;
    for (let n = 0; n < 8; n++) ours.channel.send(pattern(MAX_FRAME_BYTES, n));
    await watch.within(a.transport.close(), "close");
    await ours.closed();
  }),

  check("close settles the dials under way", async (a, b, { watch }) => {
    const dials = Promise.allSettled([a.dial(b.address), a.dial(b.address)]);
    await watch.within(a.transport.close(), "close");
    for (const outcome of await watch.within(dials, "the dials")) {
      if (outcome.status === "fulfilled") await a.start(outcome.value).closed();
    }
  }),

  check("close is fine before listen", async (_a, _b, { another, watch }) => {
    await watch.within(another().close(), "close");
  }),

  {
    name: "afterwards no handle is left",
    async body(bench) {
      await turns(5);
      const before = handles();
      await check("", async (a, b) => {
        const [ours] = await connect(a, b);
        ours.channel.send(bytes(1));
        await connect(b, a);
        // Never started, and never answered.
        await a.dial(b.address);
      }).body(bench);
      // Closing a socket takes the event loop a few turns, and the runner of the tests has timers of its own.
      const giveUpAt = performance.now() + (bench.deadlineMs ?? DEADLINE_MS);
      while (newHandles(before).length > 0 && performance.now() < giveUpAt) await turns(1);
      assert.deepEqual(newHandles(before), []);
    },
  },
];

type Body = (a: Replica, b: Replica, stage: Stage) => Promise<void>;

interface Stage {
  readonly nowhere: string;
  readonly another: () => Transport;
  readonly watch: Watch;
}

/** A check on two replicas that listen. */
function check(name: string, body: Body): Check {
  return {
    name,
    async body(bench) {
      const watch = new Watch(bench.deadlineMs ?? DEADLINE_MS);
      const a = new Replica(bench.transport(), "a" as NodeId, watch);
      const b = new Replica(bench.transport(), "b" as NodeId, watch);
      try {
        await watch.within(a.listen(), "listen");
        await watch.within(b.listen(), "listen");
        await body(a, b, { nowhere: bench.nowhere, another: () => bench.transport(), watch });
      } finally {
        await watch.within(Promise.all([a.transport.close(), b.transport.close()]), "close");
      }
      assert.deepEqual(watch.problems, []);
    },
  };
}

/** A channel from `a` to `b`, both ends started. */
async function connect(a: Replica, b: Replica): Promise<[End, End]> {
  const accepted = b.next();
  const ours = a.start(await a.watch.within(a.dial(b.address), "the dial"));
  return [ours, b.start(await b.watch.within(accepted, "accept"))];
}

class Replica {
  readonly transport: Transport;
  readonly accepted: Channel[] = [];
  #onAccept: ((channel: Channel) => void) | undefined;
  readonly watch: Watch;
  readonly #host: TransportHost;
  #address: string | undefined;

  constructor(transport: Transport, nodeId: NodeId, watch: Watch) {
    this.transport = transport;
    this.watch = watch;
    this.#host = {
      nodeId,
      clusterId: "contract",
      maxFrameBytes: MAX_FRAME_BYTES,
      accept: (channel) => {
        this.accepted.push(channel);
        this.#onAccept?.(channel);
      },
    };
  }

  get address(): string {
    assert.ok(this.#address !== undefined, "listen returns an address to dial");
    return this.#address;
  }

  async listen(): Promise<void> {
    const addresses = await this.transport.listen(this.#host);
    this.#address = addresses[0];
    assert.equal(typeof [...this.transport.seeds()].length, "number");
  }

  async dial(address: string, signal: AbortSignal = new AbortController().signal): Promise<Channel> {
    return this.transport.dial(address, signal);
  }

  start(channel: Channel): End {
    return new End(channel, this.watch);
  }

  /** The next channel that is accepted. `act` gets it within `accept`. */
  next(act?: (channel: Channel) => void): Promise<Channel> {
    return new Promise((resolve) => {
      this.#onAccept = (channel) => {
        this.#onAccept = undefined;
        act?.(channel);
        resolve(channel);
      };
    });
  }
}

/** A started channel that notes what happens to it. */
class End {
  readonly channel: Channel;
  readonly frames: Uint8Array[] = [];
  readonly reasons: string[] = [];
  onFrame: (() => void) | undefined;
  readonly #watch: Watch;
  #notify: (() => void) | undefined;

  constructor(channel: Channel, watch: Watch) {
    this.channel = channel;
    this.#watch = watch;
    this.#call("start", () =>
      channel.start({ frame: (frame) => this.#frame(frame), closed: (why) => this.#closed(why) }),
    );
  }

  closed(): Promise<void> {
    return this.#until(() => this.reasons.length > 0, "closed");
  }

  got(count: number): Promise<void> {
    return this.#until(() => this.frames.length >= count, `${count} frames`);
  }

  send(frame: Uint8Array): void {
    this.#call("send", () => this.channel.send(frame));
  }

  close(): void {
    this.#call("close", () => this.channel.close());
  }

  #frame(frame: Uint8Array): void {
    this.#note("a frame");
    this.frames.push(frame);
    this.onFrame?.();
    this.#notify?.();
  }

  #closed(reason: string): void {
    this.#note("closed");
    this.reasons.push(reason);
    this.#notify?.();
  }

  #call(what: string, call: () => void): void {
    this.#watch.callUnderWay = what;
    call();
    this.#watch.callUnderWay = undefined;
  }

  /** A callback cannot throw at the suite, so what is wrong with it is kept for the end of the check. */
  #note(what: string): void {
    const { callUnderWay, problems } = this.#watch;
    if (callUnderWay !== undefined) problems.push(`${what} came within ${callUnderWay}`);
    if (this.reasons.length > 0) problems.push(`${what} came after closed`);
  }

  async #until(holds: () => boolean, what: string): Promise<void> {
    const reached = new Promise<void>((resolve) => {
      this.#notify = () => {
        if (holds()) resolve();
      };
      this.#notify();
    });
    await this.#watch.within(reached, what);
  }
}

const DEADLINE_MS = 5000;

/** What one check keeps an eye on. */
class Watch {
  readonly #deadlineMs: number;
  readonly problems: string[] = [];
  /** The call that is under way, at either end of any channel: neither may be called back within it. */
  callUnderWay: string | undefined;

  constructor(deadlineMs: number) {
    this.#deadlineMs = deadlineMs;
  }

  async within<T>(promise: Promise<T>, what: string): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`waited ${this.#deadlineMs} ms for ${what}`)), this.#deadlineMs);
    });
    try {
      return await Promise.race([promise, deadline]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Lets the event loop come round: for things that must not happen. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** What keeps the process alive, other than its own streams. */
function handles(): string[] {
  return process.getActiveResourcesInfo().filter((kind) => /tcp|udp|pipe|timeout|immediate|server|tls/i.test(kind));
}

function newHandles(before: readonly string[]): string[] {
  const known = [...before];
  return handles().filter((kind) => {
    const at = known.indexOf(kind);
    if (at >= 0) known.splice(at, 1);
    return at < 0;
  });
}

function bytes(...values: number[]): Uint8Array {
  return Uint8Array.from(values);
}

/** Distinct bytes: two frames that are mixed up, shifted or cut are not equal. */
function pattern(size: number, seed: number): Uint8Array {
  const frame = new Uint8Array(size);
  for (let at = 0, state = seed * 2_654_435_761 + 1; at < size; at++) {
    state = (state * 1_664_525 + 1_013_904_223) >>> 0;
    frame[at] = state >>> 24;
  }
  return frame;
}

function assertFrames(actual: readonly Uint8Array[], expected: readonly Uint8Array[]): void {
  assert.equal(actual.length, expected.length, "number of frames");
  // Not deepEqual, which takes seconds for a mebibyte.
  for (const [index, frame] of expected.entries()) {
    const other = actual[index];
    assert.ok(other !== undefined && Buffer.compare(other, frame) === 0, `frame ${index} of ${frame.length} bytes`);
  }
}
