/** A suite is worth what it objects to: each of these transports breaks one promise, and is caught. */
import { expect, test } from "vitest";
import { transportContract } from "wavekv/testing";
import type { Channel, ChannelReceiver, Transport } from "../../src/transport.ts";
import { inProcessNetwork } from "../../transports/in-process.ts";

test("without a fault, the transport of this test passes", async () => {
  expect(await firstFailure({})).toBeUndefined();
});

test.each<[string, Fault]>([
  ["loses a frame", sending((send, frame, count) => count !== 2 && send(frame))],
  ["repeats a frame", sending((send, frame, count) => [send(frame), count === 2 && send(frame)])],
  ["cuts large frames in two", sending((send, frame) => halves(frame).forEach(send))],
  ["damages a byte", sending((send, frame) => send(frame.map((byte, at) => (at === 4095 ? byte ^ 1 : byte))))],
  ["pads small frames", sending((send, frame) => send(frame.length === 1 ? Uint8Array.of(...frame, 0) : frame))],
  ["delays a frame beyond the next", sending((send, frame, count) => (count === 2 ? defer(send, frame) : send(frame)))],
  ["uses the bytes again", receiving((to) => ({ frame: (bytes) => reuse(to, bytes) }))],
  ["says closed twice", receiving((to) => ({ closed: (reason) => [to.closed(reason), to.closed(reason)] }))],
  ["never says closed", receiving(() => ({ closed: () => {} }))],
  ["gives no reason", receiving((to) => ({ closed: () => to.closed("") }))],
  [
    "delivers after closed",
    receiving((to) => ({ closed: (reason) => [to.closed(reason), to.frame(Uint8Array.of(1))] })),
  ],
  ["calls back within start", channel((inner) => ({ start: (to) => [to.frame(Uint8Array.of(1)), inner.start(to)] }))],
  ["calls back within send", receivingAtOnce()],
  ["throws after close", throwingAfterClose()],
  ["closes without sending first", channel((inner) => ({ send: (frame) => defer(() => inner.send(frame)) }))],
  ["has no name for the other end", channel(() => ({ remote: "" }))],
  ["accepts nobody", transport((inner) => ({ listen: (host) => inner.listen({ ...host, accept: () => {} }) }))],
  ["has no address", transport((inner) => ({ listen: (host) => inner.listen(host).then(() => []) }))],
  ["ignores the signal", transport((inner) => ({ dial: (to) => inner.dial(to, new AbortController().signal) }))],
  ["leaves its channels open", transport(() => ({ close: async () => {} }))],
  ["throws at the second close", transport((inner) => ({ close: once(() => inner.close()) }))],
  ["leaves a timer behind", transport((inner) => ({ close: () => leaveTimer(inner) }))],
])("one that %s is caught", async (_, fault) => {
  expect(await firstFailure(fault)).toBeDefined();
});

interface Fault {
  /** What to replace in a channel. */
  readonly channel?: (inner: Channel) => Loose<Channel>;
  /** What to replace in a transport. */
  readonly transport?: (inner: Transport) => Loose<Transport>;
}

/** Whatever the replacement returns is ignored, so that it can be an expression. */
type Loose<T> = { [K in keyof T]?: T[K] extends (...args: infer A) => void ? (...args: A) => unknown : T[K] };

async function firstFailure(fault: Fault): Promise<string | undefined> {
  const create = () => {
    const network = inProcessNetwork();
    const faulty = () => faultyTransport(network.transport(), fault);
    return { transport: faulty, nowhere: "in-process:nobody", deadlineMs: 150 };
  };
  for (const { name, run } of transportContract({ create })) {
    try {
      await run();
    } catch {
      // The other checks would only wait for their deadlines.
      return name;
    } finally {
      for (const timer of timers.splice(0)) clearTimeout(timer);
    }
  }
  return undefined;
}

function faultyTransport(inner: Transport, { channel: faults, transport: changes }: Fault): Transport {
  const faulty = (real: Channel): Channel => {
    const same: Channel = {
      remote: real.remote,
      start: (receiver) => real.start(receiver),
      send: (frame) => real.send(frame),
      close: () => real.close(),
    };
    return { ...same, ...(faults?.(same) as Partial<Channel> | undefined) };
  };
  const same: Transport = {
    listen: (host) => inner.listen({ ...host, accept: (accepted) => host.accept(faulty(accepted)) }),
    seeds: () => inner.seeds(),
    dial: async (address, signal) => faulty(await inner.dial(address, signal)),
    close: () => inner.close(),
  };
  return { ...same, ...(changes?.(same) as Partial<Transport> | undefined) };
}

function channel(replace: (inner: Channel) => Loose<Channel>): Fault {
  return { channel: replace };
}

function transport(replace: (inner: Transport) => Loose<Transport>): Fault {
  return { transport: replace };
}

/** @param change  gets the number of the frame on its channel, from 1 */
function sending(change: (send: (frame: Uint8Array) => void, frame: Uint8Array, count: number) => unknown): Fault {
  return channel((inner) => {
    let count = 0;
    return { send: (frame) => change((changed) => inner.send(changed), frame, ++count) };
  });
}

function receiving(replace: (receiver: ChannelReceiver) => Loose<ChannelReceiver>): Fault {
  return channel((inner) => ({
    start: (to) => {
      const same: ChannelReceiver = { frame: (bytes) => to.frame(bytes), closed: (reason) => to.closed(reason) };
      inner.start({ ...same, ...replace(to) });
    },
  }));
}

/** Says a frame of its own to whoever sends, at once. */
function receivingAtOnce(): Fault {
  return channel((inner) => {
    let receiver: ChannelReceiver | undefined;
    return {
      start: (to) => {
        receiver = to;
        inner.start({ frame: () => {}, closed: (reason) => to.closed(reason) });
      },
      send: (frame) => receiver?.frame(frame),
    };
  });
}

function throwingAfterClose(): Fault {
  return channel((inner) => {
    let closed = false;
    return {
      close: () => {
        closed = true;
        inner.close();
      },
      send: (frame) => {
        if (closed) throw new Error("closed");
        inner.send(frame);
      },
    };
  });
}

function halves(frame: Uint8Array): Uint8Array[] {
  return frame.length < 65_536 ? [frame] : [frame.subarray(0, 65_535), frame.subarray(65_535)];
}

const shared = new Uint8Array(1024 * 1024);

function reuse(to: ChannelReceiver, bytes: Uint8Array): void {
  shared.set(bytes);
  to.frame(shared.subarray(0, bytes.length));
}

const timers: NodeJS.Timeout[] = [];

function leaveTimer(inner: Transport): Promise<void> {
  timers.push(setTimeout(() => {}, 60_000));
  return inner.close();
}

function defer<T extends unknown[]>(call: (...args: T) => unknown, ...args: T): void {
  setImmediate(() => call(...args));
}

function once(close: () => Promise<void>): () => Promise<void> {
  let closed = false;
  return async () => {
    if (closed) throw new Error("closed already");
    closed = true;
    await close();
  };
}
