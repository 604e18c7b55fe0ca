/** `wavekv/ui`: a page on which to watch a replica and its mesh, for a browser on this machine. */
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { inRange, knownFields } from "./arguments.ts";
import { systemClock, systemTimers } from "./clock.ts";
import { closeControlServer } from "./control/server.ts";
import { ReplicaError } from "./errors.ts";
import { systemRandom } from "./random.ts";
import type { Replica } from "./replica.ts";
import { readAssets } from "./ui/assets.ts";
import { Conflicts } from "./ui/conflicts.ts";
import type { UiExtras } from "./ui/extras.ts";
import { pageServer } from "./ui/page-server.ts";

export type { UiExtras, UiFileConflict, UiFileSide, UiFiles, UiLinks, UiPauses } from "./ui/extras.ts";
export { replicaView } from "./ui/view.ts";
export type {
  CountersView,
  FileState,
  FileView,
  Link,
  MemberView,
  MeshNodeView,
  PeerView,
  ReplicaView,
} from "./ui/wire.ts";

export interface UiOptions {
  /** Default 0: any free one. */
  readonly port?: number;
  /** "127.0.0.1", the default, or "::1": the page is for this machine. */
  readonly host?: "127.0.0.1" | "::1";
  /** What the page has to show for every request: 16 to 256 letters, digits, "-" and "_". Default: 256 random bits. */
  readonly token?: string;
  /** What the page shows and offers beyond the replica itself. */
  readonly extras?: UiExtras;
}

/** A page that is being served. */
export interface Ui extends AsyncDisposable {
  /** Where it is, `http://127.0.0.1:7070/`: without the token it shows nothing. */
  readonly url: string;
  /** `url` with the token, for a browser. Whoever has it sees all data, and can evict members. */
  readonly link: string;
  /** Ends the page and what is open of it; the replica stays. Idempotent. Close it before the replica. */
  close(): Promise<void>;
}

const HOSTS: readonly string[] = ["127.0.0.1", "::1"];
const TOKEN = /^[A-Za-z0-9_-]{16,256}$/;

/**
 * Serves a page that shows the replica: mesh, keys, changes, members, conflicts and metrics. It reads, and changes
 * nothing but what a person confirms on it. Keeps the process alive until it is closed.
 *
 * @throws ReplicaError ERR_OPTION; ERR_LISTEN if the port is in use
 */
export async function serveUi(replica: Replica, options: UiOptions = {}): Promise<Ui> {
  knownFields(options, ["port", "host", "token", "extras"], "serveUi");
  const { port = 0, host = "127.0.0.1", token = newToken(), extras = {} } = options;
  inRange("port", port, 0, 65_535);
  if (!HOSTS.includes(host))
    throw new ReplicaError("ERR_OPTION", `host is one of ${HOSTS.join(", ")}: it is for this machine`);
  if (typeof token !== "string" || !TOKEN.test(token)) {
    throw new ReplicaError("ERR_OPTION", 'token takes 16 to 256 letters, digits, "-" and "_"');
  }
  knownFields(extras, ["replicas", "links", "pauses", "files"], "extras");
  const assets = await readAssets();
  const conflicts = new Conflicts(replica);
  const server = pageServer({ replica, extras, conflicts, assets, token, clock: systemClock, timers: systemTimers });
  try {
    await listening(server, port, host);
  } catch (error) {
    conflicts.close();
    throw error;
  }
  const { port: bound } = server.address() as AddressInfo;
  const url = `http://${host.includes(":") ? `[${host}]` : host}:${bound}/`;
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    conflicts.close();
    closing ??= closeControlServer(server);
    return closing;
  };
  return { url, link: `${url}#token=${token}`, close, [Symbol.asyncDispose]: close };
}

function newToken(): string {
  return [1, 2, 3, 4].map(() => systemRandom.hex64()).join("");
}

function listening(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const what = cause.code === "EADDRINUSE" ? "is in use: choose another one" : `cannot be used: ${cause.message}`;
      reject(new ReplicaError("ERR_LISTEN", `port ${port} ${what}`, { cause }));
    });
    server.listen(port, host, () => resolve());
  });
}
