import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { Channel, Transport } from "wavekv";
/** Frames over TCP on loopback, each behind its length. `port`: 0 picks a free one; addresses look like `tcp:7001` */
export function tcpTransport(port: number, seeds: readonly string[] = []): Transport {
  const server = createServer({ noDelay: true });
  const sockets = new Set<Socket>();
  const own = (socket: Socket) => sockets.add(socket) && socket.once("close", () => sockets.delete(socket));
  let frameMax = 0;
  return {
    async listen(host) {
      frameMax = host.maxFrameBytes;
      server.on("connection", (socket) => host.accept(channelOf(own(socket), frameMax)));
      await once(server.listen(port, "127.0.0.1"), "listening");
      return [`tcp:${(server.address() as AddressInfo).port}`];
    },
    seeds: () => seeds,
    async dial(address, signal) {
      if (!server.listening || !/^tcp:\d{1,5}$/.test(address)) throw new Error(`cannot dial ${address}`);
      const socket = own(connect(Number(address.slice("tcp:".length)), "127.0.0.1")).setNoDelay();
      await once(socket, "connect", { signal }).catch((error: unknown) => {
        socket.destroy();
        throw signal.aborted ? signal.reason : error;
      });
      return channelOf(socket, frameMax);
    },
    async close() {
      for (const socket of sockets) socket.destroy(new Error("closed"));
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
function channelOf(socket: Socket, frameMax: number): Channel {
  let [wanted, isLength] = [4, true];
  // Once closed here we read on, whatever comes, only to see the other end close.
  const read = () => socket.read(socket.writable ? wanted : undefined) as Buffer | null;
  socket.on("error", () => socket.destroy());
  return {
    remote: `tcp:${socket.remotePort ?? 0}`,
    start(receiver) {
      if (socket.closed) return void setImmediate(() => receiver.closed("closed"));
      socket.on("close", () => receiver.closed("closed"));
      socket.on("readable", () => {
        for (let bytes = read(); socket.writable && bytes?.length === wanted; bytes = read(), isLength = !isLength) {
          if (!isLength) receiver.frame(bytes);
          wanted = isLength ? bytes.readUInt32BE() : 4;
          if (wanted > frameMax) socket.destroy();
        }
      });
    },
    send(frame) {
      const length = Buffer.of(frame.length >>> 24, frame.length >>> 16, frame.length >>> 8, frame.length);
      if (socket.writable) socket.write(Buffer.concat([length, frame]));
    },
    close() {
      socket.end().resume();
      socket.setTimeout(1000, () => socket.destroy());
    },
  };
}
