/** What TcpTransport takes: options, and addresses. */
import { type Guard, whyNotDial, whyNotListen } from "./exposure.ts";
import {
  checkPeerOptions,
  checkPort,
  hostOf,
  inAddress,
  isObject,
  onlyKeys,
  optionError,
  PEER_OPTIONS,
  type PeerOptions,
} from "./options.ts";
import { checkTls, type TlsOptions } from "./tls.ts";
import { decodePath, unixAddress, whyNotSocketPath } from "./unix-sockets.ts";

/** How to be found, whom to find, and who is let in. */
export interface TcpTransportOptions extends PeerOptions {
  /** Default: do not listen, only dial. */
  readonly listen?: TcpListen;
}

export type TcpListen =
  | {
      /** Default "127.0.0.1". */
      readonly host?: string;
      /** 0: any that is free. */
      readonly port: number;
    }
  | {
      /**
       * A unix socket, absolute. Who may connect is who may write to it: the directory, and the umask, decide. One
       * that a killed process has left behind is replaced.
       */
      readonly path: string;
    };

/** @throws ReplicaError ERR_OPTION */
export function checkTcpOptions(options: TcpTransportOptions): void {
  onlyKeys("TcpTransport", options, ["listen", ...PEER_OPTIONS]);
  const { listen, tls } = options;
  if (tls !== undefined) checkTls(tls, isObject(listen) && "port" in listen);
  if (listen !== undefined) checkListen(listen, options);
  checkPeerOptions(options, "tcp://127.0.0.1:7001", (address) => {
    const target = targetOf(address, options);
    return typeof target === "string" ? target : undefined;
  });
}

function checkListen(listen: TcpListen, guard: Guard): void {
  if (!isObject(listen)) throw optionError("listen takes an object with host and port, or with path");
  if ("path" in listen) {
    onlyKeys("listen", listen, ["path"]);
    const refusal = whyNotSocketPath(listen.path);
    if (refusal !== undefined) throw optionError(`listen.path ${refusal}`);
    return;
  }
  onlyKeys("listen", listen, ["host", "port"]);
  checkPort(listen.port);
  const refusal = whyNotListen(listen.host ?? "127.0.0.1", guard);
  if (refusal !== undefined) throw optionError(refusal);
}

/** Where to connect. */
export interface Target {
  readonly where: { readonly host: string; readonly port: number } | { readonly path: string };
  readonly isEncrypted: boolean;
}

/** Takes an address apart; a string says why this transport does not dial it. */
export function targetOf(address: string, guard: Guard): Target | string {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url?.protocol === "unix:" && url.host === "" && url.search === "" && url.hash === "") {
    const path = decodePath(url.pathname);
    const refusal = whyNotSocketPath(path);
    return refusal === undefined ? { where: { path }, isEncrypted: false } : `${address}: the path ${refusal}`;
  }
  const isEncrypted = url?.protocol === "tls:";
  if (url === undefined || !(isEncrypted || url.protocol === "tcp:") || !isHostAndPort(url)) {
    return `${JSON.stringify(address)} is not an address of this transport: it dials tcp://host:port, tls://host:port and unix:///path`;
  }
  const host = hostOf(url);
  return whyNotDial(address, host, isEncrypted, guard) ?? { where: { host, port: Number(url.port) }, isEncrypted };
}

function isHostAndPort(url: URL): boolean {
  const rest = url.username + url.password + url.pathname + url.search + url.hash;
  return url.hostname !== "" && Number(url.port) > 0 && rest === "";
}

/** Where a replica with these options listens, or would; a unix socket never has TLS. */
export function addressOf(listen: TcpListen, tls: TlsOptions | undefined): string {
  if ("path" in listen) return unixAddress(listen.path);
  return `${tls === undefined ? "tcp" : "tls"}://${inAddress(listen.host ?? "127.0.0.1")}:${listen.port}`;
}
