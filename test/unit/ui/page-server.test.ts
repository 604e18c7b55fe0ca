/** Whom the page's server answers, what it says, and that a page which does not read costs it a bounded amount. */
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Replica } from "wavekv";
import { inProcessNetwork } from "wavekv/transports/in-process";
import { systemClock, systemTimers, type Timers } from "../../../src/clock.ts";
import { closeControlServer } from "../../../src/control/server.ts";
import { Conflicts } from "../../../src/ui/conflicts.ts";
import type { UiExtras } from "../../../src/ui/extras.ts";
import { pageServer } from "../../../src/ui/page-server.ts";
import type { EntriesView, EntryView, Frame } from "../../../src/ui/wire.ts";
import { open, until } from "../replica/stage.ts";

const TOKEN = "s3cret-of-this-start";
const authorization = `Bearer ${TOKEN}`;
const network = inProcessNetwork();

let replica: Replica;
let server: ReturnType<typeof pageServer>;
let port: number;
let asked: string[];
let extras: UiExtras;

beforeEach(async () => {
  replica = await open({ nodeId: "oslo", transport: network.transport() });
  await replica.put("k", 1);
  asked = [];
  const note = (what: string) => (a: string, b?: string) => void asked.push([what, a, b].join(" "));
  extras = {
    links: { cuts: () => [["oslo", "rome"]], cut: note("cut"), heal: note("heal") },
    pauses: {
      paused: () => [],
      pause: note("pause"),
      resume: () => Promise.reject(new Error("it does not come back")),
    },
  };
});
afterEach(() => closeControlServer(server));

async function listen(more: UiExtras = extras): Promise<void> {
  const assets = new Map([["/", { type: "text/html; charset=utf-8", body: Buffer.from("<!doctype html>") }]]);
  const conflicts = new Conflicts(replica);
  const options = { replica, extras: more, conflicts, assets, token: TOKEN, clock: systemClock, timers: counted };
  server = pageServer(options);
  await once(server.listen(0, "127.0.0.1"), "listening");
  ({ port } = server.address() as AddressInfo);
}

/** Timers that are running, on the real clock. */
let waiting = 0;
const counted: Timers = {
  after(delayMs, callback) {
    let isOver = false;
    const over = (): void => {
      if (!isOver) waiting -= 1;
      isOver = true;
    };
    waiting += 1;
    const cancel = systemTimers.after(delayMs, () => {
      over();
      callback();
    });
    return () => {
      over();
      cancel();
    };
  },
};

async function ask(method: string, path: string, headers: Record<string, string> = {}) {
  const asking = request({ host: "127.0.0.1", port, method, path, headers: { host: `localhost:${port}`, ...headers } });
  asking.end();
  const [response] = (await once(asking, "response")) as [IncomingMessage];
  const chunks: Uint8Array[] = [];
  for await (const chunk of response as AsyncIterable<Uint8Array>) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString();
  return { status: response.statusCode, headers: response.headers, body };
}

async function json<T>(path: string): Promise<T> {
  return JSON.parse((await ask("GET", path, { authorization })).body) as T;
}

/** The lines of a feed until `isEnough`. */
async function framesUntil(isEnough: (frames: readonly Frame[]) => boolean): Promise<Frame[]> {
  const asking = request({ host: "127.0.0.1", port, path: "/api/feed", headers: { authorization } });
  asking.end();
  const [response] = (await once(asking, "response")) as [IncomingMessage];
  const frames: Frame[] = [];
  let rest = "";
  for await (const chunk of response.setEncoding("utf8") as AsyncIterable<string>) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    frames.push(...lines.map((line) => JSON.parse(line) as Frame));
    if (isEnough(frames)) break;
  }
  return frames;
}

describe("who is answered", () => {
  beforeEach(() => listen());

  test.each([
    [{ origin: "http://evil.example" }, 403],
    [{ origin: "null" }, 403],
    [{ origin: "https://localhost:PORT" }, 403],
    [{ origin: "http://localhost:1" }, 403],
    [{ origin: "http://localhost" }, 403], // another port of this machine is another page
    [{ origin: "http://127.0.0.1:PORT" }, 403], // is not the host that was asked
    [{ origin: "http://evil.example:PORT", host: "evil.example:PORT" }, 403], // a name that resolves to this machine
    [{ "sec-fetch-site": "cross-site" }, 403],
    [{ "sec-fetch-site": "same-site" }, 403],
    [{ host: "evil.example" }, 403],
    [{ host: "127.0.0.1.evil.example:PORT" }, 403],
    [{ host: "localhost@evil.example" }, 403],
    [{ origin: "http://localhost:PORT" }, 200],
    [{ origin: "http://LOCALHOST:PORT", host: "localhost:PORT" }, 200],
    [{ "sec-fetch-site": "same-origin" }, 200],
    [{ "sec-fetch-site": "none" }, 200],
    [{ host: "[::1]:PORT" }, 200],
    [{ host: "127.0.0.1:PORT" }, 200],
  ])("%j is answered with %i", async (given, status) => {
    const headers = Object.fromEntries(
      Object.entries(given).map(([name, value]) => [name, value.replace("PORT", String(port))]),
    );
    expect((await ask("GET", "/", headers)).status).toBe(status);
    // Not even with the token.
    expect((await ask("GET", "/api/entry?key=k", { ...headers, authorization })).status).toBe(status);
    expect((await ask("POST", "/api/cut?a=x&b=y", { ...headers, authorization })).status).toBe(status);
    expect(asked).toEqual(status === 200 ? ["cut x y"] : []);
  });

  test.each([
    ["GET", "/api/feed"],
    ["GET", "/api/entries"],
    ["GET", "/api/entry?key=k"],
    ["POST", "/api/evict?nodeId=x"],
    ["POST", "/api/cut?a=x&b=y"],
    ["POST", "/api/heal?a=x&b=y"],
    ["POST", "/api/pause?nodeId=x"],
    ["POST", "/api/resume?nodeId=x"],
    ["GET", "/api/none"],
  ])("%s %s needs the token", async (method, path) => {
    for (const wrong of [undefined, "Bearer wrong", `Basic ${TOKEN}`, `Bearer ${TOKEN}x`, TOKEN]) {
      const answer = await ask(method, path, wrong === undefined ? {} : { authorization: wrong });
      expect(answer.status).toBe(401);
      expect(answer.body).toContain("open the link");
    }
    expect((await ask(method, `${path}${path.includes("?") ? "&" : "?"}token=${TOKEN}`)).status).toBe(401);
    expect(asked).toEqual([]);
  });

  test("whatever is answered says what a browser may do with it", async () => {
    for (const path of ["/", "/api/entries", "/none"]) {
      const { headers } = await ask("GET", path);
      const policy = String(headers["content-security-policy"]);
      for (const part of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "connect-src 'self'"]) {
        expect(policy).toContain(part);
      }
      expect(policy).not.toContain("unsafe");
      expect(headers).toMatchObject({
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
        "cross-origin-resource-policy": "same-origin",
      });
    }
  });

  test.each([
    ["GET", "/api/none", 404, "NOT_FOUND"],
    ["GET", "/api/cut?a=x&b=y", 404, "NOT_FOUND"], // what changes something is never a mere link
    ["POST", "/api/cut?a=x", 400, "BAD_REQUEST"],
    ["GET", "/api/entry?key=none", 404, "NO_KEY"],
    ["GET", "/api/entry?key=LONG", 400, "ERR_KEY"],
    ["POST", "/api/evict?nodeId=nobody", 400, "ERR_OPTION"],
    ["POST", "/api/resume?nodeId=x", 500, "FAILED"],
    ["GET", "//", 400, "FAILED"],
  ])("%s %s is answered with %i", async (method, path, status, code) => {
    const answer = await ask(method, path.replace("LONG", "x".repeat(1025)), { authorization });
    expect(answer.status).toBe(status);
    expect(answer.body).toContain(`"code":"${code}"`);
  });

  test("what is not offered is not there", async () => {
    await closeControlServer(server);
    await listen({});
    for (const path of ["cut?a=x&b=y", "heal?a=x&b=y", "pause?nodeId=x", "resume?nodeId=x"]) {
      const { status, body } = await ask("POST", `/api/${path}`, { authorization });
      expect([status, body]).toEqual([404, expect.stringContaining("NOT_OFFERED") as unknown]);
    }
    const [first] = await framesUntil(({ length }) => length === 1);
    expect(first?.snapshot.offers).toEqual({ links: false, pauses: false, files: false });
  });
});

describe("entries", () => {
  beforeEach(() => listen());

  test("come in pages, by prefix, in order, and long values cut short", async () => {
    const keys = Array.from({ length: 201 }, (_, index) => `p/${String(index).padStart(3, "0")}`);
    await replica.batch(keys.map((key) => ({ type: "put", key, value: key })));
    await replica.put("p0", "x".repeat(5000));
    const first = await json<EntriesView>("/api/entries?prefix=p/");
    expect([first.entries.length, first.more]).toEqual([200, true]);
    const last = first.entries.at(-1)!.key;
    const second = await json<EntriesView>(`/api/entries?prefix=p/&after=${encodeURIComponent(last)}`);
    expect([second.entries.map(({ key }) => key), second.more]).toEqual([["p/200"], false]);
    const [long] = (await json<EntriesView>("/api/entries?prefix=p0")).entries;
    expect([long?.value.text.length, long?.value.more]).toEqual([400, 4602]);
    const whole = await json<EntryView>("/api/entry?key=p0");
    expect([whole.value.text, whole.value.more]).toEqual([`"${"x".repeat(5000)}"`, 0]);
    expect(whole).toMatchObject({ nodeId: "oslo", version: replica.entry("p0")?.version });
    expect(Math.abs(whole.writtenAt - Date.now())).toBeLessThan(60_000);
  });

  test("a pair of surrogates is not cut in two", async () => {
    await replica.put("s", `${"x".repeat(398)}😀`);
    const [entry] = (await json<EntriesView>("/api/entries?prefix=s")).entries;
    expect([entry?.value.text.isWellFormed(), entry?.value.text.length, entry?.value.more]).toEqual([true, 399, 3]);
  });
});

describe("the feed", () => {
  test("tells everything at first, then what has changed, and each change", async () => {
    await listen();
    const frames = await framesUntil((taken) => {
      if (taken.length === 1) void replica.put("later", { "<b>": 2n });
      return taken.some(({ changes }) => changes.length > 0);
    });
    expect(frames[0]?.snapshot).toMatchObject({
      replica: { nodeId: "oslo", health: "green", entries: 1, mesh: [{ nodeId: "oslo" }] },
      others: [],
      offers: { links: true, pauses: true, files: false },
      cuts: [["oslo", "rome"]],
      conflicts: [],
      files: null,
    });
    const last = frames.at(-1)!;
    expect(Object.keys(last.snapshot)).toEqual(["replica"]);
    expect(last.changes).toMatchObject([
      { type: "put", key: "later", value: { text: '{"<b>":{"$bigint":"2"}}', more: 0 }, nodeId: "oslo", local: true },
    ]);
  });

  test("shows the newest of very many changes and counts the others", async () => {
    await listen();
    const total = 1234;
    let sum = 0;
    const frames = await framesUntil((taken) => {
      if (taken.length === 1) {
        const operations = Array.from(
          { length: total },
          (_, value) => ({ type: "put", key: `k${value}`, value }) as const,
        );
        void replica.batch(operations);
      }
      sum = taken.reduce((count, { changes, missed }) => count + changes.length + missed, 0);
      return sum >= total;
    });
    expect(sum).toBe(total);
    for (const { changes } of frames) expect(changes.length).toBeLessThanOrEqual(100);
    expect(frames.at(-1)?.changes.at(-1)?.key).toBe(`k${total - 1}`);
  });

  test("shows conflicts with both sides, files with those that need a look first, and other replicas", async () => {
    const rome = await open({ nodeId: "rome", transport: network.transport() });
    await until(() => replica.status().peers.rome?.state === "live", "they meet");
    const list = () => [
      { path: "a", state: "synced", bytes: 1 } as const,
      { path: "b", state: "refused", note: "leads out of the folder" } as const,
    ];
    const conflicts = () => [
      { path: "f", winner: { nodeId: "x", changedAt: 1, text: "t" }, loser: { nodeId: "y", changedAt: 2 } },
    ];
    const { replicaView } = await import("../../../src/ui/view.ts");
    await listen({ files: { list, conflicts }, replicas: () => [replicaView(rome), replicaView(replica)] });
    network.cut("oslo", "rome");
    await until(() => replica.status().peers.rome?.state === "down", "they part");
    await replica.put("k", "mine");
    await rome.put("k", "theirs");
    network.heal();
    const told: Frame["snapshot"] = {};
    await framesUntil((taken) => {
      Object.assign(told, taken.at(-1)?.snapshot);
      return told.conflictsTotal === 2;
    });
    expect(told.conflicts?.map(({ key }) => key)).toEqual(["f", "k"]);
    expect(told.conflicts?.[1]?.loser.value?.text).toMatch(/^"(?:mine|theirs)"$/);
    expect(told.conflicts?.[0]?.loser).toEqual({ nodeId: "y", writtenAt: 2, version: "" });
    expect(told.files).toEqual({ shown: [list()[1], list()[0]], total: 2, byState: { synced: 1, refused: 1 } });
    expect(told.others?.map(({ nodeId }) => nodeId)).toEqual(["rome"]);
  });

  test("costs nothing when nobody looks, and nothing is left of a page that has gone", async () => {
    let calls = 0;
    const replicas = () => {
      calls += 1;
      return [];
    };
    await listen({ replicas });
    await until(() => waiting === 0, "the pages of earlier tests are over");
    await replica.put("k", 2);
    expect([calls, waiting]).toEqual([0, 0]);
    await framesUntil(({ length }) => length === 2);
    expect(calls).toBe(2);
    // What makes the next line is this timer alone.
    await until(() => waiting === 0, "it waits for nothing any more");
    await replica.put("k", 3);
    expect(calls).toBe(2);
  });

  test("is told to a few pages at once, and ends with the reason when the replica closes", async () => {
    await listen();
    const frames: unknown[] = [];
    const asking = request({ host: "127.0.0.1", port, path: "/api/feed", headers: { authorization } });
    asking.end();
    const [response] = (await once(asking, "response")) as [IncomingMessage];
    const others = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const other = request({ host: "127.0.0.1", port, path: "/api/feed", headers: { authorization } });
        other.end();
        const [answer] = (await once(other, "response")) as [IncomingMessage];
        return { other, status: answer.statusCode };
      }),
    );
    expect(others.map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 200, 200, 200, 503]);
    for (const { other } of others) other.destroy();
    await replica.close();
    for await (const chunk of response.setEncoding("utf8") as AsyncIterable<string>) frames.push(chunk);
    expect(frames.join("")).toMatch(/\{"error":\{"code":"ERR_CLOSED"[^\n]*\n$/);
  });

  test("of a page that does not read stays bounded", async () => {
    let views = 0;
    const list = () => {
      views += 1;
      // Every line is long, and none is as the one before.
      return Array.from(
        { length: 500 },
        (_, index) => ({ path: `${views} ${index} ${"x".repeat(2000)}`, state: "synced" }) as const,
      );
    };
    await listen({ files: { list } });
    const socket = connect(port, "127.0.0.1");
    socket.pause();
    socket.write(`GET /api/feed HTTP/1.1\r\nhost: localhost\r\nauthorization: ${authorization}\r\n\r\n`);
    let still = 0;
    let last = 0;
    // The system's own buffers take the first lines; then none is made any more.
    await until(() => {
      still = views === last ? still + 1 : 0;
      last = views;
      return views > 0 && still > 700;
    }, "it stops making lines");
    const before = views;
    for (let index = 0; index < 1000; index++) void replica.put(`k${index}`, index);
    await replica.put("end", 1);
    expect(views).toBe(before);
    socket.destroy();
  }, 20_000);
});
