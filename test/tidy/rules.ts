/**
 * The house rules as functions: a file in, complaints out. `tidy.test.ts` runs them over the repository and shows that
 * each one objects to what it forbids.
 */
import { builtinModules } from "node:module";
import ts from "typescript";
import { type Import, importsOf, type SourceFile, visitNodes } from "./source.ts";

export type Rule = (file: SourceFile) => string[];

type Room =
  | "base"
  | "ports"
  | "core"
  | "sync"
  | "codec"
  | "storage"
  | "shell"
  | "page"
  | "testing"
  | "transports"
  | "demo"
  | "scripts";

const BASE = new Set(["types", "errors", "invariant", "limits", "hybrid-logical-clock"]);
const PORTS = new Set(["transport", "clock", "random"]);
/** Directories of src that may do what the files beside them may. */
const SHELL_ROOMS = new Set(["cli", "control", "data", "dump", "layers", "peers", "telemetry", "ui", "watch"]);

/** What a room may import beside itself: rooms, then Node's modules and packages. */
interface Door {
  readonly rooms: readonly Room[];
  /** Rooms of which only types may be imported. */
  readonly typesOf?: readonly Room[];
  readonly modules: (file: SourceFile, specifier: string) => boolean;
}

const nothing = (): boolean => false;
const anyModule = (): boolean => true;

const DOORS: Record<Room, Door> = {
  base: { rooms: [], modules: nothing },
  ports: {
    rooms: ["base"],
    modules: (file, specifier) => file.path === "src/random.ts" && specifier === "node:crypto",
  },
  core: { rooms: ["base"], modules: nothing },
  sync: { rooms: ["core", "base"], modules: nothing },
  codec: {
    rooms: ["base"],
    typesOf: ["core", "sync"],
    modules: (_, specifier) => ["msgpackr", "node:crypto", "node:zlib", "node:buffer"].includes(specifier),
  },
  storage: {
    rooms: ["codec", "core", "base", "ports"],
    modules: (file, specifier) => ["node:crypto", "node:zlib"].includes(specifier) || touchesDisk(file),
  },
  shell: {
    rooms: ["storage", "codec", "sync", "core", "base", "ports"],
    modules: (_, specifier) => isBuiltin(specifier),
  },
  // What a browser runs: bundled, so it has packages that the library has not.
  page: {
    rooms: [],
    typesOf: ["shell"],
    modules: (_, specifier) => /^(?:preact(?:\/hooks)?|@preact\/signals|d3-force|uplot)$/.test(specifier),
  },
  testing: {
    rooms: ["shell", "storage", "codec", "sync", "core", "base", "ports"],
    modules: (_, specifier) => isBuiltin(specifier),
  },
  transports: {
    rooms: ["ports"],
    modules: (file, specifier) =>
      isBuiltin(specifier) || (specifier === "ws" && file.path.startsWith("transports/websocket")),
  },
  demo: { rooms: [], modules: anyModule },
  scripts: { rooms: ["demo"], modules: anyModule },
};

/** The import table of the architecture. */
export const importTable: Rule = (file) => {
  const room = roomOf(file.path);
  if (room === undefined || !isCode(file.path)) return [];
  const door = DOORS[room];
  return importsOf(file)
    .filter((imported) => !mayImport(file, room, door, imported))
    .map(({ specifier }) => `${room} may not import ${specifier}`);
};

function mayImport(file: SourceFile, room: Room, door: Door, { specifier, target, typeOnly }: Import): boolean {
  if (target === undefined) return door.modules(file, specifier);
  const other = roomOf(target);
  if (other === undefined) return false;
  if (other === room || door.rooms.includes(other)) return true;
  if (door.typesOf?.includes(other)) return typeOnly;
  // Measuring a room by itself, feeding rubbish to it, or looking into a replica that is simulated, needs a way in.
  if (/^scripts\/(?:bench|fuzz|simulate|explore)\//.test(file.path)) return true;
  // `wavekv serve` is a user of the library, and gives it a transport.
  if (file.path.startsWith("src/cli/") && other === "transports") return true;
  return room === "transports" && ["src/types.ts", "src/errors.ts"].includes(target);
}

/** Time, timers, randomness and the file system enter through the ports alone. */
export const portsOnly: Rule = (file) => {
  // The executable brings the process that it runs in, files and all.
  const isHost = file.path === "src/cli/node-host.ts";
  const room = roomOf(file.path);
  // A browser has its own clock, and the suites for others their own timers.
  const isExempt = isHost || touchesDisk(file) || room === "testing" || room === "page";
  if (!file.path.startsWith("src/") || !isCode(file.path) || isExempt) return [];
  const complaints: string[] = [];
  const mayTime = file.path === "src/clock.ts";
  const mayRandom = file.path === "src/random.ts";
  for (const { specifier, names } of importsOf(file)) {
    if (/^(?:node:)?(?:fs|fs\/promises)$/.test(specifier)) complaints.push(`imports ${specifier}`);
    if (/^(?:node:)?timers/.test(specifier) && !mayTime) complaints.push(`imports ${specifier}`);
    const hashesOnly = names.every((name) => /^(?:create)?(?:hash|hmac)$|^timingSafeEqual$/i.test(name));
    if (/^(?:node:)?crypto$/.test(specifier) && !mayRandom && !hashesOnly) {
      complaints.push(`imports ${names.join(", ")} from ${specifier}`);
    }
  }
  visitNodes(file, (node) => {
    const name = globalUse(node);
    if (name !== undefined && TIME.has(name) && !mayTime) complaints.push(`uses ${name}`);
    if (name !== undefined && RANDOM.has(name) && !mayRandom) complaints.push(`uses ${name}`);
  });
  return complaints;
};

const TIME = new Set([
  "Date.now",
  "new Date()",
  "performance.now",
  "process.hrtime",
  "setTimeout",
  "setInterval",
  "setImmediate",
]);
const RANDOM = new Set(["Math.random", "crypto.randomUUID", "crypto.getRandomValues"]);

/** Core and sync are plain functions of their arguments: nothing is awaited and nothing is emitted. */
export const synchronousRooms: Rule = (file) => {
  const room = roomOf(file.path);
  if (room !== "core" && room !== "sync") return [];
  const complaints: string[] = [];
  visitNodes(file, (node) => {
    if (node.kind === ts.SyntaxKind.AsyncKeyword) complaints.push("is async");
    if (ts.isAwaitExpression(node) || node.kind === ts.SyntaxKind.AwaitKeyword) complaints.push("awaits");
    if (ts.isIdentifier(node) && /^(?:Promise|PromiseLike|EventEmitter|EventTarget|queueMicrotask)$/.test(node.text)) {
      complaints.push(`uses ${node.text}`);
    }
  });
  return complaints;
};

/** `any` switches the compiler off without a trace. */
export const noAny: Rule = (file) => {
  const complaints: string[] = [];
  if (!isCode(file.path)) return complaints;
  visitNodes(file, (node) => {
    if (node.kind === ts.SyntaxKind.AnyKeyword) complaints.push("uses any");
  });
  return complaints;
};

export const namedExportsOnly: Rule = (file) => {
  const complaints: string[] = [];
  if (roomOf(file.path) === undefined || !isCode(file.path)) return complaints;
  visitNodes(file, (node) => {
    if (ts.isExportAssignment(node) || node.kind === ts.SyntaxKind.DefaultKeyword) {
      if (ts.isExportAssignment(node) || !ts.isDefaultClause(node.parent)) complaints.push("has a default export");
    }
    if (ts.isExportDeclaration(node) && node.exportClause === undefined) complaints.push("re-exports everything");
  });
  return complaints;
};

// Each pattern hides one letter in brackets, so that this file does not complain about itself.
const UNFINISHED = /\b(?:TOD[O]|FIXM[E]|XX[X])\b/;
const SWITCHED_OFF = /@ts-(?:ignor[e]|nochec[k])/;
const SUPPRESSION = /eslint-disabl[e]|biome-ignor[e]|@ts-expect-erro[r]/;

export const nothingUnfinished: Rule = (file) => lines(file, UNFINISHED, () => true);

/** A suppression states its root cause on the same line, behind `reason:`. */
export const suppressionsHaveReasons: Rule = (file) => [
  ...lines(file, SWITCHED_OFF, () => true),
  ...lines(file, SUPPRESSION, (line) => !/reason: \S/.test(line)),
];

const MACHINE_PATH = /(?:^|[\s"'`(=:])\/(?:home|root|work|farm|Users|mnt)\/[A-Za-z]/;
const REGISTRY_HOST =
  /"resolve[d]": "http|https?:\/\/[^\s/"']*(?:registry|artifactory|nexus|verdaccio)[^\s/"']*\.[a-z]/;

export const noMachinePaths: Rule = (file) =>
  lines(file, new RegExp(`${MACHINE_PATH.source}|${REGISTRY_HOST.source}`), () => true);

/**
 * Every cycle among relative imports, as a path that ends where it began. Imports of types do not count: they load
 * nothing, and across rooms the import table forbids them already.
 */
export function importCycles(files: readonly SourceFile[]): string[] {
  const targets = new Map(
    files
      .filter(({ path }) => isCode(path))
      .map((file) => [file.path, importsOf(file).flatMap(({ target, typeOnly }) => (typeOnly ? [] : (target ?? [])))]),
  );
  const cycles: string[] = [];
  const done = new Set<string>();
  const trail: string[] = [];
  const visit = (path: string): void => {
    const start = trail.indexOf(path);
    if (start >= 0) cycles.push([...trail.slice(start), path].join(" -> "));
    if (start >= 0 || done.has(path)) return;
    trail.push(path);
    for (const target of targets.get(path) ?? []) visit(target);
    trail.pop();
    done.add(path);
  };
  for (const path of targets.keys()) visit(path);
  return cycles;
}

function roomOf(path: string): Room | undefined {
  const parts = path.split("/");
  const [top, second] = parts;
  if (top === "transports" || top === "demo" || top === "scripts") return top;
  if (top !== "src" || second === undefined) return undefined;
  if (path.startsWith("src/ui/page/")) return "page";
  if (parts.length > 2) {
    if (SHELL_ROOMS.has(second)) return "shell";
    if (second === "testing") return "testing";
    return second === "core" || second === "sync" || second === "codec" || second === "storage" ? second : undefined;
  }
  const name = second.replace(/\.ts$/, "");
  if (BASE.has(name)) return "base";
  return PORTS.has(name) ? "ports" : "shell";
}

function isCode(path: string): boolean {
  return /\.tsx?$/.test(path);
}

/**
 * The real disk and the lock on a directory: the only code of ours that may ask the operating system. And what reads the
 * page, which is part of the package and not of anybody's data.
 */
function touchesDisk(file: SourceFile): boolean {
  if (file.path === "src/ui/assets.ts") return true;
  return /^src\/storage\/(?:node-disk|(?:[a-z]+-)*lock)(?:-[a-z]+)*\.ts$/.test(file.path);
}

function isBuiltin(specifier: string): boolean {
  return specifier.startsWith("node:") && builtinModules.includes(specifier.slice(5));
}

/** `Date.now`, `setTimeout`, `new Date()`, also behind `globalThis`; undefined when the node is no use of a global. */
function globalUse(node: ts.Node): string | undefined {
  if (ts.isPropertyAccessExpression(node)) {
    const name = node.getText().replace(/^globalThis\??\./, "");
    return name.replace("?.", ".");
  }
  if (ts.isNewExpression(node) && node.expression.getText() === "Date" && !node.arguments?.length) return "new Date()";
  if (!ts.isIdentifier(node)) return undefined;
  const isMember =
    (ts.isPropertyAccessExpression(node.parent) && node.parent.name === node) ||
    ts.isPropertyAssignment(node.parent) ||
    ts.isMethodSignature(node.parent) ||
    ts.isMethodDeclaration(node.parent);
  return isMember ? undefined : node.text;
}

function lines(file: SourceFile, pattern: RegExp, counts: (line: string) => boolean): string[] {
  return file.text
    .split("\n")
    .flatMap((line, index) => (pattern.test(line) && counts(line) ? [`line ${index + 1}: ${line.trim()}`] : []));
}
