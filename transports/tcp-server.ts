/** The listening side of TcpTransport, up to the point where somebody has come. */
import { createServer, type ListenOptions, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import { HANDSHAKE_MS_MAX, refuse } from "./greeting.ts";
import { listenError } from "./socket-errors.ts";
import { addressOf, type TcpListen } from "./tcp-options.ts";
import { explainTls, isMutual, serverTls, type TlsOptions, WENT_AWAY, whyNotAuthorized } from "./tls.ts";
import { removeStaleSocket } from "./unix-sockets.ts";

export interface TcpServerOptions {
  readonly listen: TcpListen;
  readonly tls: TlsOptions | undefined;
  /** Whether a connection may go on, before anything is read from it. If not, it has been destroyed. */
  readonly admit: (socket: Socket) => boolean;
  /** Takes over a connection; with TLS one whose certificate is as it must be. */
  readonly accept: (socket: Socket) => void;
  /** Somebody was turned away, and why. */
  readonly onRefused: (reason: string, socket: Socket, detail: string) => void;
}

/** Resolves once it listens. @throws ReplicaError ERR_LISTEN, and nothing is left open */
export async function openTcpServer(options: TcpServerOptions): Promise<Server> {
  const { listen, tls } = options;
  const isPath = "path" in listen;
  const server = tls === undefined || isPath ? plainServer(options) : tlsServer(tls, options);
  const where = isPath ? { path: listen.path } : { host: listen.host ?? "127.0.0.1", port: listen.port };
  try {
    await listening(server, where).catch(async (error: unknown) => {
      const isTaken = isPath && (error as NodeJS.ErrnoException).code === "EADDRINUSE";
      if (!isTaken || !(await removeStaleSocket(listen.path))) throw error;
      await listening(server, where);
    });
  } catch (error) {
    throw listenError(addressOf(listen, tls), error);
  }
  // A connection that could not be accepted (out of file descriptors) is the dialer's to try again.
  server.on("error", () => undefined);
  return server;
}

function plainServer({ admit, accept }: TcpServerOptions): Server {
  return createServer({ noDelay: true }, (socket) => {
    if (admit(socket)) accept(socket);
  });
}

function tlsServer(tls: TlsOptions, { admit, accept, onRefused }: TcpServerOptions): Server {
  const server = createTlsServer({ ...serverTls(tls), noDelay: true, handshakeTimeout: HANDSHAKE_MS_MAX });
  // The sockets below those with TLS, which are there before the handshake is.
  server.on("connection", (socket: Socket) => void admit(socket));
  server.on("tlsClientError", (error: Error, socket: TLSSocket) => {
    onRefused("tls", socket, explainTls(error) ?? WENT_AWAY);
  });
  server.on("secureConnection", (socket) => {
    const refusal = isMutual(tls) ? whyNotAuthorized(socket) : undefined;
    if (refusal === undefined) return accept(socket);
    onRefused("certificate", socket, refusal);
    refuse(socket, refusal);
  });
  return server;
}

/** Rejects with what the server fails with. */
function listening(server: Server, where: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(where, () => {
      server.off("error", reject);
      resolve();
    });
  });
}
