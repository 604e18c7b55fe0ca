/**
 * An authority for examples and tests: makes certificates in memory, with nothing but Node.js, so that no private key
 * has to be kept anywhere. In production use the authority that you have (step-ca, cert-manager, Vault, `openssl ca`).
 *
 * X.509 version 3 (RFC 5280), keys on P-256, signed with ECDSA and SHA-256.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { isIPv4 } from "node:net";

/** PEM texts, as the option `tls` of a transport takes them. */
export interface Identity {
  readonly cert: string;
  readonly key: string;
}

export interface Authority {
  /** Its own certificate, which replicas are given to trust. */
  readonly ca: string;
  /** A certificate for these host names and IPv4 addresses, good to listen and to dial with. */
  issue(names: readonly string[], validity?: Validity): Identity;
}

export interface Validity {
  readonly from: Date;
  readonly to: Date;
}

const DAY_MS = 86_400_000;

/** @param name  of the authority, for people */
export function makeAuthority(name: string): Authority {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const certify = (subject: string, key: KeyObject, { from, to }: Validity, extensions: Buffer[]): string => {
    const tbs = sequence(
      tagged(0xa0, integer(Buffer.of(2))),
      integer(Buffer.concat([Buffer.of(1), randomBytes(15)])),
      ECDSA_WITH_SHA256,
      distinguishedName(name),
      sequence(utcTime(from), utcTime(to)),
      distinguishedName(subject),
      key.export({ type: "spki", format: "der" }),
      tagged(0xa3, sequence(...extensions)),
    );
    const signature = sign("sha256", tbs, privateKey);
    const der = sequence(tbs, ECDSA_WITH_SHA256, tagged(0x03, Buffer.of(0), signature));
    return `-----BEGIN CERTIFICATE-----\n${der.toString("base64").replace(/.{64}/g, "$&\n")}\n-----END CERTIFICATE-----\n`;
  };
  const now = Date.now();
  const aWhile: Validity = { from: new Date(now - DAY_MS), to: new Date(now + 30 * DAY_MS) };
  return {
    // Basic constraints: it may sign certificates. Key usage: for that alone.
    ca: certify(name, publicKey, aWhile, [
      extension("551d13", sequence(TRUE), true),
      extension("551d0f", tagged(0x03, Buffer.of(2, 0b0000_0100)), true),
    ]),
    issue(names, validity = aWhile) {
      const own = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const cert = certify(names[0] ?? "nobody", own.publicKey, validity, [
        extension("551d11", sequence(...names.map(alternativeName))),
        // Extended key usage: server and client.
        extension("551d25", sequence(oid("2b06010505070301"), oid("2b06010505070302"))),
      ]);
      return { cert, key: own.privateKey.export({ type: "pkcs8", format: "pem" }) as string };
    },
  };
}

// DER, as far as it takes. An OID is written as the hex digits of its encoding.

const TRUE = Buffer.of(0x01, 1, 0xff);
const ECDSA_WITH_SHA256 = sequence(oid("2a8648ce3d040302"));

function extension(id: string, value: Buffer, critical = false): Buffer {
  return sequence(oid(id), ...(critical ? [TRUE] : []), tagged(0x04, value));
}

function alternativeName(name: string): Buffer {
  return isIPv4(name) ? tagged(0x87, Buffer.from(name.split(".").map(Number))) : tagged(0x82, Buffer.from(name));
}

function distinguishedName(commonName: string): Buffer {
  return sequence(tagged(0x31, sequence(oid("550403"), tagged(0x0c, Buffer.from(commonName)))));
}

function utcTime(date: Date): Buffer {
  return tagged(0x17, Buffer.from(`${date.toISOString().replace(/\D/g, "").slice(2, 14)}Z`));
}

function oid(hex: string): Buffer {
  return tagged(0x06, Buffer.from(hex, "hex"));
}

function integer(bytes: Buffer): Buffer {
  return tagged(0x02, bytes);
}

function sequence(...parts: Buffer[]): Buffer {
  return tagged(0x30, ...parts);
}

function tagged(tag: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const header = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.of(tag, ...header), content]);
}
