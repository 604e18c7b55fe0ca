/** A transport whose channels are seen by the test, and may be replaced by it, before the replica gets them. */
import type { Channel, Transport } from "../../src/transport.ts";

export function tapped(transport: Transport, tap: (channel: Channel) => Channel): Transport {
  return {
    listen: (host) => transport.listen({ ...host, accept: (channel) => host.accept(tap(channel)) }),
    seeds: () => transport.seeds(),
    dial: async (address, signal) => tap(await transport.dial(address, signal)),
    close: () => transport.close(),
  };
}

/** As it is, and tells of the length of every frame that is sent. */
export function counted(transport: Transport, onSent: (bytes: number) => void): Transport {
  return tapped(transport, (channel) => ({
    remote: channel.remote,
    start: (receiver) => channel.start(receiver),
    close: () => channel.close(),
    send: (frame) => {
      onSent(frame.length);
      channel.send(frame);
    },
  }));
}

/** With other seeds than its own. */
export function seeded(transport: Transport, seeds: readonly string[]): Transport {
  return { ...tapped(transport, (channel) => channel), seeds: () => seeds };
}
