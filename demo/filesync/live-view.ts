/** The view on a terminal: peers, queue, rates, what is on its way, conflicts, and the last that happened. */
import type { FileEvent } from "./folder-sync.ts";
import {
  describe,
  formatBytes,
  formatDuration,
  type Output,
  paint,
  printable,
  STYLES,
  type Style,
  timeOfDay,
} from "./output.ts";
import type { DownloadStatus, NodeStatus } from "./status.ts";

interface Line {
  readonly style: Style;
  readonly text: string;
}

export interface Rates {
  readonly sentPerSecond: number;
  readonly receivedPerSecond: number;
}

const BAR_CELLS = 24;
const DOWNLOADS_SHOWN = 5;
const CONFLICTS_SHOWN = 4;
const PROBLEMS_SHOWN = 3;
const RECENT_MAX = 100;
const ALTERNATE_SCREEN = "\x1b[?1049h\x1b[?25l";
const NORMAL_SCREEN = "\x1b[?25h\x1b[?1049l";

/** Draws on standard output, which must be a terminal, until closed; then the terminal is as it was. */
export function createLiveView(): Output {
  const recent: Line[] = [];
  let status: NodeStatus | undefined;
  let rates: Rates = { sentPerSecond: 0, receivedPerSecond: 0 };
  let isClosed = false;
  const draw = (): void => {
    if (status === undefined || isClosed) return;
    const { columns, rows } = process.stdout;
    const lines = render(status, rates, recent, columns, rows);
    const text = lines.map(({ style, text: line }) => `${paint(style, cut(line, columns))}\x1b[K`).join("\n");
    process.stdout.write(`\x1b[H${text}\x1b[J`);
  };
  const say = (style: Style, text: string): void => {
    recent.push({ style, text: `${timeOfDay().slice(0, 8)}  ${text}` });
    if (recent.length > RECENT_MAX) recent.shift();
  };
  const restore = (): void => {
    if (!isClosed) process.stdout.write(NORMAL_SCREEN);
    isClosed = true;
  };
  process.stdout.write(ALTERNATE_SCREEN);
  process.stdout.on("resize", draw);
  process.once("exit", restore);
  return {
    event: (event: FileEvent) => say(STYLES[event.type], describe(event)),
    info: (text) => say("reset", printable(text)),
    warn: (text) => say("yellow", printable(text)),
    status: (next) => {
      if (status !== undefined) rates = ratesBetween(status, next);
      status = next;
      draw();
    },
    close: () => {
      process.stdout.off("resize", draw);
      process.off("exit", restore);
      restore();
    },
  };
}

/** The lines of the view, at most `rows`. Pure. */
export function render(
  status: NodeStatus,
  rates: Rates,
  recent: readonly Line[],
  columns: number,
  rows: number,
): readonly Line[] {
  const lines: Line[] = [{ style: "bold", text: `filesync  ${status.name}  ${status.address}  ${status.folder}` }];
  const say = (text: string, style: Style = "reset"): void => {
    lines.push({ style, text });
  };
  const { waiting, traffic } = status;
  const state = status.isIdle
    ? "up to date"
    : `${status.due} to look at, ${waiting.files} to receive (${formatBytes(waiting.bytes)})`;
  say(
    `${state}   ${count(status.files, "entry", "entries")}   index ${formatBytes(status.indexBytes)}`,
    status.isIdle ? "green" : "cyan",
  );
  say(
    `sent ${formatBytes(traffic.bytesSent)} (${formatBytes(rates.sentPerSecond)}/s)   received ${formatBytes(traffic.bytesReceived)} (${formatBytes(rates.receivedPerSecond)}/s)`,
  );
  say("");
  say(status.peers.length === 0 ? "no peers: waits for somebody to connect" : "peers", "bold");
  for (const { name, state: peerState, lagEntries } of status.peers)
    say(
      `  ${name.padEnd(20)} ${peerState}${lagEntries > 0 ? `, ${lagEntries} behind` : ""}`,
      peerState === "live" ? "green" : "yellow",
    );
  if (status.downloads.length > 0) {
    say("");
    say("on the way", "bold");
    for (const download of status.downloads.slice(0, DOWNLOADS_SHOWN))
      say(`  ${progressLine(download, columns - 2)}`, "cyan");
    more(status.downloads.length, DOWNLOADS_SHOWN);
  }
  if (status.heldDeletions > 0) {
    say("");
    say(`${status.heldDeletions} deletions held back: put the files back, or start with --allow-mass-delete`, "red");
  }
  if (status.conflicts.length > 0) {
    say("");
    say(`${count(status.conflicts.length, "conflict copy", "conflict copies")}: look, merge, delete`, "bold");
    for (const { keptAs } of status.conflicts.slice(0, CONFLICTS_SHOWN)) say(`  ${printable(keptAs)}`, "magenta");
    more(status.conflicts.length, CONFLICTS_SHOWN);
  }
  if (status.problems.length > 0) {
    say("");
    say(`not synchronised: ${status.problems.length}`, "bold");
    for (const { path, reason } of status.problems.slice(-PROBLEMS_SHOWN))
      say(`  ${printable(path)}: it ${printable(reason)}`, "yellow");
    more(status.problems.length, PROBLEMS_SHOWN);
  }
  say("");
  const room = Math.max(0, rows - lines.length - 1);
  lines.push(...(room === 0 ? [] : recent.slice(-room)));
  return lines.slice(0, Math.max(1, rows - 1));

  function more(total: number, shown: number): void {
    if (total > shown) say(`  and ${total - shown} more`, "dim");
  }
}

/** `photo.raw  [########........]  48 %  96.0 of 200.0 MB  31.2 MB/s  4 s` */
export function progressLine(download: DownloadStatus, columns: number): string {
  const { path, bytes, totalBytes, bytesPerSecond, remainingMs } = download;
  const part = totalBytes === 0 ? 1 : bytes / totalBytes;
  const full = Math.floor(part * BAR_CELLS);
  const bar = `[${"#".repeat(full)}${".".repeat(BAR_CELLS - full)}]`;
  const rest = remainingMs === undefined ? "waits for somebody who has it" : `${formatDuration(remainingMs)} left`;
  const figures = `${bar} ${String(Math.floor(part * 100)).padStart(3)} %  ${formatBytes(totalBytes)}  ${formatBytes(bytesPerSecond)}/s  ${rest}`;
  const room = Math.max(12, columns - figures.length - 2);
  return `${cut(printable(path), room).padEnd(Math.min(room, 40))}  ${figures}`;
}

/** Cuts what does not fit; the end of a path tells more than its middle. */
function cut(text: string, columns: number): string {
  const characters = Array.from(text);
  if (characters.length <= columns) return text;
  const head = Math.ceil((columns - 3) / 2);
  return `${characters.slice(0, head).join("")}...${characters.slice(characters.length - (columns - 3 - head)).join("")}`;
}

function ratesBetween(before: NodeStatus, after: NodeStatus): Rates {
  const seconds = Math.max(0.001, (after.atMs - before.atMs) / 1000);
  return {
    sentPerSecond: (after.traffic.bytesSent - before.traffic.bytesSent) / seconds,
    receivedPerSecond: (after.traffic.bytesReceived - before.traffic.bytesReceived) / seconds,
  };
}

function count(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`;
}
