import { close, fdatasync, openSync, write } from "node:fs";
import { promisify } from "node:util";
import type { WebSocket } from "ws";
import { keyOf, Values } from "../inputs.ts";
import { type PairOptions, type PairSystem, type Sink, type Source, sharedNowMs, until } from "./pair.ts";
import { connect, listen } from "./sockets.ts";

const PAGE = 1000;
const QUEUED_BYTES_MAX = 4 * 1024 * 1024;

/**
 * The limit of replication: entries in the order in which they were written, in pages of up to a thousand over a bare
 * WebSocket, into a Map; where it has to be durable, each side writes the pages to a file and syncs it first. One writer,
 * one reader; nothing is checked, nothing is compared, and what is overwritten is sent again.
 */
export const pages: PairSystem = {
  async openSource(options): Promise<Source> {
    const log: (readonly [string, string])[] = [];
    const file = fileOf(options, "source");
    const readers = new Map<WebSocket, number>();
    const values = new Values();
    let isDue = false;

    const send = async (socket: WebSocket): Promise<void> => {
      for (let from = readers.get(socket) ?? log.length; from < log.length; from = readers.get(socket) ?? log.length) {
        const page = encodePage(log.slice(from, from + PAGE));
        readers.set(socket, Math.min(from + PAGE, log.length));
        socket.send(page);
        if (socket.bufferedAmount > QUEUED_BYTES_MAX)
          await until(() => socket.bufferedAmount < QUEUED_BYTES_MAX / 2, 1);
      }
    };
    let stored = 0;
    /** Whatever came in this turn is stored and sent together. */
    const pass = async (): Promise<void> => {
      while (stored < log.length) {
        const end = log.length;
        await file?.append(encodePage(log.slice(stored, end)));
        stored = end;
        for (const socket of readers.keys()) await send(socket);
      }
      isDue = false;
    };
    const added = (): void => {
      if (isDue) return;
      isDue = true;
      setImmediate(() => void pass());
    };

    const { server, address } = await listen((socket) => {
      socket.on("message", (data: Buffer) => {
        readers.set(socket, data.readUInt32LE());
        void send(socket);
      });
      socket.on("close", () => readers.delete(socket));
    });
    return {
      address,
      async fill(from, to) {
        for (let start = from; start < to; start += PAGE) {
          for (let number = start; number < Math.min(start + PAGE, to); number += 1) {
            log.push([keyOf(number), values.at(number)]);
          }
          added();
          await until(() => !isDue, 0);
        }
      },
      stamp(number) {
        log.push([keyOf(number), String(sharedNowMs())]);
        added();
      },
      async close() {
        for (const socket of readers.keys()) socket.terminate();
        server.close();
        await file?.close();
      },
    };
  },

  async openSink(address, options): Promise<Sink> {
    const map = new Map<string, string>();
    const file = fileOf(options, "sink");
    const listeners: ((value: string) => void)[] = [];
    let taken = 0;
    let bytes = 0;
    let storing = Promise.resolve();
    const receive = (page: Buffer): void => {
      bytes += page.length;
      if (file === undefined) take(page);
      else storing = storing.then(() => file.append(page)).then(() => take(page));
    };
    const take = (page: Buffer): void => {
      for (let at = 0; at < page.length; ) {
        const keyEnd = at + 4 + page.readUInt16LE(at);
        const end = keyEnd + page.readUInt16LE(at + 2);
        const value = page.toString("latin1", keyEnd, end);
        map.set(page.toString("latin1", at + 4, keyEnd), value);
        for (const listener of listeners) listener(value);
        taken += 1;
        at = end;
      }
    };
    const open = async (): Promise<WebSocket> => {
      const socket = await connect(address, receive);
      const request = Buffer.alloc(4);
      request.writeUInt32LE(taken);
      socket.send(request);
      return socket;
    };
    let socket = await open();
    return {
      until: (count) => until(() => taken >= count),
      onEntry: (listener) => void listeners.push(listener),
      receivedBytes: () => bytes,
      async disconnect() {
        socket.terminate();
      },
      async catchUp(count) {
        socket = await open();
        const from = performance.now();
        await until(() => taken >= count, 1);
        return performance.now() - from;
      },
      async close() {
        socket.terminate();
        await storing;
        await file?.close();
      },
    };
  },
};

function encodePage(entries: readonly (readonly [string, string])[]): Buffer {
  const bytes = Buffer.allocUnsafe(entries.reduce((sum, [key, value]) => sum + 4 + key.length + value.length, 0));
  let at = 0;
  for (const [key, value] of entries) {
    bytes.writeUInt16LE(key.length, at);
    bytes.writeUInt16LE(value.length, at + 2);
    bytes.write(key, at + 4, "latin1");
    bytes.write(value, at + 4 + key.length, "latin1");
    at += 4 + key.length + value.length;
  }
  return bytes;
}

interface SyncedFile {
  append(bytes: Buffer): Promise<void>;
  close(): Promise<void>;
}

function fileOf({ durable, directory }: PairOptions, name: string): SyncedFile | undefined {
  if (!durable) return undefined;
  const fd = openSync(`${directory}/${name}.pages`, "w");
  const put = promisify(write);
  const sync = promisify(fdatasync);
  return {
    async append(bytes) {
      await put(fd, bytes);
      await sync(fd);
    },
    close: () => promisify(close)(fd),
  };
}
