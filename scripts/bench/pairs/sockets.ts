/** WebSockets for the systems that bring no server of their own. */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { WebSocket, WebSocketServer } from "ws";

const FRAME_BYTES_MAX = 2 ** 30;

/** @returns the address, and what closes it */
export async function listen(
  accept: (socket: WebSocket) => void,
): Promise<{ readonly server: WebSocketServer; readonly address: string }> {
  const server = new WebSocketServer({
    host: "127.0.0.1",
    port: 0,
    maxPayload: FRAME_BYTES_MAX,
    perMessageDeflate: false,
  });
  server.on("connection", accept);
  await once(server, "listening");
  return { server, address: `ws://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** Resolves when it is open. */
export async function connect(address: string, receive: (bytes: Buffer) => void): Promise<WebSocket> {
  const socket = new WebSocket(address, { maxPayload: FRAME_BYTES_MAX, perMessageDeflate: false });
  socket.on("message", (data: Buffer) => receive(data));
  await once(socket, "open");
  return socket;
}
