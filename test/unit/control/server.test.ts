/** Whom the control interface answers: what browsers send is refused, on a port data needs the token, and all is bounded. */
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Replica } from "wavekv";
import { closeControlServer, controlServer } from "../../../src/control/server.ts";
import { open } from "../replica/stage.ts";

const TOKEN = "s3cret";
let replica: Replica;
let server: ReturnType<typeof controlServer>;
let port: number;

async function listen(token: string | undefined): Promise<void> {
  server = controlServer({ replica, token });
  await once(server.listen(0, "127.0.0.1"), "listening");
  ({ port } = server.address() as AddressInfo);
}

beforeEach(async () => {
  replica = await open({ nodeId: '<img src="x">' });
  await replica.put("k", 1);
});
afterEach(() => closeControlServer(server));

interface Answer {
  readonly status: number | undefined;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
}

async function ask(method: string, path: string, headers: Record<string, string> = {}, body?: string): Promise<Answer> {
  const asking = request({ host: "127.0.0.1", port, method, path, headers: { host: "localhost", ...headers } });
  asking.end(body);
  const [response] = (await once(asking, "response")) as [IncomingMessage];
  const chunks: Uint8Array[] = [];
  for await (const chunk of response as AsyncIterable<Uint8Array>) chunks.push(chunk);
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks).toString() };
}

const authorization = `Bearer ${TOKEN}`;

describe("on a port", () => {
  beforeEach(() => listen(TOKEN));

  test.each([
    [{ origin: "http://localhost" }, 403],
    [{ origin: "null" }, 403],
    [{ "sec-fetch-site": "cross-site" }, 403],
    [{ "sec-fetch-site": "same-site" }, 403],
    [{ host: "wavekv.example" }, 403], // a name that was made to resolve to this machine
    [{ host: "127.0.0.1.evil.example" }, 403],
    [{ "sec-fetch-site": "none" }, 200], // typed into the browser
    [{ "sec-fetch-site": "same-origin" }, 200],
    [{ host: "127.0.0.1:1" }, 200],
    [{ host: "[::1]:1" }, 200],
  ])("%j is answered with %i", async (headers, status) => {
    expect((await ask("GET", "/status", headers)).status).toBe(status);
    // Not even with the token.
    const entry = await ask("GET", "/v1/entry?key=k", { ...headers, authorization });
    expect(entry.status).toBe(status);
  });

  test.each([
    ["GET", "/v1/entry?key=k"],
    ["PUT", "/v1/entry?key=k"],
    ["DELETE", "/v1/entry?key=k"],
    ["GET", "/v1/scan"],
    ["GET", "/v1/watch"],
    ["GET", "/v1/members"],
    ["GET", "/v1/export"],
    ["POST", "/v1/import"],
    ["POST", "/v1/backup?path=x"],
    ["POST", "/v1/checkpoint"],
    ["POST", "/v1/evict?nodeId=x"],
  ])("%s %s needs the token", async (method, path) => {
    for (const wrong of [undefined, "Bearer wrong", `Basic ${TOKEN}`, `Bearer ${TOKEN}x`, TOKEN]) {
      const headers = wrong === undefined ? {} : { authorization: wrong };
      expect((await ask(method, path, headers, method === "PUT" ? "2" : "")).status).toBe(401);
    }
    expect(replica.get("k")).toBe(1);
  });

  test("status, health, metrics and the page do not", async () => {
    for (const path of ["/", "/status", "/health", "/metrics"]) expect((await ask("GET", path)).status).toBe(200);
  });

  test("the page runs nothing and shows names as text", async () => {
    const { body, headers } = await ask("GET", "/");
    expect(body).toContain("&#60;img src=&#34;x&#34;&#62;");
    expect(body).not.toContain("<img");
    expect(body).not.toContain("<script");
    expect(headers["content-security-policy"]).toContain("default-src 'none'");
  });
});

describe("over the socket", () => {
  beforeEach(() => listen(undefined));

  test("no token is needed, and browsers are refused all the same", async () => {
    expect((await ask("GET", "/v1/entry?key=k")).body).toContain('"value":1');
    expect((await ask("GET", "/v1/entry?key=k", { origin: "http://localhost" })).status).toBe(403);
  });

  test.each([
    ["GET", "/none", 404, "NOT_FOUND"],
    ["GET", "/constructor", 404, "NOT_FOUND"],
    ["POST", "/status", 405, "BAD_METHOD"],
    ["GET", "/v1/entry", 400, "BAD_REQUEST"],
    ["GET", "/v1/entry?key=none", 404, "NO_KEY"],
    ["GET", `/v1/entry?key=${"x".repeat(1025)}`, 400, "ERR_KEY"],
    ["GET", "/v1/scan?limit=-1", 400, "BAD_REQUEST"],
    ["GET", "/v1/export?format=xml", 400, "BAD_REQUEST"],
    ["PUT", "/v1/entry?key=k&ttlMs=0", 400, "ERR_OPTION"],
    ["PUT", "/v1/entry?key=k", 400, "ERR_VALUE"],
    ["GET", "//", 400, "BAD_REQUEST"],
  ])("%s %.40s is answered with %i", async (method, path, status, code) => {
    const answer = await ask(method, path, {}, method === "PUT" ? (path.includes("ttl") ? "1" : "{") : undefined);
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.body)).toMatchObject({ error: { code } });
    expect(replica.get("k")).toBe(1);
  });

  test("health is 503 when the replica cannot keep what it is given", async () => {
    await replica.close();
    expect((await ask("GET", "/health")).status).toBe(503);
  });

  test("a watch ends with its client, and is none of the replica's any more", async () => {
    const socket = connect(port, "127.0.0.1");
    socket.write("GET /v1/watch HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await once(socket, "data");
    expect(replica.metrics().watchers.open).toBe(1);
    socket.destroy();
    const deadline = performance.now() + 5000;
    while (replica.metrics().watchers.open > 0 && performance.now() < deadline) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(replica.metrics().watchers.open).toBe(0);
  });

  test("what is no request at all is cut off", async () => {
    const socket = connect(port, "127.0.0.1").resume();
    socket.write("\u0000".repeat(100));
    await once(socket, "close");
    expect((await ask("GET", "/health")).status).toBe(200);
  });
});
