import { openReplica, type Replica, type ReplicaOptions } from "wavekv";
import { WebSocketTransport } from "wavekv/transports/websocket";
import { keyOf, Values } from "../inputs.ts";
import { type PairOptions, type PairSystem, type Sink, type Source, sharedNowMs, until } from "./pair.ts";

const BATCH = 1000;
const nothing = (): void => undefined;
export const logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };

/** Replicas of ours. */
export const replicas: PairSystem = {
  async openSource(options): Promise<Source> {
    const transport = new WebSocketTransport({ listen: { port: 0 } });
    const replica = await openReplica({ ...directoryOf(options, "source"), nodeId: "source", transport, logger });
    const values = new Values();
    return {
      address: String(transport.address),
      async fill(from, to) {
        // One by one while somebody listens; nobody does while it is filled.
        const isHeard = replica.peers().some(({ state }) => state === "live");
        for (let start = from; start < to; start += BATCH) {
          const numbers = Array.from({ length: Math.min(BATCH, to - start) }, (_, index) => start + index);
          if (isHeard) await Promise.all(numbers.map((number) => replica.put(keyOf(number), values.at(number))));
          else await replica.batch(numbers.map((n) => ({ type: "put", key: keyOf(n), value: values.at(n) })));
        }
      },
      stamp: (number) => replica.put(keyOf(number), String(sharedNowMs())),
      close: () => replica.close(),
    };
  },
  async openSink(address, options): Promise<Sink> {
    let replica: Replica = await open();
    let bytes = 0;
    const received = (): number => Object.values(replica.status().peers).reduce((sum, peer) => sum + peer.bytesIn, 0);
    async function open(): Promise<Replica> {
      const transport = new WebSocketTransport({ seeds: [address] });
      return await openReplica({ ...directoryOf(options, "sink"), nodeId: "sink", transport, logger });
    }
    return {
      async until(count) {
        await until(() => replica.status().entries >= count);
        await replica.flush();
      },
      onEntry(listener) {
        replica.on("change", (change) => {
          if (change.type === "put") listener(change.value as string);
        });
      },
      receivedBytes: () => bytes + received(),
      async disconnect() {
        bytes += received();
        await replica.close();
      },
      async catchUp(count, connected) {
        replica = await open();
        const before = replica.status().entries;
        const from = await new Promise<number>((resolve) => {
          replica.on("peer", ({ type }) => {
            if (type !== "up") return;
            connected?.();
            resolve(performance.now());
          });
        });
        if (before >= count) throw new Error("there was nothing to catch up with");
        await until(() => replica.status().entries >= count, 1);
        await replica.flush();
        return performance.now() - from;
      },
      close: () => replica.close(),
    };
  },
};

function directoryOf({ durable, directory }: PairOptions, name: string): ReplicaOptions {
  return durable ? { directory: `${directory}/${name}` } : {};
}
