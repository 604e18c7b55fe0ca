/** The commands that talk to a replica, over a real port of this process: what is sent, printed and refused. */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Replica } from "wavekv";
import { inProcessNetwork } from "wavekv/transports/in-process";
import { runCommandLine } from "../../../src/cli/command-line.ts";
import { closeControlServer, controlServer } from "../../../src/control/server.ts";
import { fromJson, type Json, toJson } from "../../../src/dump/json-values.ts";
import { MemoryDisk } from "../../../src/storage/memory-disk.ts";
import { open, until } from "../replica/stage.ts";
import { MemoryHost } from "./memory-host.ts";

const TOKEN = "t".repeat(64);
let replica: Replica;
let server: ReturnType<typeof controlServer>;
let at: string;

beforeEach(async () => {
  replica = await open({ nodeId: "oslo" });
  server = controlServer({ replica, token: TOKEN });
  await once(server.listen(0, "127.0.0.1"), "listening");
  at = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => closeControlServer(server));

/** Runs a command against the replica of the test; `args` are divided at blanks, unless they come as an array. */
async function run(args: string | readonly string[], host = new MemoryHost(), onOut?: (text: string) => void) {
  host.env.WAVEKV_AT ??= at;
  host.env.WAVEKV_TOKEN ??= TOKEN;
  const written = { out: "", err: "" };
  const outputOf = (name: "out" | "err") => ({
    isTerminal: name === "err" && host.isErrTerminal,
    hasColours: false,
    write: (text: string) => {
      written[name] += text;
      if (name === "out") onOut?.(text);
    },
  });
  const code = await runCommandLine(typeof args === "string" ? args.split(" ") : args, {
    disk: new MemoryDisk(),
    clock: { now: () => Date.now() },
    host,
    out: outputOf("out"),
    err: outputOf("err"),
  });
  const raw = host.output.read() as Buffer | null;
  return { code, ...written, raw };
}

describe("values", () => {
  test.each<[readonly string[], string, string]>([
    [["put", "k", '{"a":[1,null]}'], "", '{"a":[1,null]}'],
    [["put", "k", '{"$bigint":"5"}'], "", '{"$bigint":"5"}'],
    [["put", "k", "--string", "5"], "", '"5"'],
    [["put", "k", "-"], "[1]\n", "[1]"],
    [["put", "k", "--file", "-", "--string"], "text\n", '"text\\n"'],
    [["put", "k", "--bytes", "-"], "ab", '{"$bytes":"YWI="}'],
    [["put", "k", "--", "-5"], "", "-5"],
  ])("%j", async (args, input, value) => {
    expect(await run(args, new MemoryHost(input))).toEqual({ code: 0, out: "", err: "", raw: null });
    expect(JSON.stringify(toJson(replica.get("k")))).toBe(value);
  });

  test("of a file, with a time to live, to two replicas", async () => {
    const host = new MemoryHost();
    host.files.set("v.json", Buffer.from("7"));
    expect(await run("put k --file v.json --ttl 1.5h --acks 1 --json", host)).toMatchObject({ code: 0 });
    const { value, expiresAt = 0 } = replica.entry("k") ?? {};
    expect(value).toBe(7);
    expect(Math.abs(expiresAt - Date.now() - 5_400_000)).toBeLessThan(60_000);
  });

  test("only over the version that is named, or over nothing", async () => {
    expect(await run("put --if-version none k 1")).toMatchObject({ code: 0 });
    const again = await run("put --if-version none k 2");
    expect(again.code).toBe(1);
    expect(again.err).toContain("and ifVersion asks for absence");
    const { version } = JSON.parse((await run("get k --json")).out) as { version: string };
    expect(await run(["put", "--if-version", version, "k", "3"])).toMatchObject({ code: 0 });
    expect(await run(["put", "--if-version", version, "k", "4"])).toMatchObject({ code: 1 });
    expect(await run(["del", "--if-version", version, "k"])).toMatchObject({ code: 1 });
    expect(replica.get("k")).toBe(3);
    expect(await run(["del", "--if-version", replica.entry("k")?.version ?? "", "k"])).toMatchObject({ code: 0 });
    expect(replica.has("k")).toBe(false);
    expect(await run("del --if-version none k")).toMatchObject({ code: 0 });
  });

  test.each([
    ["put k hello", "is no JSON; for text use --string"],
    ["put k", "which value?"],
    ["put", "KEY is missing"],
    ['put k {"$oops":1}', 'no kind of value "$oops"'],
    ["put k 1 --ttl 5", "--ttl takes a time such as"],
    ["put k 1 --ttl 0s", "--ttl takes a time such as"],
    ["put k 1 --file f", "not both"],
    ["put k 1 --string --bytes", "not both"],
    ["put k 1 --if-version 7", "the version that get --json shows"],
    ["put k 1 --acks x", "--acks takes a whole number"],
  ])("%s is wrong use", async (line, message) => {
    const { code, err } = await run(line);
    expect(code).toBe(2);
    expect(err).toContain(message);
    expect(replica.has("k")).toBe(false);
  });

  test("nothing is waited for that nobody pipes in", async () => {
    const host = new MemoryHost();
    host.isInputTerminal = true;
    expect(await run("put k -", host)).toMatchObject({ code: 2 });
    expect(await run("import", host)).toMatchObject({ code: 2 });
  });

  test.each<[string, string, string]>([
    ['"text"', "", '"text"\n'],
    ['"text"', "--raw", "text"],
    ['{"$bigint":"5"}', "", '{"$bigint":"5"}\n'],
    ["[1]", "--raw", "[1]\n"],
  ])("get of %s %s", async (json, flags, out) => {
    await replica.put("k", fromJson(JSON.parse(json) as Json));
    expect(await run(`get k ${flags}`.trim())).toMatchObject({ code: 0, out });
  });

  test("get of bytes, of all that is known, and of nothing", async () => {
    await replica.put("k", Uint8Array.of(0, 255));
    expect((await run("get k --raw")).raw).toEqual(Buffer.of(0, 255));
    expect(JSON.parse((await run("get k --json")).out)).toMatchObject({
      key: "k",
      value: { $bytes: "AP8=" },
      nodeId: "oslo",
    });
    expect(await run("get none")).toMatchObject({ code: 1, out: "", err: "wavekv: there is no key none\n" });
    expect(JSON.parse((await run("get none --json")).out)).toMatchObject({ ok: false, error: { code: "NO_KEY" } });
    expect(await run("del k --json")).toMatchObject({
      code: 0,
      out: expect.stringContaining('"existed":true') as unknown,
    });
    expect(await run("del k --json")).toMatchObject({
      code: 0,
      out: expect.stringContaining('"existed":false') as unknown,
    });
    expect(await run(["get", ""])).toMatchObject({
      code: 1,
      err: expect.stringContaining("one byte at least") as unknown,
    });
  });
});

describe("many", () => {
  beforeEach(async () => {
    await replica.batch(["a/1", "a/2", "b"].map((key) => ({ type: "put", key, value: `of ${key}` })));
  });

  test("scan shows a table, and says when there is more", async () => {
    expect((await run("scan a/")).out).toBe('key  value     expires\na/1  "of a/1"\na/2  "of a/2"\n2 keys\n');
    expect((await run("scan --limit 1")).out).toMatch(/^key.*\na\/1 .*\n1 key; there are more/);
    expect((await run("scan --limit 3")).out).toMatch(/3 keys\n$/);
    expect((await run("scan --prefix a/ --limit 1")).out).toMatch(/1 key; there are more/);
    expect(await run("scan a/ --prefix a/")).toMatchObject({
      code: 2,
      err: expect.stringContaining("twice") as unknown,
    });
    expect((await run("scan zzz")).out).toBe("0 keys\n");
    const keys = (await run("scan --json --reverse --gt a/1")).out.trim().split("\n");
    expect(keys.map((line) => (JSON.parse(line) as { key: string }).key)).toEqual(["b", "a/2"]);
  });

  test("keys play no tricks on a terminal", async () => {
    await replica.put("z\u001b[2J", "\u001b[2J\u009b");
    const { out } = await run("scan z");
    expect(out).toContain('"z\\u001b[2J"');
    for (const control of ["\u001b", "\u009b"]) expect(out).not.toContain(control);
  });

  test("export and import carry them, in both formats", async () => {
    for (const format of ["json", "binary"]) {
      const host = new MemoryHost();
      expect(await run(`export --format ${format} f`, host)).toMatchObject({ code: 0, out: "" });
      expect(await run(`export --format ${format} f`, host)).toMatchObject({
        code: 1,
        err: expect.stringMatching(/EEXIST.*choose another name/) as unknown,
      });
      await replica.clear();
      expect(await run("import f", host)).toMatchObject({ code: 0, out: "3 imported\n", err: "" });
      expect([...replica.entries()]).toEqual(["a/1", "a/2", "b"].map((key) => [key, `of ${key}`]));
      expect(await run("import --keep f", host)).toMatchObject({ code: 0, out: "0 imported, 3 kept as they were\n" });
    }
    expect((await run("export --prefix a/")).raw?.toString().split("\n")).toHaveLength(3);
  });

  test.each([
    ["export f", false, true],
    ["export", true, true],
    ["export", false, false],
  ])("%s with its output to a file (%s): progress on the terminal is %s", async (line, isOutputFile, isShown) => {
    const host = new MemoryHost();
    host.isErrTerminal = true;
    host.isOutputFile = isOutputFile;
    const { code, err } = await run(line, host);
    expect([code, err.includes("exporting")]).toEqual([0, isShown]);
  });

  test("import names the lines that it leaves out", async () => {
    const lines = '{"key":"c","value":1}\n{bad\n{"key":"","value":1}\n{"key":"d","value":1}\n';
    const { code, out, err } = await run("import", new MemoryHost(lines));
    expect({ code, out }).toEqual({ code: 1, out: "2 imported, 2 left out\n" });
    expect(err).toMatch(/^2: the line is no JSON: .*\n3: .*\n$/);
    expect(await run("import --after 3 --json", new MemoryHost(lines))).toMatchObject({
      code: 0,
      out: expect.stringContaining('"imported":1') as unknown,
    });
    const strict = await run("import --strict", new MemoryHost(lines));
    expect(strict.code).toBe(1);
    expect(strict.err).toMatch(/stopped behind 2; go on with --after 2\n.*at 2 of the dump/);
  });

  test("watch goes on until it is stopped", async () => {
    const host = new MemoryHost();
    let seen = "";
    const watched = run("watch a/ --initial", host, (text) => {
      seen += text;
    });
    await until(() => seen.includes("ready"), "the present entries are there");
    await replica.put("a/3", [1]);
    await replica.put("c", 1);
    await replica.delete("a/1");
    await until(() => seen.includes("delete"), "the changes have come");
    host.stop();
    expect(await watched).toMatchObject({ code: 0, err: "" });
    expect(seen).toBe(
      'put a/1  "of a/1"  (oslo)\nput a/2  "of a/2"  (oslo)\nready\nput a/3  [1]  (oslo)\ndelete a/1  (oslo)\n',
    );
  });

  test("watch says when the replica ends it", async () => {
    let seen = "";
    const watched = run("watch --initial --json", undefined, (text) => {
      seen += text;
    });
    await until(() => seen.includes("ready"), "it has begun");
    await closeControlServer(server);
    expect(await watched).toMatchObject({ code: 1, err: expect.stringContaining("the replica has") as unknown });
  });
});

describe("looking", () => {
  test("status, members, checkpoint, and a backup that cannot be", async () => {
    expect((await run("status")).out).toMatch(/^oslo of default: green\n(.*\n)*no peers\n$/);
    expect(JSON.parse((await run("status --json")).out)).toEqual(JSON.parse(JSON.stringify(replica.status())));
    expect((await run("members")).out).toMatch(/^member .*\noslo +\d/);
    expect(await run("checkpoint")).toMatchObject({ code: 0, out: "" });
    expect(await run("backup there")).toMatchObject({
      code: 1,
      err: expect.stringContaining("has no backup") as unknown,
    });
  });

  test("evict forgets a member that has gone, and no other", async () => {
    const network = inProcessNetwork();
    await closeControlServer(server);
    replica = await open({ nodeId: "a", transport: network.transport() });
    const gone = await open({ nodeId: "gone", transport: network.transport() });
    await until(() => replica.members().length === 2, "it is a member");
    server = controlServer({ replica, token: undefined });
    await once(server.listen(0, "127.0.0.1"), "listening");
    at = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    expect(await run("evict gone")).toMatchObject({ code: 1, err: expect.stringContaining("is connected") as unknown });
    expect(await run("evict nobody")).toMatchObject({ code: 1, err: expect.stringContaining("no member") as unknown });
    await gone.close();
    await until(() => replica.status().peers.gone?.state === "down", "it has gone");
    expect(await run("evict gone --json")).toMatchObject({ code: 0, out: '{"ok":true}\n' });
    expect(replica.members().map(({ nodeId }) => nodeId)).toEqual(["a"]);
  });

  test.each([
    ["http://127.0.0.1:1", 3, "no replica answers there; start one with: wavekv serve DIR --http PORT"],
    ["./nowhere", 3, "start one with: wavekv serve ./nowhere"],
    ["http://example.com", 2, "an address on this machine"],
    ["https://127.0.0.1:1", 2, "an address on this machine"],
    ["http://127.0.0.1:1/path", 2, "an address on this machine"],
  ])("%s has exit code %i", async (where, code, message) => {
    const result = await run(["get", "k", "--at", where]);
    expect(result.code).toBe(code);
    expect(result.err).toContain(message);
  });

  test("without the token there is a status, and nothing else", async () => {
    const host = () => {
      const other = new MemoryHost();
      other.env.WAVEKV_TOKEN = "wrong";
      return other;
    };
    expect(await run("status", host())).toMatchObject({ code: 0 });
    for (const line of [
      "get k",
      "put k 1",
      "del k",
      "scan",
      "watch",
      "members",
      "evict x",
      "export",
      "import",
      "backup x",
      "checkpoint",
    ]) {
      expect(await run(line, host())).toMatchObject({ code: 1, err: expect.stringContaining("token") as unknown });
    }
  });
});
