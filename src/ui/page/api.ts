/** Talks to the process that serves this page. The token stays in this tab: it comes in the link, and goes with every request. */
import type { Frame } from "../wire.ts";

const TOKEN_KEY = "wavekv-token";
const RETRY_MS = 1500;

/** What the process answers when it does not do what it is asked to. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Takes the token out of the link, so that it is neither in the address bar nor in the history. */
export function takeToken(): void {
  const [, token] = /^#token=([\w-]+)$/.exec(location.hash) ?? [];
  if (token === undefined) return;
  sessionStorage.setItem(TOKEN_KEY, token);
  history.replaceState(null, "", `${location.pathname}#/mesh`);
}

/** @throws ApiError, and what `fetch` throws */
export async function ask<T>(
  method: "GET" | "POST",
  path: string,
  query: Readonly<Record<string, string>> = {},
): Promise<T> {
  const response = await request(method, `api/${path}?${new URLSearchParams(query)}`);
  return (await response.json()) as T;
}

export interface FeedListener {
  frame(frame: Frame): void;
  /** `refused`: the token is none of this process, and trying again does not help. */
  state(state: "live" | "lost" | "refused", why?: string): void;
}

/** Reads the feed for ever, and connects again when it ends. */
export async function follow(listener: FeedListener): Promise<never> {
  for (;;) {
    try {
      const { body } = await request("GET", "api/feed");
      listener.state("live");
      for await (const line of linesOf(body)) {
        const frame = JSON.parse(line) as Frame | { readonly error: { readonly message: string } };
        if ("error" in frame) throw new Error(frame.error.message);
        listener.frame(frame);
      }
      listener.state("lost");
    } catch (error) {
      const isRefused = error instanceof ApiError && error.status === 401;
      listener.state(isRefused ? "refused" : "lost", error instanceof ApiError ? error.message : undefined);
      if (isRefused) await new Promise(() => undefined);
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

async function request(method: string, path: string): Promise<Response> {
  const headers = { authorization: `Bearer ${sessionStorage.getItem(TOKEN_KEY) ?? "none"}` };
  const response = await fetch(path, { method, headers, cache: "no-store", credentials: "omit" });
  if (response.ok) return response;
  const answer = (await response.json().catch(() => ({}))) as { readonly error?: { readonly message?: string } };
  throw new ApiError(response.status, answer.error?.message ?? `the process answers ${response.status}`);
}

async function* linesOf(body: ReadableStream<Uint8Array> | null): AsyncGenerator<string> {
  if (body === null) return;
  const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}
