/** The README's tables say what the code says, and what it promises about broken disks holds. */
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { openReplica, type Replica, type ReplicaOptions } from "wavekv";
import { inProcessNetwork } from "wavekv/transports/in-process";
import { MemoryDisk } from "../../src/storage/memory-disk.ts";
import { readRepository } from "../tidy/source.ts";

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const readme = read("README.md");

const OPTION_TYPES = new Set([
  "PeerOptions",
  "AuthenticationOptions",
  "TcpTransportOptions",
  "WebSocketTransportOptions",
]);

/** The code spans in the first column of the table behind a heading. */
function firstColumn(markdown: string, heading: string): string[] {
  const section = markdown.split(`${heading}\n`)[1]?.split(/^#/m)[0] ?? "";
  return [...section.matchAll(/^\|([^|]+)\|/gm)].flatMap(([, cell = ""]) =>
    [...cell.matchAll(/`(\w+)`/g)].map(([, name = ""]) => name),
  );
}

describe("tables", () => {
  test("the column of names is read", () => {
    expect(firstColumn("# A\n| `x`, `y` | `z` |\n|---|---|\n| w | v |\n## B\n| `u` |\n", "# A")).toEqual(["x", "y"]);
  });

  test("every error code, and no other", () => {
    const codes = [...read("src/errors.ts").matchAll(/^ {2}\| "(ERR_\w+)"/gm)].map(([, code]) => code);
    expect(codes).toContain("ERR_LOCKED");
    expect(firstColumn(readme, "## Errors").sort()).toEqual(codes.sort());
  });

  test("every error code is expected by a test where the code raises it, or is reserved and raised nowhere", () => {
    const files = readRepository().filter(({ path }) => path.endsWith(".ts") && path !== "src/errors.ts");
    const isIn = (folder: RegExp, code: string): boolean =>
      files.some(({ path, text }) => folder.test(path) && text.includes(`"${code}"`));
    for (const [, code = "", when = ""] of readme.matchAll(/^\| `(ERR_\w+)` \| ([^|]*) \|/gm)) {
      const isReserved = when.startsWith("reserved:");
      expect([code, isIn(/^(?:src|transports)\//, code)]).toEqual([code, !isReserved]);
      expect([code, isIn(/^test\/(?!readme)/, code)]).toEqual([code, !isReserved]);
    }
  });

  test("every option of openReplica, and no other", () => {
    const [, body = ""] = /^export interface ReplicaOptions \{\n(.*?)^\}/ms.exec(read("src/options.ts")) ?? [];
    const options = [...body.matchAll(/^ {2}readonly (\w+)\?:/gm)].map(([, name]) => name);
    expect(options).toContain("directory");
    const listed = firstColumn(readme, "### Options of `openReplica`");
    expect(listed.sort()).toEqual(options.sort());
  });

  test("every option of the transports, and no other", () => {
    const names = (path: string): string[] => {
      const declared = [...read(path).matchAll(/^export interface (\w+)[^{]*\{\n(.*?)^\}/gms)];
      const bodies = declared.filter(([, name = ""]) => OPTION_TYPES.has(name)).map(([, , body = ""]) => body);
      return bodies.flatMap((body) => [...body.matchAll(/^ {2}readonly (\w+)\?:/gm)].map(([, name = ""]) => name));
    };
    const files = ["options", "authentication-gate", "tcp-options", "websocket"];
    const options = new Set(files.flatMap((file) => names(`transports/${file}.ts`)));
    expect(options).toContain("maxQueuedBytes");
    expect(options).toContain("secret");
    expect(firstColumn(readme, "#### Options of transports").sort()).toEqual([...options].sort());
  });

  test("the custom transport is the one that passes the contract", () => {
    expect(readme).toContain(`\`\`\`ts\n${read("demo/custom-transport.ts")}\`\`\`\n`);
  });
});

describe("a replica that has lost writes which its peer holds", () => {
  const open: Replica[] = [];
  afterEach(async () => {
    await Promise.all(open.splice(0).map((replica) => replica.close().catch(() => undefined)));
  });

  const silent = (): void => undefined;
  const network = inProcessNetwork();
  const start = async (nodeId: string, options: ReplicaOptions = {}): Promise<Replica> => {
    const logger = { debug: silent, info: silent, warn: silent, error: silent };
    const replica = await openReplica({ nodeId, logger, transport: network.transport(), ...options });
    open.push(replica);
    return replica;
  };
  const arrival = async (replica: Replica, key: string): Promise<void> => {
    const signal = AbortSignal.timeout(10_000);
    for await (const event of replica.watch({ key, initial: true, signal })) if (event.type === "put") return;
  };

  /** Writes on "a" what "b" gets, opens "a" again on the disk that `loss` makes of its own, and returns what it then has. */
  async function afterLoss(
    loss: (disks: { present: MemoryDisk; earlier: MemoryDisk }) => MemoryDisk,
    options: ReplicaOptions = {},
  ): Promise<unknown> {
    const disk = new MemoryDisk();
    const b = await start("b");
    const before = await start("a", { directory: "/data", disk, ...options });
    await before.put("kept", 1);
    await before.flush();
    const earlier = disk.clone(true);
    earlier.crash();
    await before.put("lost", 2);
    await before.put("later", 2);
    await arrival(b, "later");
    const found = loss({ present: disk, earlier });
    await before.close().catch(() => undefined);
    const after = await start("a", { directory: "/data", disk: found, ...options });
    expect(after.get("kept")).toBe(1);
    // Has come once everything has that the peer would send on its own account.
    await b.put("marker", 3);
    await arrival(after, "marker");
    return after.get("lost");
  }

  test("gets them back when its directory was copied back", async () => {
    expect(await afterLoss(({ earlier }) => earlier.clone())).toBe(2);
  });

  test("gets them back when its log was damaged in the middle", async () => {
    const flip = ({ present }: { present: MemoryDisk }): MemoryDisk => {
      const damaged = present.clone(true);
      damaged.crash();
      const path = "/data/0000000001.log";
      const bytes = damaged.bytesOf(path).slice();
      const at = Buffer.from(bytes).indexOf("lost");
      expect(at).toBeGreaterThan(0);
      bytes[at]! ^= 1;
      damaged.put(path, bytes);
      return damaged;
    };
    expect(await afterLoss(flip)).toBe(2);
  });

  test("gets them back after power loss in the mode os", async () => {
    const lose = ({ present }: { present: MemoryDisk }): MemoryDisk => {
      present.crash();
      return present;
    };
    expect(await afterLoss(lose, { durability: "os" })).toBe(2);
  });

  test("gets them back when its disk was set back in place", async () => {
    expect(await afterLoss(({ earlier }) => earlier)).toBe(2);
  });
});

test("every diagnostics channel, and no other", () => {
  const [, body = ""] =
    /^export interface DiagnosticsMessages \{\n(.*?)^\}/ms.exec(read("src/telemetry/channels.ts")) ?? [];
  const channels = [...body.matchAll(/^ {2}readonly "(wavekv:\w+)"/gm)].map(([, name]) => name);
  const section = readme.split("## Monitoring\n")[1]?.split(/^## /m)[0] ?? "";
  expect([...section.matchAll(/^\| `(wavekv:\w+)`/gm)].map(([, name]) => name)).toEqual(channels);
  expect(channels).toContain("wavekv:commit");
});
