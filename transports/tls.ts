/**
 * TLS for the transports: one identity per replica, used both to listen and to dial, so that mutual TLS needs three
 * files and no further thought.
 */
import type { Duplex } from "node:stream";
import { createSecureContext, type PeerCertificate, type SecureContextOptions, TLSSocket } from "node:tls";
import { ReplicaError } from "../src/errors.ts";
import { isObject, onlyKeys, optionError } from "./options.ts";

/** PEM texts, not paths. */
export type Pem = string | Buffer | readonly (string | Buffer)[];

export interface TlsOptions {
  /** Authorities that sign the certificates of replicas. Default: those that Node.js trusts. */
  readonly ca?: Pem;
  /** Certificate of this replica. Needed to listen, and to dial replicas that ask for one. */
  readonly cert?: Pem;
  /** Its private key. */
  readonly key?: Pem;
  /** Of the private key, if it is encrypted. */
  readonly passphrase?: string;
  /** The name that a replica's certificate must carry. Default: the host of the address that is dialed. */
  readonly servername?: string;
  /**
   * Mutual TLS: whoever dials this replica must show a certificate that `ca` has signed. Default: true if `ca` is
   * given. Without `ca` it cannot be: anybody can get a certificate of a public authority.
   */
  readonly mutual?: boolean;
}

/**
 * @param listens  a certificate of our own is needed then
 * @throws ReplicaError ERR_OPTION for what Node.js could not use later either
 */
export function checkTls(tls: TlsOptions, listens: boolean): void {
  onlyKeys("tls", tls, ["ca", "cert", "key", "passphrase", "servername", "mutual"]);
  if ((tls.cert === undefined) !== (tls.key === undefined)) throw optionError("tls.cert and tls.key go together");
  if (listens && tls.cert === undefined) throw optionError("to listen with TLS takes tls.cert and tls.key");
  if (tls.mutual === true && tls.ca === undefined) {
    throw optionError("tls.mutual takes tls.ca: the authority that signs the certificates of your replicas");
  }
  try {
    createSecureContext(identityOf(tls));
  } catch (cause) {
    const text = `tls: cert, key or ca is no PEM text, or the key does not belong to the certificate: ${String(cause)}`;
    throw new ReplicaError("ERR_OPTION", text, { cause });
  }
}

/** Whether every replica that dials us has to show a certificate. */
export function isMutual(tls: TlsOptions | undefined): boolean {
  return tls !== undefined && (tls.mutual ?? tls.ca !== undefined);
}

/**
 * For `tls.createServer`, `https.createServer`. With mutual TLS whoever accepts has to ask {@link whyNotAuthorized}:
 * left to Node.js, a certificate of another authority would be turned away without a word to either side.
 */
export function serverTls(tls: TlsOptions) {
  return { ...identityOf(tls), requestCert: isMutual(tls), rejectUnauthorized: false };
}

/** Why the other end of a connection to a server with mutual TLS is not let in; undefined if it is. */
export function whyNotAuthorized(socket: TLSSocket): string | undefined {
  if (socket.authorized) return undefined;
  if (Object.keys(socket.getPeerCertificate() ?? {}).length === 0) {
    return "a certificate is needed here: give tls.cert and tls.key";
  }
  const code = String(socket.authorizationError);
  const why = code === "CERT_HAS_EXPIRED" ? "it has expired" : `tls.ca has not signed it (${code})`;
  return `the certificate of the dialer was refused: ${why}`;
}

/** For `tls.connect`, `https.request`. */
export function clientTls(tls: TlsOptions) {
  const { servername } = tls;
  return { ...identityOf(tls), ...(servername === undefined ? {} : { servername }), rejectUnauthorized: true };
}

/** The certificate of the other end, only if TLS has found it valid. */
export function certificateOf(stream: Duplex | undefined): PeerCertificate | undefined {
  if (!(stream instanceof TLSSocket) || !stream.authorized) return undefined;
  // Null, whatever the types say, once the connection has gone.
  const certificate = stream.getPeerCertificate() as PeerCertificate | null;
  return certificate ?? undefined;
}

/** What a server can say when a handshake ends without an alert. */
export const WENT_AWAY = "the dialer went away during the TLS handshake; it may not trust our certificate";

/** Why TLS with the other end failed, for people; undefined if it was not TLS that failed. */
export function explainTls(error: unknown): string | undefined {
  const { code = "", message } = error as NodeJS.ErrnoException;
  for (const [pattern, text] of EXPLANATIONS) if (pattern.test(code)) return text;
  // OpenSSL's words come without a code of their own where writing fails.
  if (/wrong version number|packet length too long/.test(message)) return NOT_BOTH;
  return /^ERR_(?:SSL|TLS)_/.test(code) ? `TLS failed: ${message}` : undefined;
}

const NOT_BOTH = "one end speaks TLS and the other does not";
const EXPLANATIONS: readonly (readonly [RegExp, string])[] = [
  [
    /SELF_SIGNED_CERT|UNABLE_TO_(?:VERIFY_LEAF|GET_ISSUER)/,
    "its certificate is not signed by an authority that we trust: give that one in tls.ca",
  ],
  [/^CERT_HAS_EXPIRED$/, "its certificate has expired: renew it"],
  [/^CERT_NOT_YET_VALID$/, "its certificate is not valid yet: check the clocks"],
  [
    /^ERR_TLS_CERT_ALTNAME_INVALID$/,
    "its certificate is for another name: issue one that has the dialed name, or set tls.servername",
  ],
  [
    /ALERT_(?:CERTIFICATE|BAD_CERTIFICATE|UNKNOWN_CA|UNSUPPORTED_CERT)|PEER_DID_NOT_RETURN_A_CERTIFICATE/,
    "the certificate of the dialer was refused: tls.cert and tls.key must be signed by an authority that the other end has in tls.ca",
  ],
  [/WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST/, NOT_BOTH],
];

function identityOf(tls: TlsOptions): SecureContextOptions {
  const { ca, cert, key, passphrase } = tls;
  return {
    ...(ca === undefined ? {} : { ca: pem(ca) }),
    ...(cert === undefined ? {} : { cert: pem(cert) }),
    ...(key === undefined ? {} : { key: pem(key) }),
    ...(passphrase === undefined ? {} : { passphrase }),
  };
}

function pem(value: Pem): string | Buffer | (string | Buffer)[] {
  return typeof value === "string" || !isObject(value) || Buffer.isBuffer(value) ? value : [...value];
}
