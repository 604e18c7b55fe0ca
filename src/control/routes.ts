/** The requests that a replica answers to other processes of this machine. CONTROL.md describes them. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { KEY_RANGE_FIELDS, type KeyRange } from "../data/key-ranges.ts";
import type { EntryInfo } from "../data/reader.ts";
import { isBinaryDump } from "../dump/binary.ts";
import { fromJson, type Json, JsonValueError, toJson } from "../dump/json-values.ts";
import { exportBinary, exportJson, importBinary, importJson } from "../dump.ts";
import { PROMETHEUS_CONTENT_TYPE, prometheusText } from "../prometheus.ts";
import type { Replica } from "../replica.ts";
import type { WatchEvent } from "../watch/watch-events.ts";
import { statusPage } from "./status-page.ts";

export interface Exchange {
  readonly replica: Replica;
  readonly query: URLSearchParams;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Aborts when the client has gone. */
  readonly signal: AbortSignal;
}

export interface Route {
  /** Shows or changes data: on a port it needs the token. */
  readonly isPrivate: boolean;
  run(exchange: Exchange): void | Promise<void>;
}

/** The request is at fault. */
export class RequestError extends Error {
  readonly status: 400 | 404 | 405 | 413;
  readonly code: string;

  constructor(status: 400 | 404 | 405 | 413, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** The longest value, in the longest form that JSON has for it. */
const BODY_BYTES_MAX = 64 * 1024 * 1024;
const JSON_LINES = { "content-type": "application/jsonl" };

const shown = (run: Route["run"]): Route => ({ isPrivate: false, run });
const data = (run: Route["run"]): Route => ({ isPrivate: true, run });

const ROUTES: ReadonlyMap<string, Readonly<Record<string, Route>>> = new Map([
  ["/", { GET: shown(showPage) }],
  ["/health", { GET: shown(showHealth) }],
  ["/status", { GET: shown(({ replica, response }) => send(response, 200, replica.status())) }],
  ["/metrics", { GET: shown(showMetrics) }],
  ["/v1/members", { GET: data(({ replica, response }) => send(response, 200, replica.members())) }],
  ["/v1/entry", { GET: data(getEntry), PUT: data(putEntry), DELETE: data(deleteEntry) }],
  ["/v1/scan", { GET: data(scan) }],
  ["/v1/watch", { GET: data(watch) }],
  ["/v1/export", { GET: data(exportAll) }],
  ["/v1/import", { POST: data(importAll) }],
  ["/v1/backup", { POST: data(backup) }],
  ["/v1/checkpoint", { POST: data(checkpoint) }],
  ["/v1/evict", { POST: data(evict) }],
]);

/** @throws RequestError */
export function findRoute(method: string, path: string): Route {
  const methods = ROUTES.get(path);
  if (methods === undefined) throw new RequestError(404, "NOT_FOUND", `there is nothing at ${path}`);
  const route = Object.hasOwn(methods, method) ? methods[method] : undefined;
  if (route === undefined)
    throw new RequestError(405, "BAD_METHOD", `${path} takes ${Object.keys(methods).join(", ")}`);
  return route;
}

function showPage({ replica, response }: Exchange): void {
  const headers = { "content-type": "text/html; charset=utf-8", "content-security-policy": PAGE_POLICY };
  response.writeHead(200, headers).end(statusPage(replica.status(), replica.metrics()));
}

/** Nothing is loaded, run or sent, and no other page shows this one. */
const PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; form-action 'none'";

function showHealth({ replica, response }: Exchange): void {
  const { health, reasons } = replica.status();
  send(response, health === "red" ? 503 : 200, { health, reasons });
}

function showMetrics({ replica, response }: Exchange): void {
  response.writeHead(200, { "content-type": PROMETHEUS_CONTENT_TYPE }).end(prometheusText(replica.metrics()));
}

function getEntry({ replica, query, response }: Exchange): void {
  const info = replica.entry(keyOf(query));
  if (info === undefined) throw new RequestError(404, "NO_KEY", "there is no such key");
  send(response, 200, shownInfo(info));
}

async function putEntry({ replica, query, request, response, signal }: Exchange): Promise<void> {
  const value = parsedValue(await bodyOf(request));
  const [ttlMs, acks] = [numberOf(query, "ttlMs"), numberOf(query, "acks")];
  const token = await replica.put(keyOf(query), value, {
    signal,
    ...ifVersionOf(query),
    ...(ttlMs === undefined ? {} : { ttlMs }),
    ...(acks === undefined ? {} : { acks }),
  });
  send(response, 200, { token });
}

async function deleteEntry({ replica, query, response, signal }: Exchange): Promise<void> {
  const acks = numberOf(query, "acks");
  const existed = replica.has(keyOf(query));
  const token = await replica.delete(keyOf(query), {
    signal,
    ...ifVersionOf(query),
    ...(acks === undefined ? {} : { acks }),
  });
  send(response, 200, { token, existed });
}

async function scan({ replica, query, response, signal }: Exchange): Promise<void> {
  const limit = numberOf(query, "limit");
  const options = { ...rangeOf(query), reverse: query.has("reverse"), ...(limit === undefined ? {} : { limit }) };
  const infos = replica.infos(options);
  response.writeHead(200, JSON_LINES);
  for (const info of infos) {
    signal.throwIfAborted();
    if (!response.write(`${JSON.stringify(shownInfo(info))}\n`)) await drained(response, signal);
  }
  response.end();
}

async function watch({ replica, query, response, signal }: Exchange): Promise<void> {
  const events = replica.watch({ ...rangeOf(query), initial: query.has("initial"), signal });
  response.writeHead(200, JSON_LINES).flushHeaders();
  for await (const event of events) {
    if (!response.write(`${JSON.stringify(shownEvent(event))}\n`)) await drained(response, signal);
  }
  response.end();
}

async function exportAll({ replica, query, response, signal }: Exchange): Promise<void> {
  const format = query.get("format") ?? "json";
  if (format !== "json" && format !== "binary")
    throw new RequestError(400, "BAD_REQUEST", 'format is "json" or "binary"');
  const range = rangeOf(query);
  response.writeHead(200, format === "json" ? JSON_LINES : { "content-type": "application/octet-stream" });
  await (format === "json" ? exportJson : exportBinary)(replica, response, { ...range, signal });
  response.end();
}

/** Answers while it reads: a line for each batch, for each entry left out, and the report at the end. */
async function importAll({ replica, query, request, response, signal }: Exchange): Promise<void> {
  const tell = (line: object): void => {
    response.write(`${JSON.stringify(line)}\n`);
  };
  const after = numberOf(query, "after");
  const options = {
    signal,
    strict: query.has("strict"),
    existing: query.has("keep") ? ("keep" as const) : ("replace" as const),
    ...(after === undefined ? {} : { after }),
    onProgress: (progress: object) => tell({ progress }),
    onSkip: (skipped: object) => tell({ skipped }),
  };
  response.writeHead(200, JSON_LINES).flushHeaders();
  const isBinary = isBinaryDump((await peek(request)) ?? new Uint8Array(0));
  const report = await (isBinary ? importBinary : importJson)(replica, request, options);
  tell({ report });
  response.end();
}

async function backup({ replica, query, response }: Exchange): Promise<void> {
  const path = query.get("path");
  if (path === null) throw new RequestError(400, "BAD_REQUEST", "path: where the backup is to be");
  await replica.backup(path);
  send(response, 200, { path });
}

async function checkpoint({ replica, response }: Exchange): Promise<void> {
  await replica.checkpoint();
  send(response, 200, {});
}

async function evict({ replica, query, response }: Exchange): Promise<void> {
  await replica.evict(query.get("nodeId") ?? "");
  send(response, 200, {});
}

// ---- in and out ------------------------------------------------------------------------------

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(`${JSON.stringify(body)}\n`);
}

function shownInfo(info: EntryInfo): object {
  return { ...info, value: toJson(info.value) };
}

function shownEvent(event: WatchEvent): object {
  if (event.type === "ready" || event.type === "lagged") return event;
  const previous = event.previous === undefined ? {} : { previous: toJson(event.previous) };
  return event.type === "put" ? { ...event, value: toJson(event.value), ...previous } : { ...event, ...previous };
}

function keyOf(query: URLSearchParams): string {
  const key = query.get("key");
  if (key === null) throw new RequestError(400, "BAD_REQUEST", "key: which one?");
  return key;
}

/** What has to hold for a write: a version, or `none`, which no version is: a key that must be absent. */
function ifVersionOf(query: URLSearchParams): { ifVersion?: string | null } {
  const text = query.get("ifVersion");
  if (text === null) return {};
  return { ifVersion: text === "none" ? null : text };
}

function numberOf(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  if (!/^\d{1,15}(?:\.\d{1,6})?$/.test(text)) throw new RequestError(400, "BAD_REQUEST", `${name} is a number`);
  return Number(text);
}

function rangeOf(query: URLSearchParams): KeyRange {
  const range: { -readonly [K in keyof KeyRange]: KeyRange[K] } = {};
  for (const field of KEY_RANGE_FIELDS) {
    const bound = query.get(field);
    if (bound !== null) range[field] = bound;
  }
  return range;
}

function parsedValue(body: string): unknown {
  try {
    return fromJson(JSON.parse(body) as Json);
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof JsonValueError || error instanceof RangeError) {
      throw new RequestError(400, "ERR_VALUE", `the value is none: ${error.message}`);
    }
    throw error;
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX)
      throw new RequestError(413, "ERR_LIMIT", `a value of more than ${BODY_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** The first bytes of a request, which are read again afterwards; `undefined` if it has none. */
async function peek(request: IncomingMessage): Promise<Uint8Array | undefined> {
  if (request.readableLength === 0 && !request.readableEnded) {
    await new Promise<void>((resolve) => {
      request.once("readable", resolve).once("end", resolve).once("close", resolve);
    });
  }
  const chunk = request.read() as Uint8Array | null;
  if (chunk === null) return undefined;
  request.unshift(chunk);
  return chunk;
}

async function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      response.off("drain", done).off("close", done);
      resolve();
    };
    response.on("drain", done).on("close", done);
  });
  signal.throwIfAborted();
}
