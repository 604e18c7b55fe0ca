/** The HTTP side of replicas over WebSocket: a server of our own, and what is said to those who are not let in. */
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createSecureServer, type Server as SecureServer } from "node:https";
import type { Duplex } from "node:stream";
import { listenError } from "./socket-errors.ts";
import { serverTls, type TlsOptions } from "./tls.ts";

/** A handshake that takes longer has failed. */
export const HANDSHAKE_MS_MAX = 5000;

/** Names the header in which a refused dialer finds why. */
export const REFUSAL_HEADER = "wavekv-refusal";

/** Opens a server for us alone. @throws ReplicaError ERR_LISTEN */
export function openServer(host: string, port: number, tls: TlsOptions | undefined): Promise<Server | SecureServer> {
  const limits = {
    headersTimeout: HANDSHAKE_MS_MAX,
    requestTimeout: HANDSHAKE_MS_MAX,
    connectionsCheckingInterval: 1000,
  };
  const server =
    tls === undefined
      ? createServer(limits, explain)
      : createSecureServer({ ...limits, ...serverTls(tls), handshakeTimeout: HANDSHAKE_MS_MAX }, explain);
  const scheme = tls === undefined ? "ws" : "wss";
  return new Promise((resolve, reject) => {
    server.once("error", (cause) => reject(listenError(`${scheme}://${host}:${port}`, cause)));
    server.listen({ host, port }, () => {
      server.removeAllListeners("error");
      // A connection that could not be accepted (out of file descriptors) is the dialer's to try again.
      server.on("error", () => undefined);
      resolve(server);
    });
  });
}

/** Answers an upgrade request with what it is, and closes. @param reason  for the other end; plain ASCII */
export function refuseUpgrade(socket: Duplex, status: string, reason: string): void {
  // Whoever is refused may be gone already.
  socket.on("error", () => socket.destroy());
  const headers = ["Connection: close", "Content-Length: 0", `${REFUSAL_HEADER}: ${reason}`];
  socket.end(`HTTP/1.1 ${[status, ...headers].join("\r\n")}\r\n\r\n`);
}

const explain: RequestListener = (_request, response) => {
  response.writeHead(426, { connection: "close", "content-type": "text/plain" });
  response.end("This is a wavekv replica. It speaks WebSocket.\n");
};
