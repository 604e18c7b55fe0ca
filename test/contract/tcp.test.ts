import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { TcpTransport } from "wavekv/transports/tcp";
import { makeAuthority } from "../../demo/examples/certificates.ts";
import { contractTests } from "./suite.ts";

// The port of the discard protocol: nobody has run it for decades.
contractTests("TCP", () => ({
  transport: () => new TcpTransport({ listen: { port: 0 } }),
  nowhere: "tcp://127.0.0.1:9",
}));

contractTests("TCP, with a secret", () => ({
  transport: () => new TcpTransport({ listen: { port: 0 }, secret: "correct horse battery staple" }),
  nowhere: "tcp://127.0.0.1:9",
}));

const directory = mkdtempSync(join(tmpdir(), "wavekv-unix-"));
afterAll(() => rmSync(directory, { recursive: true }));

let sockets = 0;
contractTests("unix sockets", () => ({
  transport: () => new TcpTransport({ listen: { path: join(directory, `${++sockets}.sock`) } }),
  nowhere: `unix://${directory}/nobody.sock`,
}));

const authority = makeAuthority("test");
contractTests("TLS, mutual", () => ({
  transport: () => {
    const tls = { ca: authority.ca, ...authority.issue(["127.0.0.1"]) };
    return new TcpTransport({ listen: { port: 0 }, tls });
  },
  nowhere: "tls://127.0.0.1:9",
}));
