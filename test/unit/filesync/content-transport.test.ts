import { afterEach, beforeEach, expect, test } from "vitest";
import { openReplica, type Replica } from "wavekv";
import { inProcessNetwork } from "wavekv/transports/in-process";
import { ContentTransport, type Link } from "../../../demo/filesync/content-transport.ts";
import { contractTests } from "../../contract/suite.ts";

contractTests("in-process, with content beside the replica", () => {
  const network = inProcessNetwork();
  const transport = () => new ContentTransport(network.transport(), () => ({ frame: () => {}, closed: () => {} }));
  return { transport, nowhere: "in-process:nobody" };
});

const quiet = (): void => undefined;
const SILENT = { debug: quiet, info: quiet, warn: quiet, error: quiet };

const SOON = { timeout: 10_000 };

let replicas: Replica[];
let network: ReturnType<typeof inProcessNetwork>;
/** What happened to the links of each replica, in order. */
let seen: Record<string, string[]>;
let links: Set<Link>;
let transports: Map<string, ContentTransport>;

beforeEach(() => {
  replicas = [];
  network = inProcessNetwork();
  seen = {};
  links = new Set();
  transports = new Map();
});
afterEach(async () => {
  await Promise.all(replicas.map((replica) => replica.close()));
});

async function open(nodeId: string, clusterId = "one"): Promise<Replica> {
  seen[nodeId] = [];
  const transport = new ContentTransport(network.transport(), (link) => {
    seen[nodeId]!.push(`${link.nodeId} opened`);
    links.add(link);
    return {
      frame: (bytes) => seen[nodeId]!.push(`${link.nodeId}: ${Buffer.from(bytes).toString()}`),
      closed: () => seen[nodeId]!.push(`${link.nodeId} closed`),
    };
  });
  transports.set(nodeId, transport);
  const replica = await openReplica({ nodeId, clusterId, transport, logger: SILENT });
  replicas.push(replica);
  return replica;
}

/** Whose links are open. There are two for a moment when both ends have dialed. */
function openLinks(nodeId: string): string[] {
  const open: string[] = [];
  for (const line of seen[nodeId] ?? []) {
    const [, name, what] = /^(\w+) (opened|closed)$/.exec(line) ?? [];
    if (name === undefined) continue;
    if (what === "opened") open.push(name);
    else open.splice(open.indexOf(name), 1);
  }
  return open;
}

test("each end is told who the other one is, and of its end", async () => {
  const [a, b] = [await open("a"), await open("b")];
  await a.settled({ peers: ["b"] });
  await expect.poll(() => [openLinks("a"), openLinks("b")], SOON).toEqual([["b"], ["a"]]);
  await b.close();
  await expect.poll(() => openLinks("a"), SOON).toEqual([]);
});

test("what is sent before something is put has arrived before that has", async () => {
  const [a, b] = [await open("a"), await open("b")];
  await a.settled({ peers: ["b"] });
  b.on("change", ({ key }) => seen["b"]?.push(`put ${key}`));
  const puts: Promise<unknown>[] = [];
  const expected: string[] = [];
  await expect.poll(() => openLinks("b"), SOON).toEqual(["a"]);
  seen["b"] = [];
  for (let count = 0; count < 100; count++) {
    // Of those that have closed nothing comes.
    for (const link of links) if (link.nodeId === "b") link.send(Buffer.from(`content ${count}`));
    puts.push(a.put(`key ${count}`, Buffer.alloc(10_000)));
    expected.push(`a: content ${count}`, `put key ${count}`);
  }
  await Promise.all(puts);
  await a.settled({ peers: ["b"] });
  for (let count = 0; count < 100; count++) {
    const log = seen["b"];
    expect(log.indexOf(`a: content ${count}`)).toBeLessThan(log.indexOf(`put key ${count}`));
  }
  expect([...seen["b"]].sort()).toEqual(expected.sort());
});

test("a replica of another cluster gets no content", async () => {
  await open("a");
  await open("b", "two");
  await open("c");
  await expect.poll(() => openLinks("c"), SOON).toEqual(["a"]);
  expect(seen["b"]).toEqual([]);
  expect(openLinks("a")).toEqual(["c"]);
});

test("who is kept apart is cut off, for the replica as well, until that ends", async () => {
  const [a, b] = [await open("a"), await open("b")];
  await a.settled({ peers: ["b"] });
  transports.get("a")?.keepApart((nodeId) => nodeId === "b");
  await expect.poll(() => [openLinks("a"), openLinks("b")], SOON).toEqual([[], []]);
  await b.put("key", "while apart");
  // A dial from either end is turned away before anything of the replica is looked at.
  await expect.poll(() => b.peers().map(({ state }) => state), SOON).toEqual(["down"]);
  expect(a.has("key")).toBe(false);
  transports.get("a")?.keepApart(() => false);
  await expect.poll(() => a.get("key"), { timeout: 15_000 }).toBe("while apart");
  expect(openLinks("a")).toContain("b");
}, 20_000);
