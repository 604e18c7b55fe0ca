/** The commands that read and write what a running replica holds, and look at how it is. */
import type { Readable } from "node:stream";
import { fromJson, type Json, JsonValueError, toJson } from "../dump/json-values.ts";
import type { Status } from "../status.ts";
import { jsonLines } from "./answers.ts";
import {
  type Command,
  CommandError,
  duration,
  type Given,
  type Surroundings,
  UsageError,
  wholeNumber,
} from "./command.ts";
import { type Cell, escaped, paintFor, printable, sizeText, table } from "./output.ts";
import { AT_FLAGS, ask, JSON_FLAG } from "./where.ts";

interface ShownEntry {
  readonly key: string;
  readonly value: Json;
  readonly nodeId: string;
  readonly expiresAt?: number;
}

export const PREFIX_FLAG = { type: "string", value: "P", help: "only keys that begin with P" } as const;

const RANGE_FLAGS = {
  gt: { type: "string", value: "KEY", help: "keys behind KEY" },
  gte: { type: "string", value: "KEY", help: "keys from KEY on" },
  lt: { type: "string", value: "KEY", help: "keys before KEY" },
  lte: { type: "string", value: "KEY", help: "keys up to KEY" },
} as const;

const IF_VERSION_FLAG = {
  type: "string",
  value: "V",
  help: "only if the key has this version (get --json), or with none if it is absent",
} as const;

const SCAN_LIMIT = 1000;
const COUNT_MAX = 2 ** 31;
/** What of a value is shown in a table. */
const SHOWN_CHARACTERS = 60;

/** The prefix is an argument of what lists, and a flag of what else takes a range: either is understood. */
function prefixOf(given: Given): string | undefined {
  const [argument] = given.args;
  const flag = given.text("prefix");
  if (argument !== undefined && flag !== undefined) throw new UsageError("the prefix is given twice");
  return argument ?? flag;
}

/** @throws UsageError */
function ifVersionGiven(given: Given): string | undefined {
  const version = given.text("if-version");
  if (version !== undefined && version !== "none" && !version.includes(".")) {
    throw new UsageError("--if-version takes the version that get --json shows, or none for a key that is absent");
  }
  return version;
}

/** The range that flags and the prefix name. */
export function rangeOf(given: Given, prefix: string | undefined): Record<string, string | undefined> {
  return { prefix, gt: given.text("gt"), gte: given.text("gte"), lt: given.text("lt"), lte: given.text("lte") };
}

export const get: Command = {
  name: "get",
  summary: "print the value of a key",
  takes: ["KEY"],
  flags: {
    raw: { type: "boolean", help: "text and bytes as they are, without quotes or a line end" },
    json: { type: "boolean", help: "the whole entry: key, value, version, author, expiry" },
    ...AT_FLAGS,
  },
  notes: 'Kinds that JSON lacks are printed as they are put: {"$bigint":"5"}. Exit code 1 if there is no such key.',
  examples: [
    ["get user/ada", "the value as JSON"],
    ["get --raw logo.png > logo.png", "bytes as they are"],
  ],
  run: async (given, surroundings) => {
    const { out, host } = surroundings;
    const key = given.args[0] ?? "";
    const entry = (await ask(given, surroundings, (client) => client.json({ path: "/v1/entry", query: { key } })).catch(
      (error: unknown) => {
        if (!(error instanceof CommandError) || error.code !== "NO_KEY") throw error;
        throw new CommandError("NO_KEY", `there is no key ${printable(key)}`);
      },
    )) as ShownEntry;
    const value = given.flag("raw") ? fromJson(entry.value) : undefined;
    if (given.flag("json")) out.write(`${JSON.stringify(entry)}\n`);
    else if (value instanceof Uint8Array) host.output.write(value);
    else if (typeof value === "string") out.write(value);
    else out.write(`${out.isTerminal ? escaped(JSON.stringify(entry.value)) : JSON.stringify(entry.value)}\n`);
    return 0;
  },
};

export const put: Command = {
  name: "put",
  summary: "set a key",
  takes: ["KEY", "[VALUE]"],
  flags: {
    string: { type: "boolean", help: "VALUE is text, not JSON" },
    bytes: { type: "boolean", help: "what is read becomes bytes, not JSON" },
    file: { type: "string", value: "FILE", help: "read the value from FILE; - is standard input" },
    ttl: { type: "string", value: "TIME", help: "it disappears after this: 500ms, 30s, 5m, 12h, 7d" },
    "if-version": IF_VERSION_FLAG,
    acks: { type: "string", value: "N", help: "wait until so many replicas hold it" },
    json: JSON_FLAG,
    ...AT_FLAGS,
  },
  notes: `VALUE is JSON; as - it is read from standard input. Prints nothing when it worked.
A VALUE that begins with a dash goes behind --: wavekv put n -- -5`,
  examples: [
    [`put user/ada '{"role":"admin"}'`, "JSON, in the quotes of the shell"],
    ["put --string greeting hello", "text needs no quotes of its own"],
    ["put logo.png --bytes --file logo.png", "the bytes of a file"],
    ["put session/7 true --ttl 30m", "gone in half an hour, on every replica"],
    ["put --if-version none lock true", "only if nobody has; exit code 1 otherwise"],
  ],
  run: async (given, surroundings) => {
    const query = {
      key: given.args[0] ?? "",
      ttlMs: duration("ttl", given.text("ttl")),
      ifVersion: ifVersionGiven(given),
      acks: wholeNumber("acks", given.text("acks"), 1024),
    };
    const body = JSON.stringify(await valueGiven(given, surroundings));
    const done = await ask(given, surroundings, (client) =>
      client.json({ method: "PUT", path: "/v1/entry", query, body }),
    );
    if (given.flag("json")) surroundings.out.write(`${JSON.stringify({ ok: true, ...(done as object) })}\n`);
    return 0;
  },
};

/** @throws UsageError */
async function valueGiven(given: Given, { host }: Surroundings): Promise<Json> {
  const [, argument] = given.args;
  const file = given.text("file") ?? (argument === "-" ? "-" : undefined);
  if (argument !== undefined && given.text("file") !== undefined) throw new UsageError("a VALUE or --file, not both");
  if (given.flag("string") && given.flag("bytes")) throw new UsageError("--string or --bytes, not both");
  if (file === undefined && argument === undefined) {
    throw new UsageError("put: which value? JSON, or text with --string, or --file FILE, or - for standard input");
  }
  if (file === "-" && host.isInputTerminal) throw new UsageError("nothing is piped into standard input");
  const bytes =
    file === undefined
      ? Buffer.from(argument ?? "")
      : await read(file === "-" ? host.input : await host.openForReading(file));
  if (given.flag("bytes")) return toJson(new Uint8Array(bytes));
  const text = bytes.toString("utf8");
  if (given.flag("string")) return text;
  try {
    const json = JSON.parse(text) as Json;
    fromJson(json);
    return json;
  } catch (error) {
    if (error instanceof JsonValueError) throw new UsageError(`the value is none: ${error.message}`);
    if (!(error instanceof SyntaxError)) throw error;
    throw new UsageError("the value is no JSON; for text use --string, and quote JSON for the shell: '{\"a\":1}'");
  }
}

async function read(stream: AsyncIterable<Uint8Array | string>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
  return Buffer.concat(chunks);
}

export const del: Command = {
  name: "del",
  summary: "delete a key",
  takes: ["KEY"],
  flags: {
    "if-version": IF_VERSION_FLAG,
    acks: { type: "string", value: "N", help: "wait until so many replicas have deleted it" },
    json: JSON_FLAG,
    ...AT_FLAGS,
  },
  notes: "No error if there is no such key, unless --if-version asks for one.",
  examples: [["del user/ada", "on every replica"]],
  run: async (given, surroundings) => {
    const query = {
      key: given.args[0] ?? "",
      ifVersion: ifVersionGiven(given),
      acks: wholeNumber("acks", given.text("acks"), 1024),
    };
    const done = await ask(given, surroundings, (client) =>
      client.json({ method: "DELETE", path: "/v1/entry", query }),
    );
    if (given.flag("json")) surroundings.out.write(`${JSON.stringify({ ok: true, ...(done as object) })}\n`);
    return 0;
  },
};

export const scan: Command = {
  name: "scan",
  summary: "list keys with their values, in order",
  takes: ["[PREFIX]"],
  flags: {
    prefix: { ...PREFIX_FLAG, help: "the same as PREFIX" },
    ...RANGE_FLAGS,
    reverse: { type: "boolean", help: "from the last key to the first" },
    limit: { type: "string", value: "N", help: `at most so many; default ${SCAN_LIMIT}, with --json all` },
    json: { type: "boolean", help: "one JSON object a line" },
    ...AT_FLAGS,
  },
  examples: [
    ["scan user/", "all keys that begin with user/"],
    ["scan --gte 2024- --lt 2025- --json | jq .key", "a range, for other programs"],
  ],
  run: async (given, surroundings) => {
    const { out } = surroundings;
    const isJson = given.flag("json");
    const limit = wholeNumber("limit", given.text("limit"), COUNT_MAX) ?? (isJson ? undefined : SCAN_LIMIT);
    const reverse = given.flag("reverse") ? (true as const) : undefined;
    // One more than is shown tells whether there is more.
    const asked = limit === undefined || isJson ? limit : limit + 1;
    const query = { ...rangeOf(given, prefixOf(given)), reverse, limit: asked };
    return await ask(given, surroundings, async (client) => {
      const rows: Cell[][] = [];
      for await (const line of untilStopped(surroundings, (signal) =>
        client.stream({ path: "/v1/scan", query, signal }),
      )) {
        const { key, value, expiresAt } = line as ShownEntry;
        if (isJson) {
          out.write(`${JSON.stringify(line)}\n`);
          await out.drained?.();
        } else
          rows.push([
            key,
            { shown: shortened(value) },
            expiresAt === undefined ? "" : new Date(expiresAt).toISOString(),
          ]);
      }
      if (isJson) return 0;
      const shown = rows.slice(0, limit);
      const [heading = "", ...lines] = table(shown, ["key", "value", "expires"]);
      const more = shown.length < rows.length ? "; there are more, --limit shows them" : "";
      const count = `${shown.length} ${shown.length === 1 ? "key" : "keys"}${more}`;
      out.write(`${[...(shown.length === 0 ? [] : [paintFor(out)("bold", heading), ...lines]), count].join("\n")}\n`);
      return 0;
    });
  },
};

export const watch: Command = {
  name: "watch",
  summary: "print changes as they become durable, until it is stopped",
  takes: ["[PREFIX]"],
  flags: {
    prefix: { ...PREFIX_FLAG, help: "the same as PREFIX" },
    ...RANGE_FLAGS,
    initial: { type: "boolean", help: "the present entries first" },
    json: { type: "boolean", help: "one JSON object a line" },
    ...AT_FLAGS,
  },
  notes: "Ends with Ctrl-C, or when the replica does: then with exit code 1.",
  examples: [
    ["watch user/", "what happens to these keys"],
    ["watch --json --initial | ./react.sh", "everything that is there, and then every change"],
  ],
  run: async (given, surroundings) => {
    const { out } = surroundings;
    const paint = paintFor(out);
    const initial = given.flag("initial") ? (true as const) : undefined;
    const query = { ...rangeOf(given, prefixOf(given)), initial };
    return await ask(given, surroundings, async (client) => {
      const stopped = new AbortController();
      const lines = untilStopped(
        surroundings,
        (signal) => client.stream({ path: "/v1/watch", query, signal }),
        () => stopped.abort(),
      );
      for await (const line of lines) {
        const { type, key, value, nodeId } = line as ShownEntry & { readonly type: string };
        const colour = type === "put" ? "green" : type === "delete" || type === "expire" ? "red" : "yellow";
        const what = key === undefined ? "" : ` ${printable(key)}`;
        const rest = value === undefined ? "" : `  ${shortened(value)}`;
        const who = nodeId === undefined ? "" : `  (${printable(nodeId)})`;
        out.write(given.flag("json") ? `${JSON.stringify(line)}\n` : `${paint(colour, type)}${what}${rest}${who}\n`);
        await out.drained?.();
      }
      if (stopped.signal.aborted) return 0;
      throw new CommandError("ENDED", "the replica has ended the watch: it closes");
    });
  },
};

export const status: Command = {
  name: "status",
  summary: "how a replica and its peers are",
  takes: [],
  flags: { json: { type: "boolean", help: "status() of the replica as one JSON object" }, ...AT_FLAGS },
  notes: "Exit code 1 if its health is red: nothing becomes durable any more.",
  examples: [
    ["status", "health and why, sizes, peers and how far behind they are"],
    ["status --at http://127.0.0.1:7070 --json", "for other programs; needs no token"],
  ],
  run: async (given, surroundings) => {
    const { out } = surroundings;
    const now = (await ask(given, surroundings, (client) => client.json({ path: "/status" }))) as Status;
    out.write(given.flag("json") ? `${JSON.stringify(now)}\n` : `${statusText(now, surroundings).join("\n")}\n`);
    return now.health === "red" ? 1 : 0;
  },
};

function statusText(now: Status, { out }: Surroundings): string[] {
  const paint = paintFor(out);
  const { nodeId, clusterId, health, reasons, durability, clock } = now;
  const peers = Object.entries(now.peers).map(([id, { state, address = "", lagEntries, lagMs }]) => {
    return [id, state, lagEntries, lagEntries === 0 ? "" : `${Math.round(lagMs / 100) / 10} s`, address];
  });
  const [heading = "", ...lines] = table(peers, ["peer", "state", "lacks", "for", "address"]);
  const { pinnedBy } = now.collection;
  return [
    `${printable(nodeId)} of ${printable(clusterId)}: ${paint(health, health)}`,
    ...reasons.map((reason) => `  ${escaped(reason)}`),
    ...table(
      [
        ["entries", now.entries],
        ["tombstones", now.tombstones],
        ["keys and values", sizeText(now.bytes)],
        ["digest", now.digest],
        ["durability", `${durability.mode}, ${durability.state}`],
        ["clock ahead by", `${clock.driftMs} ms`],
        ...(pinnedBy.length === 0 ? [] : [["deletes wait for", pinnedBy.join(" ")]]),
      ].map(([name, value]) => [String(name), String(value)]),
    ),
    "",
    ...(peers.length === 0 ? ["no peers"] : [paint("bold", heading), ...lines]),
  ];
}

export const members: Command = {
  name: "members",
  summary: "all replicas that have announced themselves",
  takes: [],
  flags: { json: JSON_FLAG, ...AT_FLAGS },
  examples: [["members", "names, versions and addresses"]],
  run: async (given, surroundings) => {
    const { out } = surroundings;
    const list = (await ask(given, surroundings, (client) => client.json({ path: "/v1/members" }))) as {
      readonly nodeId: string;
      readonly version: string;
      readonly epoch: string;
      readonly addresses: readonly string[];
    }[];
    const rows = list.map(({ nodeId, version, epoch, addresses }) => [nodeId, version, epoch, addresses.join(" ")]);
    const text = table(rows, ["member", "version", "epoch", "addresses"]).join("\n");
    out.write(`${given.flag("json") ? JSON.stringify(list) : text}\n`);
    return 0;
  },
};

export const evict: Command = {
  name: "evict",
  summary: "forget a member that will not come back",
  takes: ["MEMBER"],
  flags: { json: JSON_FLAG, ...AT_FLAGS },
  notes: "Deletes are no longer kept for it. It must not be connected. Should it come back, it is a member again.",
  examples: [["evict rome", "on any replica; wavekv status names those that deletes wait for"]],
  run: async (given, surroundings) => {
    const query = { nodeId: given.args[0] ?? "" };
    await ask(given, surroundings, (client) => client.json({ method: "POST", path: "/v1/evict", query }));
    if (given.flag("json")) surroundings.out.write(`${JSON.stringify({ ok: true })}\n`);
    return 0;
  },
};

/** The lines of an answer, until the process is asked to stop or nobody reads what it prints. */
async function* untilStopped(
  { host }: Surroundings,
  stream: (signal: AbortSignal) => Promise<Readable>,
  onStopped: () => void = () => undefined,
): AsyncGenerator<unknown, undefined> {
  const controller = new AbortController();
  const off = host.onStop(() => {
    onStopped();
    controller.abort(new Error("stopped"));
  });
  try {
    yield* jsonLines(await stream(controller.signal));
  } catch (error) {
    if (!controller.signal.aborted) throw error;
  } finally {
    off();
    controller.abort();
  }
  return undefined;
}

function shortened(value: Json): string {
  const text = escaped(JSON.stringify(value));
  const characters = Array.from(text);
  return characters.length <= SHOWN_CHARACTERS ? text : `${characters.slice(0, SHOWN_CHARACTERS - 1).join("")}…`;
}
