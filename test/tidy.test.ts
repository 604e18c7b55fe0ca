/** The house rules: who may import whom, what enters only through a port, and what the package exports. */
import { describe, expect, test } from "vitest";
import packageJson from "../package.json" with { type: "json" };
import {
  importCycles,
  importTable,
  namedExportsOnly,
  noAny,
  noMachinePaths,
  nothingUnfinished,
  portsOnly,
  type Rule,
  suppressionsHaveReasons,
  synchronousRooms,
} from "./tidy/rules.ts";
import { exportsOf, readRepository } from "./tidy/source.ts";

const LINES_MAX = 300;

/** What users may import. To change the API, change this list in the same commit, and the README. */
const PUBLIC_EXPORTS: Record<string, readonly string[]> = {
  ".": [
    "Admit",
    "AdmitEntry",
    "BatchOperation",
    "CatchUpProgress",
    "ChangeEvent",
    "Channel",
    "ChannelReceiver",
    "CloseOptions",
    "Codec",
    "ConflictEvent",
    "ConflictSide",
    "CustomMerge",
    "DeleteOptions",
    "DiagnosticsMessages",
    "Disk",
    "DiskFile",
    "Durability",
    "EntryInfo",
    "Ephemeral",
    "EphemeralCause",
    "EphemeralEntry",
    "EphemeralEvent",
    "EphemeralScanOptions",
    "EphemeralWatchOptions",
    "ErrorCode",
    "Histogram",
    "IndexOptions",
    "IndexedEntry",
    "KeyRange",
    "Lease",
    "LeaseHolder",
    "LeaseOptions",
    "Limits",
    "Logger",
    "Member",
    "MergeKind",
    "MeshNode",
    "MessageCounts",
    "MessageKind",
    "Metrics",
    "Namespace",
    "NamespaceTransaction",
    "Peer",
    "PeerEvent",
    "PeerState",
    "PeerStatus",
    "Progress",
    "PutEvent",
    "PutOptions",
    "Random",
    "RecoveryProgress",
    "RemoveEvent",
    "Replica",
    "ReplicaError",
    "ReplicaOptions",
    "ScanOptions",
    "SchemaIssue",
    "SchemaResult",
    "SecondaryIndex",
    "SettledOptions",
    "StandardSchema",
    "Status",
    "Timers",
    "Transaction",
    "TransactionEntry",
    "TransactionResult",
    "Transport",
    "TransportHost",
    "VerifyReport",
    "Version",
    "WaitOptions",
    "WallClock",
    "WatchEvent",
    "WatchOptions",
    "WriteOptions",
    "WriteToken",
    "isReplicaError",
    "openReplica",
  ],
  "./dump": [
    "ExportOptions",
    "ExportProgress",
    "ExportReport",
    "ImportOptions",
    "ImportProgress",
    "ImportReport",
    "ImportSource",
    "SkippedEntry",
    "exportBinary",
    "exportJson",
    "importBinary",
    "importJson",
  ],
  "./transports/authentication": ["Authenticate", "AuthenticationOptions", "Connection", "Secret", "authenticated"],
  "./prometheus": ["PROMETHEUS_CONTENT_TYPE", "prometheusText"],
  "./transports/in-process": ["InProcessNetwork", "InProcessNetworkOptions", "inProcessNetwork"],
  "./transports/tcp": [
    "PeerOptions",
    "Pem",
    "StreamChannel",
    "StreamChannelOptions",
    "TcpListen",
    "TcpTransport",
    "TcpTransportOptions",
    "TlsOptions",
  ],
  "./discovery": [
    "Discovery",
    "DnsDiscoveryOptions",
    "DnsResolver",
    "ServiceRecord",
    "dnsDiscovery",
    "staticDiscovery",
  ],
  "./testing": [
    "DiskCall",
    "DiskFault",
    "MemoryDisk",
    "NetworkConditions",
    "Ports",
    "SimClock",
    "SimHost",
    "SimNetwork",
    "Simulation",
    "SimulationOptions",
    "Survives",
    "TransportBench",
    "TransportCheck",
    "TransportContractOptions",
    "checkMergeLaws",
    "transportContract",
  ],
  "./ui": [
    "CountersView",
    "FileState",
    "FileView",
    "Link",
    "MemberView",
    "MeshNodeView",
    "PeerView",
    "ReplicaView",
    "Ui",
    "UiExtras",
    "UiFileConflict",
    "UiFileSide",
    "UiFiles",
    "UiLinks",
    "UiOptions",
    "UiPauses",
    "replicaView",
    "serveUi",
  ],
  "./transports/websocket": [
    "PeerOptions",
    "Pem",
    "TlsOptions",
    "WebSocketListen",
    "WebSocketTransport",
    "WebSocketTransportOptions",
  ],
};

const repository = readRepository();

const RULES: Record<string, Rule> = {
  "rooms import only what the architecture allows": importTable,
  "time, timers, randomness and files enter through ports": portsOnly,
  "core and sync are synchronous": synchronousRooms,
  "there is no any": noAny,
  "exports have names": namedExportsOnly,
  "nothing is left unfinished": nothingUnfinished,
  "suppressions have reasons": suppressionsHaveReasons,
  "no machine shows through": noMachinePaths,
};

describe("this repository", () => {
  test("is read at all", () => {
    const paths = repository.map(({ path }) => path);
    expect(paths).toEqual(expect.arrayContaining(["package.json", "src/types.ts", "test/tidy.test.ts"]));
  });

  test.each(Object.entries(RULES))("%s", (_, rule) => {
    expect(repository.flatMap((file) => rule(file).map((complaint) => `${file.path}: ${complaint}`))).toEqual([]);
  });

  test("no imports go round in a circle", () => {
    expect(importCycles(repository)).toEqual([]);
  });

  test("long files are reported, not forbidden", ({ annotate }) => {
    const long = repository
      .map(({ path, text }) => ({ path, lines: text.split("\n").length - 1 }))
      .filter(({ path, lines }) => path.endsWith(".ts") && lines > LINES_MAX)
      .sort((a, b) => b.lines - a.lines)
      .map(({ path, lines }) => `${path} (${lines})`);
    return long.length === 0 ? undefined : annotate(`over ${LINES_MAX} lines: ${long.join(", ")}`);
  });
});

describe("public exports", () => {
  const entryPoints = Object.entries(packageJson.exports).flatMap(([name, target]) =>
    typeof target === "string" ? [] : [[name, target.types.replace(/^\.\/dist\/(.*)\.d\.ts$/, "$1.ts")] as const],
  );

  test.each(entryPoints)("of %s are pinned", (name, path) => {
    const file = repository.find((candidate) => candidate.path === path);
    if (file === undefined) return; // An entry point that is announced and not yet written.
    expect(exportsOf(file), `pin them in PUBLIC_EXPORTS["${name}"]`).toEqual(PUBLIC_EXPORTS[name]);
  });

  test("are read in every form", () => {
    const text = `export { a, b as c } from "./x.ts"; export type { T } from "./x.ts"; export const d = 1, e = 2;
      export function f() {} export class G {} export interface H {} export type I = 1; export * from "./y.ts"; const hidden = 1;`;
    expect(exportsOf({ path: "src/x.ts", text })).toEqual(["*", "G", "H", "I", "T", "a", "c", "d", "e", "f"]);
  });
});

describe("the rules object", () => {
  // Spelled apart, or the rules would object to this file.
  const [todo, ignore, disable, https, registry] = ["TO_DO", "ig_nore", "dis_able", "ht_tps", "regi_stry"].map((word) =>
    word.replace("_", ""),
  );
  // [rule, path, forbidden text, the nearest text that is allowed]
  const TABLE: readonly (readonly [string, Rule, string, string, string])[] = [
    ["base", importTable, "src/errors.ts", `import "./core/lww.ts";`, `import "./types.ts";`],
    ["core to sync", importTable, "src/core/a.ts", `import { x } from "../sync/b.ts";`, `import { x } from "./b.ts";`],
    ["core to a type of sync", importTable, "src/core/a.ts", `import type { X } from "../sync/b.ts";`, ``],
    ["core to a port", importTable, "src/core/a.ts", `import "../clock.ts";`, `import "../limits.ts";`],
    ["core to Node", importTable, "src/core/a.ts", `import { x } from "node:buffer";`, ``],
    ["core, dynamically", importTable, "src/core/a.ts", `void import("node:fs");`, ``],
    [
      "core, re-exporting",
      importTable,
      "src/core/a.ts",
      `export { x } from "../codec/b.ts";`,
      `export { x } from "./b.ts";`,
    ],
    ["core, in a type", importTable, "src/core/a.ts", `let x: import("../sync/b.ts").X;`, `let x: import("./b.ts").X;`],
    ["sync to codec", importTable, "src/sync/a.ts", `import "../codec/b.ts";`, `import "../core/b.ts";`],
    [
      "codec to a value",
      importTable,
      "src/codec/a.ts",
      `import { x } from "../sync/b.ts";`,
      `import type { X } from "../sync/b.ts";`,
    ],
    [
      "codec to one value among types",
      importTable,
      "src/codec/a.ts",
      `import { type X, y } from "../core/b.ts";`,
      `import { type X } from "../core/b.ts";`,
    ],
    ["codec to another package", importTable, "src/codec/a.ts", `import "ws";`, `import "msgpackr";`],
    ["storage to sync", importTable, "src/storage/a.ts", `import "../sync/b.ts";`, `import "../codec/b.ts";`],
    ["storage to files", importTable, "src/storage/wal.ts", `import "node:path";`, `import "node:zlib";`],
    ["a room to the shell", importTable, "src/storage/a.ts", `import "../replica.ts";`, `import "../limits.ts";`],
    ["transport to limits", importTable, "transports/a.ts", `import "../src/limits.ts";`, `import "../src/errors.ts";`],
    ["ws elsewhere", importTable, "transports/in-process.ts", `import "ws";`, `import "node:net";`],
    ["demo inside", importTable, "demo/a.ts", `import "../src/index.ts";`, `import "wavekv";`],
    ["scripts inside", importTable, "scripts/a.ts", `import "../src/replica.ts";`, `import "../demo/filesync/a.ts";`],
    ["the page to another package", importTable, "src/ui/page/a.tsx", `import "ws";`, `import { h } from "preact";`],
    [
      "the page to code of Node",
      importTable,
      "src/ui/page/a.ts",
      `import "../view.ts";`,
      `import type { X } from "../wire.ts";`,
    ],
    ["the shell to the page", importTable, "src/ui/view.ts", `import "./page/model.ts";`, `import "./wire.ts";`],
    ["an unknown room", importTable, "src/core/a.ts", `import "../utils/b.ts";`, ``],
    ["files for the page", portsOnly, "src/ui/feed.ts", `import "node:fs/promises";`, ``],
    ["the clock", portsOnly, "src/driver.ts", `const t = Date.now();`, `const t = clock.now();`],
    ["the clock, handed on", portsOnly, "src/driver.ts", `f(globalThis.Date.now);`, `f(clock.now);`],
    ["the clock, constructed", portsOnly, "src/core/a.ts", `new Date();`, `new Date(5);`],
    ["performance", portsOnly, "src/core/a.ts", `performance.now();`, `timer.now();`],
    ["chance", portsOnly, "src/sync/a.ts", `Math.random();`, `random.fraction();`],
    ["a timer", portsOnly, "src/driver.ts", `setTimeout(f, 1);`, `timers.setTimeout(f, 1);`],
    ["an immediate", portsOnly, "src/codec/a.ts", `const later = setImmediate;`, `const later = { setImmediate: 1 };`],
    ["imported timers", portsOnly, "src/driver.ts", `import { setTimeout as x } from "node:timers/promises";`, ``],
    ["files", portsOnly, "src/storage/wal.ts", `import { open } from "node:fs/promises";`, `import "./disk.ts";`],
    [
      "random bytes",
      portsOnly,
      "src/storage/a.ts",
      `import { randomBytes } from "node:crypto";`,
      `import { createHash } from "node:crypto";`,
    ],
    [
      "all of crypto",
      portsOnly,
      "src/storage/a.ts",
      `import * as c from "node:crypto";`,
      `import { createHmac } from "node:crypto";`,
    ],
    ["async", synchronousRooms, "src/sync/a.ts", `async function f() {}`, `function f() {}`],
    ["async methods", synchronousRooms, "src/core/a.ts", `class A { async f() {} }`, `class A { f() {} }`],
    ["await", synchronousRooms, "src/core/a.ts", `export {}; await f();`, `f();`],
    ["promises", synchronousRooms, "src/core/a.ts", `let p: Promise<void>;`, `let promise: number;`],
    ["emitters", synchronousRooms, "src/sync/a.ts", `class A extends EventEmitter {}`, `class A extends Emitted {}`],
    ["any", noAny, "test/a.ts", "const x: any = 1;", `const any: number = 1; // any`],
    ["default", namedExportsOnly, "src/core/a.ts", `export default 1;`, `switch (x) { default: }`],
    ["default function", namedExportsOnly, "src/core/a.ts", `export default function f() {}`, `export function f() {}`],
    ["export all", namedExportsOnly, "src/index.ts", `export * from "./a.ts";`, `export { a } from "./a.ts";`],
    ["notes to self", nothingUnfinished, "README.md", `// ${todo}: later`, `// todo lists are an example`],
    ["blindness", suppressionsHaveReasons, "src/a.ts", `// @ts-${ignore} reason: none`, `// ignore`],
    [
      "silence",
      suppressionsHaveReasons,
      "src/a.ts",
      `// eslint-${disable}-next-line x`,
      `// eslint-${disable}-next-line x -- reason: y`,
    ],
    [
      "silence without a cause",
      suppressionsHaveReasons,
      "src/a.ts",
      `// biome-${ignore} lint: reason: `,
      `// biome-${ignore} lint: reason: y`,
    ],
    ["a home", noMachinePaths, "README.md", `cd ${["", "home", "ada"].join("/")}`, `cd ./home/ada`],
    ["a registry", noMachinePaths, "package-lock.json", `"resolved": "${https}://x/y.tgz"`, `"resolved": "y"`],
    ["a registry host", noMachinePaths, ".npmrc", `registry=${https}://npm-${registry}.example.com/`, `audit=false`],
  ];

  test.each(TABLE)("to %s", (_, rule, path, forbidden, allowed) => {
    expect(rule({ path, text: forbidden })).not.toEqual([]);
    expect(rule({ path, text: allowed })).toEqual([]);
  });

  test.each([
    ["clock.ts keeps time", portsOnly, "src/clock.ts", `Date.now(); setTimeout(f, 1);`],
    ["random.ts draws", portsOnly, "src/random.ts", `import { randomFillSync } from "node:crypto";`],
    ["the disk opens files", portsOnly, "src/storage/node-disk.ts", `import "node:fs"; Date.now();`],
    ["the lock opens files", importTable, "src/storage/directory-lock.ts", `import "node:fs"; import "node:path";`],
    ["transports have timers", portsOnly, "transports/websocket.ts", `setTimeout(f, 1);`],
    ["the suites for others have timers", portsOnly, "src/testing/a.ts", `setTimeout(f, 1);`],
    [
      "the suites for others use all rooms",
      importTable,
      "src/testing/a.ts",
      `import "../core/a.ts"; import "node:assert";`,
    ],
    ["the page has timers", portsOnly, "src/ui/page/a.tsx", `setTimeout(f, 1); performance.now();`],
    ["the page is read", portsOnly, "src/ui/assets.ts", `import { readFile } from "node:fs/promises";`],
    ["the websocket has ws", importTable, "transports/websocket.ts", `import "ws"; import "../src/transport.ts";`],
  ] as const)("but %s", (_, rule, path, text) => {
    expect(rule({ path, text })).toEqual([]);
  });

  test("to circles, of any length, and only to circles", () => {
    const file = (path: string, ...imports: string[]) => ({
      path,
      text: imports.map((to) => `import "${to}";`).join(""),
    });
    expect(importCycles([file("src/a.ts", "./a.ts")])).toEqual(["src/a.ts -> src/a.ts"]);
    expect(
      importCycles([
        file("src/a.ts", "./core/b.ts"),
        file("src/core/b.ts", "./c.ts"),
        file("src/core/c.ts", "../a.ts"),
      ]),
    ).toEqual(["src/a.ts -> src/core/b.ts -> src/core/c.ts -> src/a.ts"]);
    expect(importCycles([file("src/a.ts", "./b.ts", "./c.ts"), file("src/b.ts", "./c.ts"), file("src/c.ts")])).toEqual(
      [],
    );
    const types = { path: "src/d.ts", text: `import type { E } from "./e.ts";` };
    expect(importCycles([types, file("src/e.ts", "./d.ts")])).toEqual([]);
  });
});
