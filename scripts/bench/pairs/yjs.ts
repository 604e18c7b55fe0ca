import type { WebSocket } from "ws";
import { keyOf, Values } from "../inputs.ts";
import { loadPeer } from "../peers.ts";
import { type PairSystem, type Sink, type Source, sharedNowMs, until } from "./pair.ts";
import { connect, listen } from "./sockets.ts";

interface Yjs {
  readonly Doc: new () => Doc;
  encodeStateVector(document: Doc): Uint8Array;
  encodeStateAsUpdate(document: Doc, vector: Uint8Array): Uint8Array;
  applyUpdate(document: Doc, update: Uint8Array): void;
}

interface Doc {
  getMap(name: string): {
    readonly size: number;
    set(key: string, value: string): void;
    get(key: string): unknown;
    observe(observer: (event: { readonly keysChanged: Set<string> }) => void): void;
  };
  transact(work: () => void): void;
  on(event: "update", listener: (update: Uint8Array) => void): void;
}

const BATCH = 1000;

/**
 * Yjs over a bare WebSocket, with its own messages and no more: a state vector one way, the update that is missing the
 * other, then each update as it comes. As its providers do it, without their framing. Memory only.
 */
export const yjs: PairSystem = {
  async openSource(): Promise<Source> {
    const library = await loadPeer<Yjs>("yjs");
    const document = new library.Doc();
    const map = document.getMap("store");
    const values = new Values();
    const sockets = new Set<WebSocket>();
    document.on("update", (update) => {
      for (const socket of sockets) socket.send(update);
    });
    const { server, address } = await listen((socket) => {
      socket.on("message", (vector: Buffer) => {
        socket.send(library.encodeStateAsUpdate(document, vector));
        sockets.add(socket);
      });
      socket.on("close", () => sockets.delete(socket));
    });
    return {
      address,
      async fill(from, to) {
        const isLive = sockets.size > 0;
        for (let start = from; start < to; start += BATCH) {
          const put = (): void => {
            for (let number = start; number < Math.min(start + BATCH, to); number += 1) {
              map.set(keyOf(number), values.at(number));
            }
          };
          // Each put is an update of its own while somebody listens; nobody does while it is filled.
          if (isLive) put();
          else document.transact(put);
          await new Promise((resolve) => setImmediate(resolve));
        }
      },
      stamp: (number) => map.set(keyOf(number), String(sharedNowMs())),
      async close() {
        for (const socket of sockets) socket.terminate();
        server.close();
      },
    };
  },
  async openSink(address): Promise<Sink> {
    const library = await loadPeer<Yjs>("yjs");
    const document = new library.Doc();
    const map = document.getMap("store");
    let bytes = 0;
    const open = async (): Promise<WebSocket> => {
      const socket = await connect(address, (update) => {
        bytes += update.length;
        library.applyUpdate(document, update);
      });
      socket.send(library.encodeStateVector(document));
      return socket;
    };
    let socket = await open();
    return {
      until: (count) => until(() => map.size >= count),
      onEntry(listener) {
        map.observe(({ keysChanged }) => {
          for (const key of keysChanged) listener(map.get(key) as string);
        });
      },
      receivedBytes: () => bytes,
      async disconnect() {
        socket.terminate();
      },
      async catchUp(count) {
        socket = await open();
        const from = performance.now();
        await until(() => map.size >= count, 1);
        return performance.now() - from;
      },
      async close() {
        socket.terminate();
      },
    };
  },
};
