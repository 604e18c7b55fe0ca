/**
 * Lets other processes of this machine use a replica: HTTP over a unix socket in its directory, and on a loopback port
 * if there is to be one. CONTROL.md describes the requests, and who may make them.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { isReplicaError } from "../errors.ts";
import type { Replica } from "../replica.ts";
import { foreign, type Refusal, unauthorized } from "./guard.ts";
import { findRoute, RequestError } from "./routes.ts";

export interface ControlServerOptions {
  readonly replica: Replica;
  /** What to ask for on a port; `undefined`: this is the unix socket, which its mode protects. */
  readonly token: string | undefined;
}

const CONNECTIONS_MAX = 100;
const HEADERS_MS = 10_000;

/** A server that is not listening yet. Close it with {@link closeControlServer}. */
export function controlServer({ replica, token }: ControlServerOptions): Server {
  const server = createServer({ headersTimeout: HEADERS_MS, requestTimeout: 0 }, (request, response) => {
    void answer(replica, token, request, response);
  });
  server.maxConnections = CONNECTIONS_MAX;
  return server;
}

/** Stops listening, and cuts off what is still being answered, such as a watch. */
export function closeControlServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/** Never rejects. */
async function answer(
  replica: Replica,
  token: string | undefined,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  // Whoever asked has gone; the routes see it by their signal.
  response.on("error", () => undefined);
  request.on("error", () => undefined);
  response.setHeader("x-content-type-options", "nosniff").setHeader("cache-control", "no-store");
  try {
    const url = new URL(request.url ?? "/", "http://localhost");
    const refused = foreign(request, token === undefined);
    if (refused !== undefined) return refuse(response, refused);
    const route = findRoute(request.method ?? "", url.pathname);
    const needsToken = route.isPrivate && token !== undefined;
    const unknown = needsToken ? unauthorized(request, token) : undefined;
    if (unknown !== undefined) return refuse(response, unknown);
    const gone = new AbortController();
    response.once("close", () => gone.abort(new Error("the client has gone")));
    await route.run({ replica, query: url.searchParams, request, response, signal: gone.signal });
  } catch (error) {
    fail(response, error);
  }
}

function refuse(response: ServerResponse, { status, message }: Refusal): void {
  sendError(response, status, "REFUSED", message);
}

function fail(response: ServerResponse, error: unknown): void {
  if (response.destroyed) return;
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof RequestError) sendError(response, error.status, error.code, message);
  else if (isReplicaError(error)) sendError(response, CALLER_ERRORS.has(error.code) ? 400 : 503, error.code, message);
  else if (error instanceof TypeError && "code" in error) sendError(response, 400, "BAD_REQUEST", message);
  else sendError(response, 500, codeOf(error) ?? "INTERNAL", message);
}

/** In what is under way already the error is a last line. */
function sendError(response: ServerResponse, status: number, code: string, message: string): void {
  const body = `${JSON.stringify({ error: { code, message } })}\n`;
  if (response.headersSent) response.end(body);
  else response.writeHead(status, { "content-type": "application/json", connection: "close" }).end(body);
}

const CALLER_ERRORS: ReadonlySet<string> = new Set([
  "ERR_KEY",
  "ERR_VALUE",
  "ERR_LIMIT",
  "ERR_OPTION",
  "ERR_READ_ONLY",
  "ERR_CORRUPT",
  "ERR_FORMAT_VERSION",
  "ERR_VERSION_MISMATCH",
]);

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
