/** `wavekv serve`: a replica as a process, with a socket for the other commands and a page for people. */
import type { Server } from "node:http";
import { WebSocketTransport } from "../../transports/websocket.ts";
import { SOCKET_FILE, TOKEN_FILE } from "../control/client.ts";
import { closeControlServer, controlServer } from "../control/server.ts";
import { isReplicaError } from "../errors.ts";
import { openReplica } from "../open-replica.ts";
import type { Durability, Logger } from "../options.ts";
import { systemRandom } from "../random.ts";
import type { Replica } from "../replica.ts";
import { codeOf } from "../storage/files.ts";
import { serveUi, type Ui } from "../ui.ts";
import { type Command, CommandError, duration, type Given, type Surroundings, UsageError } from "./command.ts";
import { escaped, printable } from "./output.ts";
import { progressOn } from "./progress.ts";

const CLOSE_MS_MAX = 30_000;
/** The link to the page, with its token, within the directory. */
const LINK_FILE = "ui.link";
/** What the system takes as the path of a socket, bytes. */
const SOCKET_PATH_BYTES_MAX = 103;

export const serve: Command = {
  name: "serve",
  summary: "run a replica as a process",
  takes: ["[DIR]"],
  flags: {
    "node-id": { type: "string", value: "NAME", help: "unique in the cluster; WAVEKV_NODE_ID; default: made once" },
    cluster: { type: "string", value: "NAME", help: 'WAVEKV_CLUSTER_ID; default "default"' },
    listen: { type: "string", value: "[HOST:]PORT", help: "for other replicas; WAVEKV_LISTEN; default: only dials" },
    seed: {
      type: "string",
      multiple: true,
      value: "ADDRESS",
      help: "ws://HOST:PORT of any other; repeat it; WAVEKV_SEEDS, with commas",
    },
    advertise: { type: "string", value: "ADDRESS", help: "how others reach it, if not by --listen; WAVEKV_ADVERTISE" },
    "secret-file": {
      type: "string",
      value: "FILE",
      help: "one secret a line, the first is used; WAVEKV_SECRET_FILE, WAVEKV_SECRET",
    },
    durability: {
      type: "string",
      value: "MODE",
      help: "always (default), os, or a time such as 100ms; WAVEKV_DURABILITY",
    },
    http: {
      type: "string",
      value: "PORT",
      help: "status page, /status, /metrics, /health on 127.0.0.1; WAVEKV_HTTP; 0: any",
    },
    ui: {
      type: "string",
      value: "PORT",
      help: "a page to watch it and its mesh on, on 127.0.0.1; WAVEKV_UI; 0: any",
    },
    strict: { type: "boolean", help: "refuse a damaged directory" },
    json: { type: "boolean", help: "one JSON object a line instead of text" },
  },
  notes: `DIR is where its data is, by default WAVEKV_DIRECTORY or ./data. The other commands talk to it over a socket in DIR,
which only its user can open. SIGTERM and SIGINT end it in good order; a second one at once.
Secrets come from a file or the environment, never from the command line, where every user could see them.`,
  examples: [
    ["serve ./data --http 7070", "alone, with a page at http://127.0.0.1:7070"],
    ["serve ./oslo --node-id oslo --listen 7001", "the first of several"],
    ["serve ./data --ui 7071", "with a page that shows it and its mesh"],
    ["serve ./rome --node-id rome --listen 7002 --seed ws://127.0.0.1:7001", "the second"],
  ],
  run: runServer,
};

async function runServer(given: Given, surroundings: Surroundings): Promise<number> {
  const { host, err } = surroundings;
  const setting = (flag: string, variable: string): string | undefined => {
    const value = given.text(flag) ?? host.env[variable];
    return value === "" ? undefined : value;
  };
  const directory = given.args[0] ?? (host.env.WAVEKV_DIRECTORY || "./data");
  const socket = `${directory}/${SOCKET_FILE}`;
  if (Buffer.byteLength(socket) > SOCKET_PATH_BYTES_MAX) {
    throw new UsageError(
      `${socket} is too long for a socket, at most ${SOCKET_PATH_BYTES_MAX} bytes: use a shorter DIR`,
    );
  }
  const httpPort = portOf("http", setting("http", "WAVEKV_HTTP"));
  const uiPort = portOf("ui", setting("ui", "WAVEKV_UI"));
  const durability = durabilityOf(setting("durability", "WAVEKV_DURABILITY"));
  const nodeId = setting("node-id", "WAVEKV_NODE_ID");
  const clusterId = setting("cluster", "WAVEKV_CLUSTER_ID");
  const transport = await transportOf(given, surroundings, setting);
  const log = logTo(surroundings, given.flag("json"));
  const progress = progressOn(err);
  // Before anything is open, so that no signal is missed.
  const stop = stopSignal(surroundings);
  const replica = await openReplica({
    directory,
    transport,
    strict: given.flag("strict"),
    logger: log,
    onProgress: progress.report,
    ...(nodeId === undefined ? {} : { nodeId }),
    ...(clusterId === undefined ? {} : { clusterId }),
    ...(durability === undefined ? {} : { durability }),
  }).finally(() => progress.end());
  const servers: Server[] = [];
  let ui: Ui | undefined;
  try {
    servers.push(await onSocket(replica, socket, surroundings));
    const address = transport.address;
    log.info(
      `${printable(replica.nodeId)} is up in ${printable(directory)}${address === undefined ? "" : `, other replicas reach it at ${address}`}`,
    );
    if (httpPort !== undefined) servers.push(await onPort(replica, httpPort, directory, surroundings, log));
    if (uiPort !== undefined) ui = await onPage(replica, uiPort, directory, surroundings, log);
    const why = await stop.asked;
    log.info(`ends (${why})`);
  } finally {
    await Promise.all([...servers.map(closeControlServer), ui?.close()]);
    const files = [socket, `${directory}/${TOKEN_FILE}`, `${directory}/${LINK_FILE}`];
    await Promise.all(files.map((path) => host.remove(path)));
    await replica.close({ timeoutMs: CLOSE_MS_MAX });
    stop.off();
  }
  return 0;
}

/** Takes the first signal; the second one ends the process as it would without us. */
function stopSignal({ host }: Surroundings): { readonly asked: Promise<string>; off(): void } {
  let off = (): void => undefined;
  const asked = new Promise<string>((resolve) => {
    off = host.onStop((why) => {
      off();
      resolve(why);
    });
  });
  return { asked, off: () => off() };
}

async function onSocket(replica: Replica, path: string, { host }: Surroundings): Promise<Server> {
  const server = controlServer({ replica, token: undefined });
  // The directory is ours, so whoever left it is gone.
  await host.remove(path);
  await host.makePrivate(path, () => listening(server, () => server.listen(path)));
  return server;
}

async function onPort(
  replica: Replica,
  port: number,
  directory: string,
  { host }: Surroundings,
  log: Logger,
): Promise<Server> {
  const token = [1, 2, 3, 4].map(() => systemRandom.hex64()).join("");
  const file = `${directory}/${TOKEN_FILE}`;
  const server = controlServer({ replica, token });
  await listening(server, () => server.listen(port, "127.0.0.1")).catch((error: unknown) => {
    const what = codeOf(error) === "EADDRINUSE" ? "is in use: choose another one" : `cannot be used: ${String(error)}`;
    throw new CommandError("ERR_LISTEN", `--http: port ${port} ${what}`);
  });
  await host.writeSecret(file, `${token}\n`);
  const address = server.address();
  const bound = typeof address === "object" && address !== null ? address.port : port;
  log.info(`status at http://127.0.0.1:${bound}/, data with the token in ${printable(file)}`);
  return server;
}

/** The link has the token: it goes into a file of this user, and to a terminal, but into no log. */
async function onPage(
  replica: Replica,
  port: number,
  directory: string,
  { host, err }: Surroundings,
  log: Logger,
): Promise<Ui> {
  const ui = await serveUi(replica, { port }).catch((error: unknown) => {
    throw isReplicaError(error) ? new CommandError(error.code, `--ui: ${error.message}`) : error;
  });
  const file = `${directory}/${LINK_FILE}`;
  await host.writeSecret(file, `${ui.link}\n`);
  log.info(err.isTerminal ? `page at ${ui.link}` : `page at ${ui.url}, open the link in ${printable(file)}`);
  return ui;
}

function listening(server: Server, listen: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.once("listening", () => {
      server.off("error", reject);
      resolve();
    });
    listen();
  });
}

async function transportOf(
  given: Given,
  { host }: Surroundings,
  setting: (flag: string, variable: string) => string | undefined,
): Promise<WebSocketTransport> {
  const listen = setting("listen", "WAVEKV_LISTEN");
  const advertise = setting("advertise", "WAVEKV_ADVERTISE");
  const asked = given.texts("seed");
  const seeds = asked.length > 0 ? asked : (host.env.WAVEKV_SEEDS ?? "").split(",").filter((seed) => seed !== "");
  const secretFile = setting("secret-file", "WAVEKV_SECRET_FILE");
  const text = secretFile === undefined ? host.env.WAVEKV_SECRET : await host.readText(secretFile);
  const secrets = (text ?? "").split(/\r?\n/).filter((line) => line !== "");
  if (secretFile !== undefined && secrets.length === 0) throw new UsageError(`${secretFile} holds no secret`);
  return new WebSocketTransport({
    seeds,
    ...(listen === undefined ? {} : { listen: hostAndPort(listen) }),
    ...(advertise === undefined ? {} : { advertise: [advertise] }),
    ...(secrets.length === 0 ? {} : { secret: secrets }),
  });
}

/** `7001`, `127.0.0.1:7001`, `[::1]:7001`. @throws UsageError */
function hostAndPort(text: string): { host?: string; port: number } {
  const [, host, port] = /^(?:(\[[0-9a-fA-F:]+\]|[^:[\]]+):)?(\d{1,5})$/.exec(text) ?? [];
  const number = portOf("listen", port ?? text) ?? 0;
  return host === undefined ? { port: number } : { host: host.replace(/^\[|\]$/g, ""), port: number };
}

function portOf(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535) throw new UsageError(`--${flag} takes a port from 0 to 65535`);
  return Number(text);
}

function durabilityOf(text: string | undefined): Durability | undefined {
  if (text === undefined || text === "always" || text === "os") return text;
  return { intervalMs: duration("durability", text) ?? 0 };
}

/** Everything but what is of interest only to us, on standard error: standard output is for results. */
function logTo({ err, clock }: Surroundings, asJson: boolean): Logger {
  const line = (level: string) => (message: string) => {
    const time = new Date(clock.now()).toISOString();
    err.write(asJson ? `${JSON.stringify({ time, level, message })}\n` : `${time} ${level} ${escaped(message)}\n`);
  };
  return { debug: () => undefined, info: line("info"), warn: line("warn"), error: line("error") };
}
