/** Asks a running replica, over its socket or a loopback address. CONTROL.md describes the requests. */
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import type { Readable } from "node:stream";

/** Where a replica listens. */
export type ControlAddress =
  | { readonly type: "socket"; readonly path: string }
  | { readonly type: "port"; readonly host: string; readonly port: number; readonly token: string | undefined };

/** What the replica answers when it does not do what it is asked to; or why it was not reached: code "UNREACHABLE". */
export class ControlError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

export interface ControlRequest {
  readonly method?: "GET" | "PUT" | "POST" | "DELETE";
  readonly path: string;
  /** Fields that are `undefined` are left out; `true` is a field without a value. */
  readonly query?: Readonly<Record<string, string | number | true | undefined>>;
  readonly body?: string | Readable;
  readonly signal?: AbortSignal;
}

/** The name of the socket within the directory of a replica. */
export const SOCKET_FILE = "control.sock";
export const TOKEN_FILE = "control.token";

export class ControlClient {
  readonly #address: ControlAddress;

  constructor(address: ControlAddress) {
    this.#address = address;
  }

  /** The answer as JSON. @throws ControlError */
  async json(asked: ControlRequest): Promise<unknown> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of (await this.stream(asked)) as AsyncIterable<Uint8Array>) chunks.push(chunk);
    return JSON.parse(Buffer.concat(chunks).toString());
  }

  /** The answer as it comes. @throws ControlError if the answer is a refusal */
  async stream(asked: ControlRequest): Promise<IncomingMessage> {
    const response = await this.#send(asked);
    if (response.statusCode === 200 || (asked.path === "/health" && response.statusCode === 503)) return response;
    const chunks: Uint8Array[] = [];
    for await (const chunk of response as AsyncIterable<Uint8Array>) chunks.push(chunk);
    throw errorOf(Buffer.concat(chunks).toString(), response.statusCode);
  }

  #send({ method = "GET", path, query = {}, body, signal }: ControlRequest): Promise<IncomingMessage> {
    const address = this.#address;
    const fields = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) fields.set(name, value === true ? "" : String(value));
    }
    const target =
      address.type === "socket" ? { socketPath: address.path } : { host: address.host, port: address.port };
    const token = address.type === "port" ? address.token : undefined;
    return new Promise((resolve, reject) => {
      const asking: ClientRequest = request({
        ...target,
        method,
        path: `${path}?${fields.toString()}`,
        headers: { host: "localhost", ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
        ...(signal === undefined ? {} : { signal }),
      });
      asking.once("response", resolve);
      asking.on("error", (error: NodeJS.ErrnoException) => {
        reject(signal?.aborted === true ? (signal.reason as Error) : new ControlError("UNREACHABLE", reasonOf(error)));
      });
      if (body === undefined || typeof body === "string") asking.end(body);
      else {
        body.on("error", (error) => asking.destroy(error));
        body.pipe(asking);
      }
    });
  }
}

/** The error that a line of an answer reports, if it does. */
export function errorIn(line: unknown): ControlError | undefined {
  if (typeof line !== "object" || line === null || !("error" in line)) return undefined;
  const { code, message } = line.error as { code: string; message: string };
  return new ControlError(code, message);
}

function errorOf(body: string, status: number | undefined): ControlError {
  try {
    return errorIn(JSON.parse(body)) ?? new ControlError("BAD_ANSWER", `it answered with ${status}`);
  } catch {
    return new ControlError("BAD_ANSWER", `it answered with ${status}, and is probably no replica`);
  }
}

function reasonOf({ code, message }: NodeJS.ErrnoException): string {
  if (code === "ENOENT" || code === "ECONNREFUSED" || code === "ENOTSOCK") return "no replica answers there";
  if (code === "EACCES" || code === "EPERM") return "its socket belongs to another user";
  return message;
}
