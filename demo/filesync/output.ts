/** Lines for people: the time, the replica's name, what happened. Colours on a terminal only. */
import { styleText } from "node:util";
import type { FileEvent } from "./folder-sync.ts";

export interface Output {
  event(event: FileEvent): void;
  info(text: string): void;
  warn(text: string): void;
}

/** Writes lines to standard output. `name`: who speaks. */
export function createOutput(name: string): Output {
  const line = (style: Style, text: string): void => {
    const time = new Date().toISOString().slice(11, 23);
    process.stdout.write(`${time} ${paint("bold", name)}  ${paint(style, text)}\n`);
  };
  return {
    event: (event) => line(STYLES[event.type], describe(event)),
    info: (text) => line("reset", text),
    warn: (text) => line("yellow", text),
  };
}

/** `1234567` -> `1.2 MB` */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1_000_000) return `${(bytes / 1000).toFixed(1)} kB`;
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

type Style = "bold" | "reset" | "yellow" | "green" | "cyan" | "red" | "magenta";

const STYLES: Readonly<Record<FileEvent["type"], Style>> = {
  put: "green",
  deleted: "red",
  received: "cyan",
  removed: "red",
  conflict: "magenta",
  renamed: "magenta",
};

function paint(style: Style, text: string): string {
  return process.stdout.isTTY && style !== "reset" ? styleText(style, text) : text;
}

function describe(event: FileEvent): string {
  const size = event.bytes === undefined ? "" : ` (${formatBytes(event.bytes)})`;
  switch (event.type) {
    case "put":
      return `sent      ${event.path}${size}`;
    case "deleted":
      return `deleted   ${event.path}`;
    case "received":
      return `received  ${event.path}${size} from ${event.nodeId ?? "?"}`;
    case "removed":
      return `removed   ${event.path}`;
    case "conflict":
      return `conflict  ${event.path}: what was here is kept as ${event.keptAs ?? "?"}`;
    case "renamed":
      return `renamed   ${event.path} to ${event.keptAs ?? "?"}: elsewhere it is a directory`;
  }
}
