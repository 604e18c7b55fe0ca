/** Mutated frames, by the hundred thousand, from somebody who is let in: the worst that a member can send. */
import { randomBytes } from "node:crypto";
import { type Channel, openReplica, type Replica, type Transport, type TransportHost } from "wavekv";
import { inProcessNetwork } from "wavekv/transports/in-process";
import { mutate } from "../fuzz/mutations.ts";
import { Chance } from "../fuzz/random.ts";
import { frame, hello } from "./frames.ts";
import { CLUSTER_ID, quiet } from "./stage.ts";

const CORPUS_FRAMES = 200;
/** A frame's number is one byte here, and the first is the hello. */
const FRAMES_PER_CHANNEL = 120;
const CHANNELS = 16;

/**
 * Sends `count` mutated frames to a replica that has a friend, and checks in the end that the two still agree on what
 * the friend wrote.
 */
export async function floodFrames(
  count: number,
  seed: number,
): Promise<{ channels: number; refused: Record<string, number> }> {
  const chance = new Chance(seed);
  const network = inProcessNetwork();
  const corpus: Uint8Array[] = [];
  const open = async (nodeId: string, transport: Transport): Promise<Replica> =>
    await openReplica({ nodeId, clusterId: CLUSTER_ID, transport, logger: quiet });
  const target = await open("target", network.transport());
  const friend = await open("friend", recorded(network.transport(), corpus));
  const mallory = network.transport();
  const host = {
    nodeId: "mallory",
    clusterId: CLUSTER_ID,
    maxFrameBytes: 2 ** 24,
    accept: (stray: Channel) => stray.close(),
  };
  await mallory.listen(host as unknown as TransportHost);
  for (let n = 0; corpus.length < CORPUS_FRAMES; n++) {
    await friend.put(`key ${n % 50}`, { n, text: "x".repeat(n % 90), bytes: randomBytes(n % 30) });
    await new Promise((resolve) => setImmediate(resolve));
  }
  let [sent, channels] = [0, 0];
  const attack = async (): Promise<void> => {
    while (sent < count) {
      channels += 1;
      const channel = await mallory.dial("in-process:target", AbortSignal.timeout(10_000));
      let open = true;
      channel.start({ frame: () => undefined, closed: () => (open = false) });
      channel.send(frame(1, hello(`mallory-${chance.below(3)}`, CLUSTER_ID, chance.bytes(8))));
      for (let number = 2; number < FRAMES_PER_CHANNEL && open && sent < count; number++, sent++) {
        channel.send(mutant(chance, corpus, number));
        // The answer to a frame comes in a later turn: without waiting most would be sent to a closed channel.
        if (number % 4 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      channel.close();
    }
  };
  await Promise.all(Array.from({ length: CHANNELS }, attack));
  await friend.put("last", seed);
  await friend.settled({ peers: ["target"], signal: AbortSignal.timeout(20_000) });
  if (target.get("last") !== seed) throw new Error("the last write of the friend has not arrived");
  const { refused } = target.status();
  await Promise.all([target.close(), friend.close(), mallory.close()]);
  return { channels, refused };
}

/** One in four keeps its wrong checksum. */
function mutant(chance: Chance, corpus: readonly Uint8Array[], number: number): Uint8Array {
  const pick = (): Uint8Array => corpus[chance.below(corpus.length)] ?? Buffer.of(1);
  const bytes = mutate(chance, pick(), pick());
  return chance.oneIn(4) && bytes.length > 0
    ? bytes
    : frame(number, bytes.subarray(7).length > 0 ? bytes.subarray(7) : Buffer.of(5));
}

/** The transport, which keeps the first frames that it sends. */
function recorded(inner: Transport, frames: Uint8Array[]): Transport {
  const watched = (channel: Channel): Channel => ({
    remote: channel.remote,
    start: (receiver) => channel.start(receiver),
    send: (bytes) => {
      if (frames.length < CORPUS_FRAMES) frames.push(Uint8Array.from(bytes));
      channel.send(bytes);
    },
    close: () => channel.close(),
  });
  return {
    listen: (host) => inner.listen({ ...host, accept: (channel) => host.accept(watched(channel)) }),
    seeds: () => inner.seeds(),
    dial: async (address, signal) => watched(await inner.dial(address, signal)),
    close: () => inner.close(),
  };
}
