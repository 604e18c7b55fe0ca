import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Discovery, type DnsResolver, dnsDiscovery, staticDiscovery } from "wavekv/discovery";
import { Seeds } from "../../../transports/seeds.ts";

const signal = new AbortController().signal;

/** A name server that says what it is told to. */
function resolverOf(records: Partial<Record<string, unknown[]>>): DnsResolver {
  const answer = async (name: string): Promise<never[]> => {
    const found = records[name];
    if (found === undefined) throw new Error(`queryA ENOTFOUND ${name}`);
    return found as never[];
  };
  return { lookup: answer, resolveSrv: answer };
}

describe("dnsDiscovery", () => {
  const resolver = resolverOf({
    "replicas.internal": [{ address: "10.0.0.7" }, { address: "fd00::7" }],
    "_wavekv._tcp.example.org": [
      { name: "b.example.org", port: 7002, priority: 20 },
      { name: "a.example.org.", port: 7001, priority: 10 },
    ],
  });

  test.each([
    ["ws://replicas.internal:7001/wavekv", ["ws://10.0.0.7:7001/wavekv", "ws://[fd00::7]:7001/wavekv"]],
    ["tls://replicas.internal:7001", ["tls://10.0.0.7:7001", "tls://[fd00::7]:7001"]],
  ])("puts each address in the place of the name in %s", async (address, expected) => {
    expect(await dnsDiscovery({ address, resolver }).addresses(signal)).toEqual(expected);
  });

  test("takes names and ports from service records, in the order of their priority", async () => {
    const discovery = dnsDiscovery({ address: "wss://_wavekv._tcp.example.org/sync", records: "srv", resolver });
    expect(await discovery.addresses(signal)).toEqual([
      "wss://a.example.org:7001/sync",
      "wss://b.example.org:7002/sync",
    ]);
  });

  test("does not hide that a name does not resolve", async () => {
    const discovery = dnsDiscovery({ address: "ws://nobody.internal:1", resolver });
    await expect(discovery.addresses(signal)).rejects.toThrow("ENOTFOUND nobody.internal");
  });

  test.each([
    [{ address: "replicas.internal:7001" }, /resolves the name in an address/],
    [{ address: "ws://[::1]:7001" }, /resolves the name/],
    [{ address: "ws://a@b:1" }, /resolves the name/],
    [{ address: "tls://_wavekv._tcp.example.org:7001", records: "srv" as const }, /bring the port/],
  ])("%j is refused", (options, message) => {
    expect(() => dnsDiscovery(options)).toThrow(message);
    expect(() => dnsDiscovery(options)).toThrow(expect.objectContaining({ code: "ERR_OPTION" }));
  });

  test("asks the operating system, which knows localhost", async () => {
    expect(await dnsDiscovery({ address: "ws://localhost:7001" }).addresses(signal)).toContain("ws://127.0.0.1:7001");
  });

  test("a query to a name server is cancelled with the signal", async () => {
    const controller = new AbortController();
    const asked = dnsDiscovery({ address: "ws://_x._tcp.invalid", records: "srv" }).addresses(controller.signal);
    controller.abort();
    await expect(asked).rejects.toThrow();
  });
});

describe("the seeds of a transport", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  interface Script {
    readonly discovery: Discovery;
    readonly asked: AbortSignal[];
    answer: () => Promise<Iterable<string>>;
  }

  function scripted(refreshMs?: number): Script {
    const asked: AbortSignal[] = [];
    const script: Script = {
      asked,
      answer: async () => [],
      discovery: {
        addresses: (given) => {
          asked.push(given);
          return script.answer();
        },
        ...(refreshMs === undefined ? {} : { refreshMs }),
      },
    };
    return script;
  }

  function seedsOf(discovery: Discovery, fixed: string[] = []) {
    const warnings: string[] = [];
    const seeds = new Seeds({ fixed, discovery, warn: (message) => warnings.push(message) });
    seeds.open();
    return { seeds, warnings };
  }

  test("are those it was given, and those that were found last, each once", async () => {
    const script = scripted();
    script.answer = async () => new Set(["x:b", "x:fixed"]);
    const { seeds } = seedsOf(script.discovery, ["x:fixed"]);
    expect(seeds.current()).toEqual(["x:fixed"]);
    await vi.advanceTimersByTimeAsync(0);
    expect(seeds.current()).toEqual(["x:fixed", "x:b"]);
    script.answer = async () => ["x:c"];
    await vi.advanceTimersByTimeAsync(30_000);
    expect(seeds.current()).toEqual(["x:fixed", "x:c"]);
    seeds.close();
  });

  test("are asked for again between half the interval and all of it", async () => {
    const script = scripted(1000);
    const { seeds } = seedsOf(script.discovery);
    const times: number[] = [];
    for (let n = 0; n < 50; n++) {
      const [before, count] = [Date.now(), script.asked.length];
      while (script.asked.length === count) await vi.advanceTimersByTimeAsync(1);
      times.push(Date.now() - before);
    }
    expect(Math.min(...times.slice(1))).toBeGreaterThanOrEqual(500);
    expect(Math.max(...times)).toBeLessThanOrEqual(1001);
    expect(new Set(times).size, "not all at one moment").toBeGreaterThan(5);
    const { length } = script.asked;
    seeds.close();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(script.asked.length).toBe(length);
  });

  test("stay as they were when nobody answers, with one warning for each reason, and a try soon after", async () => {
    const script = scripted();
    script.answer = async () => ["x:b"];
    const { seeds, warnings } = seedsOf(script.discovery);
    await vi.advanceTimersByTimeAsync(0);
    script.answer = () => Promise.reject(new Error("ENOTFOUND"));
    while (script.asked.length < 2) await vi.advanceTimersByTimeAsync(100);
    expect(seeds.current()).toEqual(["x:b"]);
    await vi.advanceTimersByTimeAsync(2000);
    expect(script.asked.length).toBe(3);
    await vi.advanceTimersByTimeAsync(300_000);
    expect(warnings).toEqual(["discovery failed, the last known addresses stay in use: Error: ENOTFOUND"]);
    script.answer = () => Promise.reject(new Error("SERVFAIL"));
    await vi.advanceTimersByTimeAsync(30_000);
    expect(warnings.at(-1)).toContain("SERVFAIL");
    script.answer = async () => ["x:c"];
    await vi.advanceTimersByTimeAsync(30_000);
    expect(seeds.current()).toEqual(["x:c"]);
    script.answer = () => Promise.reject(new Error("SERVFAIL"));
    await vi.advanceTimersByTimeAsync(30_000);
    expect(warnings.length, "it had recovered meanwhile").toBe(3);
    seeds.close();
  });

  test.each<[string, () => Promise<Iterable<string>>, RegExp]>([
    [
      "throws",
      () => {
        throw new Error("at once");
      },
      /at once/,
    ],
    ["answers with what are no addresses", async () => [1] as never, /an address is a string/],
    ["answers with nothing iterable", async () => ({}) as never, /not iterable/],
    [
      "answers with too many",
      async () => Array.from({ length: 1025 }, (_, n) => `x:${n}`),
      /1025 addresses are above 1024/,
    ],
    ["never answers", () => new Promise(() => {}), /no answer within 10000 ms/],
  ])("survive a discovery that %s", async (_, answer, reason) => {
    const script = scripted();
    script.answer = answer;
    const { seeds, warnings } = seedsOf(script.discovery, ["x:fixed"]);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(warnings).toEqual([expect.stringMatching(reason)]);
    expect(seeds.current()).toEqual(["x:fixed"]);
    seeds.close();
  });

  test("closing ends the question that is being asked, and all timers, and warns of nothing", async () => {
    const script = scripted();
    script.answer = () => new Promise(() => {});
    const { seeds, warnings } = seedsOf(script.discovery);
    seeds.close();
    seeds.close();
    expect(script.asked[0]!.aborted).toBe(true);
    await vi.advanceTimersByTimeAsync(0);
    expect(vi.getTimerCount()).toBe(0);
    expect(warnings).toEqual([]);
  });

  test("a static list is one", async () => {
    expect(await staticDiscovery(["x:a"]).addresses(signal)).toEqual(["x:a"]);
  });
});
