import { WebSocket } from "ws";
import { keyOf, Values } from "../inputs.ts";
import { loadPeer } from "../peers.ts";
import { type PairSystem, type Sink, type Source, sharedNowMs, until } from "./pair.ts";
import { listen } from "./sockets.ts";

interface TinyBase {
  readonly createMergeableStore: (id: string) => TinyStore;
}

interface TinyStore {
  setValue(key: string, value: string): void;
  getValueIds(): string[];
  transaction(work: () => void): void;
  addValueListener(key: null, listener: (store: TinyStore, key: string, value: string) => void): string;
  addDidFinishTransactionListener(listener: () => void): string;
}

interface Client {
  readonly createWsSynchronizer: (store: TinyStore, socket: WebSocket, timeoutSeconds: number) => Promise<Synchronizer>;
}

interface Synchronizer {
  startSync(): Promise<unknown>;
  destroy(): Promise<unknown>;
}

interface Server {
  readonly createWsServer: (server: unknown) => { destroy(): Promise<void> };
}

const BATCH = 1000;
/**
 * Of a request. It must not run out while there is somebody to answer: what is written while TinyBase then asks again is
 * never sent, and whoever waits for it waits for ever.
 */
const TIMEOUT_SECONDS = 60;
/** Of one who finds nobody, and has nothing to lose by it. */
const BRIEF_TIMEOUT_SECONDS = 0.1;

/** TinyBase with its own synchronizer and server; the source is a client in the server's process. Memory only. */
export const tinybase: PairSystem = {
  async openSource(): Promise<Source> {
    const { createWsServer } = await loadPeer<Server>("tinybase/synchronizers/synchronizer-ws-server");
    const { server, address } = await listen(() => undefined);
    createWsServer(server);
    const store = await newStore("source");
    const values = new Values();
    // Whoever begins asks the others, and waits for an answer: somebody with an empty store gives it, and goes.
    const nobody = await synchronize(await newStore("nobody"), address, BRIEF_TIMEOUT_SECONDS);
    await synchronize(store, address);
    await nobody.destroy();
    return {
      address,
      async fill(from, to) {
        for (let start = from; start < to; start += BATCH) {
          store.transaction(() => {
            for (let number = start; number < Math.min(start + BATCH, to); number += 1) {
              store.setValue(keyOf(number), values.at(number));
            }
          });
          await new Promise((resolve) => setImmediate(resolve));
        }
      },
      stamp: (number) => store.setValue(keyOf(number), String(sharedNowMs())),
      async close() {
        server.close();
      },
    };
  },
  async openSink(address): Promise<Sink> {
    const store = await newStore("sink");
    let synchronizer = await synchronize(store, address);
    let known = store.getValueIds().length;
    store.addDidFinishTransactionListener(() => {
      known = store.getValueIds().length;
    });
    return {
      until: (count) => until(() => known >= count),
      onEntry: (listener) => void store.addValueListener(null, (_, __, value) => listener(value)),
      receivedBytes: () => undefined,
      async disconnect() {
        await synchronizer.destroy();
      },
      async catchUp(count) {
        const from = performance.now();
        synchronizer = await synchronize(store, address);
        await until(() => known >= count, 1);
        return performance.now() - from;
      },
      async close() {
        await synchronizer.destroy();
      },
    };
  },
};

async function newStore(id: string): Promise<TinyStore> {
  const { createMergeableStore } = await loadPeer<TinyBase>("tinybase");
  return createMergeableStore(id);
}

async function synchronize(store: TinyStore, address: string, timeoutSeconds = TIMEOUT_SECONDS): Promise<Synchronizer> {
  const { createWsSynchronizer } = await loadPeer<Client>("tinybase/synchronizers/synchronizer-ws-client");
  const synchronizer = await createWsSynchronizer(store, new WebSocket(address), timeoutSeconds);
  await synchronizer.startSync();
  return synchronizer;
}
