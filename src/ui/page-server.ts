/**
 * Answers a browser on this machine: the files of the page to anybody, and what they show to whoever has the token.
 * UI.md describes the requests, and who is refused.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { foreignToPage, type Refusal, unauthorized } from "../control/guard.ts";
import { isReplicaError } from "../errors.ts";
import type { Replica } from "../replica.ts";
import type { Assets } from "./assets.ts";
import { explained, type UiExtras } from "./extras.ts";
import { type FeedOptions, feed } from "./feed.ts";
import { entryView } from "./view.ts";
import type { EntriesView } from "./wire.ts";

export interface PageServerOptions extends FeedOptions {
  readonly assets: Assets;
  readonly token: string;
}

const CONNECTIONS_MAX = 64;
const FEEDS_MAX = 8;
const HEADERS_MS = 10_000;
const ENTRIES_MAX = 200;
/** Of one value that somebody looks at. */
const VALUE_CHARACTERS_MAX = 1_000_000;

/** Only our own files run, and they talk to us alone; no other page shows this one; no text becomes markup. */
export const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

/** The request is at fault. */
class RequestError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

interface Exchange {
  readonly options: PageServerOptions;
  readonly replica: Replica;
  readonly extras: UiExtras;
  readonly query: URLSearchParams;
  readonly response: ServerResponse;
  /** Aborts when the page has gone. */
  readonly signal: AbortSignal;
}

type Route = (exchange: Exchange) => void | Promise<void>;

/** A server that is not listening yet. Close it with `closeControlServer`. */
export function pageServer(options: PageServerOptions): Server {
  const feeds = new Set<ServerResponse>();
  const routes: ReadonlyMap<string, Route> = new Map<string, Route>([
    ["GET /api/feed", (exchange) => sendFeed(exchange, feeds)],
    ["GET /api/entries", sendEntries],
    ["GET /api/entry", sendEntry],
    ["POST /api/evict", ({ replica, query }) => replica.evict(query.get("nodeId") ?? "")],
    ["POST /api/cut", ({ extras, query }) => offered(extras.links).cut(nodeOf(query, "a"), nodeOf(query, "b"))],
    ["POST /api/heal", ({ extras, query }) => offered(extras.links).heal(nodeOf(query, "a"), nodeOf(query, "b"))],
    ["POST /api/pause", ({ extras, query }) => offered(extras.pauses).pause(nodeOf(query, "nodeId"))],
    ["POST /api/resume", ({ extras, query }) => offered(extras.pauses).resume(nodeOf(query, "nodeId"))],
  ]);
  const server = createServer({ headersTimeout: HEADERS_MS, requestTimeout: HEADERS_MS }, (request, response) => {
    void answer(options, routes, request, response);
  });
  server.maxConnections = CONNECTIONS_MAX;
  return server;
}

/** Never rejects. */
async function answer(
  options: PageServerOptions,
  routes: ReadonlyMap<string, Route>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  // Whoever asked has gone; the routes see it by their signal.
  response.on("error", () => undefined);
  request.on("error", () => undefined);
  // A body has no meaning here.
  request.resume();
  for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
  try {
    const url = new URL(request.url ?? "/", "http://localhost");
    const refused = foreignToPage(request);
    if (refused !== undefined) return refuse(response, refused);
    const asset = request.method === "GET" ? options.assets.get(url.pathname) : undefined;
    if (asset !== undefined) {
      response.writeHead(200, { "content-type": asset.type }).end(asset.body);
      return;
    }
    const unknown = unauthorized(request, options.token, "open the link that was given when the page was started");
    if (unknown !== undefined) return refuse(response, unknown);
    const route = routes.get(`${request.method} ${url.pathname}`);
    if (route === undefined) throw new RequestError(404, "NOT_FOUND", `there is nothing at ${url.pathname}`);
    const gone = new AbortController();
    response.once("close", () => gone.abort(new Error("the page has gone")));
    const { replica, extras } = options;
    await route({ options, replica, extras, query: url.searchParams, response, signal: gone.signal });
    if (!response.headersSent) send(response, 200, {});
  } catch (error) {
    fail(response, error);
  }
}

const HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": PAGE_POLICY,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store",
};

async function sendFeed({ options, response, signal }: Exchange, feeds: Set<ServerResponse>): Promise<void> {
  if (feeds.size >= FEEDS_MAX) throw new RequestError(503, "BUSY", `${FEEDS_MAX} pages are open: close one of them`);
  feeds.add(response);
  try {
    response.writeHead(200, { "content-type": "application/jsonl" });
    for await (const line of feed(options, signal)) {
      if (!response.write(line)) await drained(response);
    }
    response.end();
  } finally {
    feeds.delete(response);
  }
}

function sendEntries({ replica, query, response }: Exchange): void {
  const [prefix, after] = [query.get("prefix") ?? "", query.get("after")];
  const range = { prefix, limit: ENTRIES_MAX + 1, ...(after === null ? {} : { gt: after }) };
  const infos = [...replica.infos(range)];
  const entries = infos.slice(0, ENTRIES_MAX).map((info) => entryView(info));
  send(response, 200, { entries, more: infos.length > ENTRIES_MAX } satisfies EntriesView);
}

function sendEntry({ replica, query, response }: Exchange): void {
  const info = replica.entry(query.get("key") ?? "");
  if (info === undefined) throw new RequestError(404, "NO_KEY", "the key has gone");
  send(response, 200, entryView(info, VALUE_CHARACTERS_MAX));
}

function offered<T>(part: T | undefined): T {
  if (part === undefined) throw new RequestError(404, "NOT_OFFERED", "this replica does not offer it");
  return part;
}

function nodeOf(query: URLSearchParams, name: string): string {
  const nodeId = query.get(name);
  if (nodeId === null || nodeId === "") throw new RequestError(400, "BAD_REQUEST", `${name}: which replica?`);
  return nodeId;
}

function refuse(response: ServerResponse, { status, message }: Refusal): void {
  sendError(response, status, "REFUSED", message);
}

function fail(response: ServerResponse, error: unknown): void {
  if (response.destroyed) return;
  const message = explained(error);
  if (error instanceof RequestError) sendError(response, error.status, error.code, message);
  else if (isReplicaError(error)) sendError(response, CALLER_ERRORS.has(error.code) ? 400 : 503, error.code, message);
  else sendError(response, error instanceof TypeError && "code" in error ? 400 : 500, "FAILED", message);
}

const CALLER_ERRORS: ReadonlySet<string> = new Set(["ERR_OPTION", "ERR_KEY"]);

/** In a feed that is under way the error is the last line. */
function sendError(response: ServerResponse, status: number, code: string, message: string): void {
  if (response.headersSent) response.end(`${JSON.stringify({ error: { code, message } })}\n`);
  else send(response, status, { error: { code, message } });
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(`${JSON.stringify(body)}\n`);
}

async function drained(response: ServerResponse): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      response.off("drain", done).off("close", done);
      resolve();
    };
    response.on("drain", done).on("close", done);
  });
}
