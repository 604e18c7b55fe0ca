/** `wavekv serve` as a process: what it leaves in its directory, who can talk to it, and how it ends. Uses `dist`. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import packageJson from "../../package.json" with { type: "json" };

const MAIN = fileURLToPath(new URL(`../../${packageJson.bin.wavekv}`, import.meta.url));
const DEADLINE_MS = 20_000;

let root: string;
const started = new Set<ReturnType<typeof spawn>>();
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "wavekv-serve-"));
});
afterEach(() => {
  for (const child of started) child.kill("SIGKILL");
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

function start(args: readonly string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: root,
    timeout: DEADLINE_MS,
    env: { PATH: process.env.PATH, ...env },
  });
  started.add(child);
  const written = { out: "", err: "" };
  const wanted: { text: string; done: () => void }[] = [];
  const check = (): void => {
    for (const { text, done } of wanted) if ((written.out + written.err).includes(text)) done();
  };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    written.out += text;
    check();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    written.err += text;
    check();
  });
  const ended = once(child, "close").then(([code, signal]) => {
    started.delete(child);
    return { code: (code ?? signal) as number | string, ...written };
  });
  const says = (text: string): Promise<unknown> =>
    Promise.race([
      new Promise<void>((done) => {
        wanted.push({ text, done });
        check();
      }),
      ended.then((end) => Promise.reject(new Error(`ended before it said ${text}: ${JSON.stringify(end)}`))),
    ]);
  return { child, ended, says, written };
}

async function run(args: readonly string[], env: Record<string, string> = {}, input?: string) {
  const { child, ended } = start(args, env);
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  return await ended;
}

describe("wavekv serve", () => {
  test("is talked to over its socket, ends on SIGTERM in good order, and leaves nothing behind", async () => {
    const { child, ended, says, written } = start(["serve", "./data", "--node-id", "oslo", "--http", "0"]);
    await says("status at");
    const data = join(root, "data");
    for (const name of ["control.sock", "control.token"]) expect(statSync(join(data, name)).mode & 0o777).toBe(0o600);
    expect(await run(["put", "k", "-"], {}, '{"a":1}')).toEqual({ code: 0, out: "", err: "" });
    expect(await run(["get", "k"])).toEqual({ code: 0, out: '{"a":1}\n', err: "" });
    expect((await run(["status"])).out).toMatch(/^oslo of default: green\n/);
    const [, at = ""] = /status at (http:\/\/127\.0\.0\.1:\d+)\//.exec(written.err) ?? [];
    expect((await fetch(`${at}/health`)).status).toBe(200);
    expect((await fetch(`${at}/v1/scan`)).status).toBe(401);
    const token = readFileSync(join(data, "control.token"), "utf8").trim();
    const shown = await run(["get", "k", "--at", at], { WAVEKV_TOKEN: token });
    expect(shown).toEqual({ code: 0, out: '{"a":1}\n', err: "" });
    const second = await run(["serve", "./data"]);
    expect(second).toMatchObject({ code: 1, err: expect.stringMatching(/is held by process \d+/) as unknown });
    // The second one must not have taken away the socket of the first.
    expect((await run(["get", "k"])).code).toBe(0);
    child.kill("SIGTERM");
    expect(await ended).toMatchObject({ code: 0, out: "", err: expect.stringContaining("ends (SIGTERM)") as unknown });
    for (const name of ["control.sock", "control.token", "lock"]) expect(existsSync(join(data, name))).toBe(false);
    expect(JSON.parse((await run(["inspect", "./data", "--json"])).out)).toMatchObject({
      nodeId: "oslo",
      entries: 1,
      recovery: { closedInGoodOrder: true },
    });
    expect(await run(["get", "k"])).toMatchObject({
      code: 3,
      err: expect.stringContaining("wavekv serve ./data") as unknown,
    });
  });

  test("--ui serves a page, whose link is in a file that only its user can read, and not in the log", async () => {
    const { child, ended, says, written } = start(["serve", "./watched", "--node-id", "oslo", "--ui", "0"]);
    await says("page at");
    const file = join(root, "watched", "ui.link");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const [url = "", token = ""] = readFileSync(file, "utf8").trim().split("#token=");
    expect(written.err).toContain(`page at ${url}, open the link in ./watched/ui.link`);
    expect(written.err).not.toContain(token);
    const page = await fetch(url);
    expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    expect((await fetch(`${url}page.js`)).status).toBe(200);
    expect((await fetch(`${url}api/entries`)).status).toBe(401);
    const entries = await fetch(`${url}api/entries`, { headers: { authorization: `Bearer ${token}` } });
    expect(await entries.json()).toEqual({ entries: [], more: false });
    const second = await run(["serve", "./other", "--ui", new URL(url).port]);
    expect(second).toMatchObject({ code: 1, err: expect.stringMatching(/--ui: port \d+ is in use/) as unknown });
    child.kill("SIGTERM");
    expect((await ended).code).toBe(0);
    expect(existsSync(file)).toBe(false);
  });

  test("goes on where a killed one stopped", async () => {
    const first = start(["serve", "./killed"]);
    await first.says("is up");
    expect((await run(["put", "--at", "./killed", "k", "1"])).code).toBe(0);
    first.child.kill("SIGKILL");
    await first.ended;
    expect(existsSync(join(root, "killed", "control.sock"))).toBe(true);
    expect(await run(["get", "--at", "./killed", "k"])).toMatchObject({ code: 3 });
    const second = start(["serve", "./killed"]);
    await second.says("is up");
    expect((await run(["get", "--at", "./killed", "k"])).out).toBe("1\n");
    second.child.kill("SIGINT");
    expect((await second.ended).code).toBe(0);
  });

  test("replicates with others that know the secret, and a watch sees it", async () => {
    const secret = "correct horse battery staple, and then some";
    writeFileSync(join(root, "secret"), `${secret}\n`, { mode: 0o600 });
    const a = start(["serve", "./a", "--node-id", "a", "--listen", "0", "--secret-file", "secret"]);
    await a.says("other replicas reach it at");
    const [, address = ""] = /reach it at (ws:\S+)/.exec(a.written.err) ?? [];
    const b = start(["serve", "./b", "--node-id", "b", "--seed", address], { WAVEKV_SECRET: secret });
    await b.says("is up");
    const watch = start(["watch", "--at", "./b", "--initial", "--json"]);
    await watch.says('"ready"');
    expect((await run(["put", "--at", "./a", "k", "1", "--acks", "2"])).code).toBe(0);
    await watch.says('"key":"k"');
    // Whoever reads the watch has seen enough.
    watch.child.kill("SIGINT");
    expect(await watch.ended).toMatchObject({ code: 0, err: "" });
    expect((await run(["members", "--at", "./b"])).out).toMatch(/\na +.*\nb +/);
    for (const { child, ended } of [a, b]) {
      child.kill("SIGTERM");
      expect((await ended).code).toBe(0);
    }
  });

  test.each([
    [["--http", "70000"], "--http takes a port"],
    [["--ui", "page"], "--ui takes a port"],
    [["--listen", "nowhere"], "--listen takes a port"],
    [["--durability", "often"], "--durability takes a time"],
    [["--secret-file", "absent"], "check the path"],
    [["--secret", "x"], "serve takes no --secret; did you mean"],
    [["--listen", "0.0.0.0:0"], "secret"],
    [["--node-id", "x".repeat(65)], "nodeId takes a name"],
  ])("says what is wrong with %j", async (args, message) => {
    const { code, err } = await run(["serve", "./wrong", ...args]);
    expect([1, 2]).toContain(code);
    expect(err).toMatch(new RegExp(message));
    expect(existsSync(join(root, "wrong"))).toBe(false);
  });

  test("without a process, export, import and backup take the directory itself", async () => {
    expect((await run(["export", "--at", "./data"])).out).toBe('{"key":"k","value":{"a":1}}\n');
    expect(await run(["import", "--at", "./data"], {}, '{"key":"l","value":2}\n')).toMatchObject({ code: 0 });
    expect((await run(["export", "--at", "./data", "--prefix", "l"])).out).toBe('{"key":"l","value":2}\n');
    expect((await run(["backup", "--at", "./data", "./copy"])).code).toBe(0);
    expect((await run(["verify", "./copy"])).out).toMatch(/^ok: /);
    expect(await run(["export", "--at", "./absent"])).toMatchObject({ code: 3 });
  });

  test("ends quietly when nobody reads on", async () => {
    const lines = Array.from({ length: 20_000 }, (_, index) => `{"key":"key ${index}","value":"${"x".repeat(50)}"}\n`);
    expect((await run(["import", "--at", "./data"], {}, lines.join(""))).out).toBe("20,000 imported\n");
    const server = start(["serve", "./data"]);
    await server.says("is up");
    for (const command of ["scan", "export", "watch"]) {
      const flags = command === "export" ? [] : command === "watch" ? ["--initial"] : ["--json"];
      const { child, ended } = start([command, "--at", "./data", ...flags]);
      await once(child.stdout, "data");
      child.stdout.destroy();
      expect(await ended, command).toMatchObject({ code: 0, err: "" });
    }
    expect((await run(["status", "--at", "./data"])).code).toBe(0);
    server.child.kill("SIGTERM");
    expect((await server.ended).code).toBe(0);
  });
});
