/** What a node says: lines for people, JSON for programs, or a view that is drawn again and again on a terminal. */
import { styleText } from "node:util";
import type { FileEvent } from "./folder-sync.ts";
import type { NodeStatus } from "./status.ts";

export interface Output {
  event(event: FileEvent): void;
  info(text: string): void;
  warn(text: string): void;
  /** Now and then. */
  status(status: NodeStatus): void;
  close(): void;
}

export type Style = "bold" | "reset" | "yellow" | "green" | "cyan" | "red" | "magenta" | "dim";

/** Writes lines to standard output. `name`: who speaks. */
export function createLines(name: string): Output {
  const line = (style: Style, text: string): void => {
    process.stdout.write(`${timeOfDay()} ${paint("bold", name)}  ${paint(style, text)}\n`);
  };
  return {
    event: (event) => line(STYLES[event.type], describe(event)),
    info: (text) => line("reset", printable(text)),
    warn: (text) => line("yellow", printable(text)),
    status: () => undefined,
    close: () => undefined,
  };
}

/** Of JSON lines; nobody reads them as they come. */
const STATUS_EVERY_MS = 1000;

/** Writes one JSON object per line: `{ "at", "name", "type", ... }`. */
export function createJson(name: string): Output {
  let statusAtMs = 0;
  const line = (fields: object): void => {
    process.stdout.write(`${JSON.stringify({ at: new Date().toISOString(), name, ...fields })}\n`);
  };
  return {
    event: (event) => line(event),
    info: (text) => line({ type: "info", text }),
    warn: (text) => line({ type: "warning", text }),
    status: (status) => {
      if (status.atMs - statusAtMs < STATUS_EVERY_MS) return;
      statusAtMs = status.atMs;
      line({ type: "status", status });
    },
    close: () => undefined,
  };
}

/** `1234567` -> `1.2 MB` */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${Math.round(bytes)} B`;
  if (bytes < 1_000_000) return `${(bytes / 1000).toFixed(1)} kB`;
  if (bytes < 1_000_000_000) return `${(bytes / 1_000_000).toFixed(1)} MB`;
  return `${(bytes / 1_000_000_000).toFixed(1)} GB`;
}

/** `83000` -> `1 min 23 s` */
export function formatDuration(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

export function timeOfDay(): string {
  return new Date().toISOString().slice(11, 23);
}

export const STYLES: Readonly<Record<FileEvent["type"], Style>> = {
  put: "green",
  deleted: "red",
  received: "cyan",
  removed: "red",
  conflict: "magenta",
  renamed: "magenta",
  dropped: "magenta",
};

export function paint(style: Style, text: string): string {
  return process.stdout.isTTY && style !== "reset" ? styleText(style, text) : text;
}

export function describe(event: FileEvent): string {
  const size = event.bytes === undefined ? "" : ` (${formatBytes(event.bytes)})`;
  const path = printable(event.path);
  const keptAs = printable(event.keptAs ?? "?");
  switch (event.type) {
    case "put":
      return `sent      ${path}${size}`;
    case "deleted":
      return `deleted   ${path}`;
    case "received":
      return `received  ${path}${size} from ${event.nodeId ?? "?"}`;
    case "removed":
      return `removed   ${path}`;
    case "conflict":
      return `conflict  ${path}: what was here is kept as ${keptAs}`;
    case "renamed":
      return `renamed   ${path} to ${keptAs}: elsewhere it is a directory`;
    case "dropped":
      return `dropped   ${path}: there are newer conflict copies enough`;
  }
}

/** What could move the cursor is shown, not done. */
export function printable(text: string): string {
  return text.replace(
    /\p{Cc}|\p{Bidi_Control}/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
