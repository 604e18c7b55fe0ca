import { describe, expect, test } from "vitest";
import { progressLine, render } from "../../../demo/filesync/live-view.ts";
import { describe as describeEvent, formatBytes, formatDuration } from "../../../demo/filesync/output.ts";
import type { NodeStatus } from "../../../demo/filesync/status.ts";

const quiet: NodeStatus = {
  name: "a",
  address: "ws://127.0.0.1:7001",
  folder: "/notes",
  pid: 1,
  atMs: 0,
  isIdle: true,
  health: "green",
  reasons: [],
  digest: "0123456789abcdef",
  peers: [],
  files: 1,
  due: 0,
  waiting: { files: 0, bytes: 0 },
  asked: 0,
  downloads: [],
  conflicts: [],
  problems: [],
  heldDeletions: 0,
  traffic: { bytesSent: 0, bytesReceived: 1500 },
  indexBytes: 300,
};
const rates = { sentPerSecond: 0, receivedPerSecond: 1_000_000 };
const text = (status: NodeStatus, rows = 40): string =>
  render(status, rates, [], 100, rows)
    .map((line) => line.text)
    .join("\n");

describe("the live view", () => {
  test("says how it is, and shows only what there is", () => {
    expect(text(quiet)).toBe(
      [
        "filesync  a  ws://127.0.0.1:7001  /notes",
        "up to date   1 entry   index 300 B",
        "sent 0 B (0 B/s)   received 1.5 kB (1.0 MB/s)",
        "",
        "no peers: waits for somebody to connect",
        "",
      ].join("\n"),
    );
  });

  test("shows peers, the queue, conflicts, problems and what is held back, and how many more there are", () => {
    const busy: NodeStatus = {
      ...quiet,
      isIdle: false,
      due: 3,
      waiting: { files: 2, bytes: 5_000_000 },
      peers: [{ name: "b", state: "live", lagEntries: 7 }],
      conflicts: Array.from({ length: 6 }, (_, index) => ({
        keptAs: `f${index}.conflict-12345678`,
        path: `f${index}`,
      })),
      problems: [{ path: "x\u001b[2J", reason: "has a control character" }],
      heldDeletions: 51,
    };
    const shown = text(busy);
    expect(shown).toContain("3 to look at, 2 to receive (5.0 MB)");
    expect(shown).toMatch(/b +live, 7 behind/);
    expect(shown).toContain("6 conflict copies: look, merge, delete");
    expect(shown).toContain("and 2 more");
    expect(shown).toContain("51 deletions held back");
    // A name cannot move the cursor.
    expect(shown).toContain("x\\u001b[2J: it has a control character");
  });

  test("never has more lines than the terminal", () => {
    const recent = Array.from({ length: 50 }, (_, index) => ({ style: "reset", text: `event ${index}` }) as const);
    for (const rows of [1, 5, 6, 7, 24]) {
      const lines = render(quiet, rates, recent, 80, rows);
      expect(lines.length).toBeLessThanOrEqual(Math.max(1, rows - 1));
      if (rows === 24) expect(lines.at(-1)?.text).toBe("event 49");
    }
  });
});

test.each([
  [{ bytes: 0, bytesPerSecond: 0 }, "[........................]   0 %  200.0 MB  0 B/s  waits for somebody who has it"],
  [
    { bytes: 100_000_000, bytesPerSecond: 1e6, remainingMs: 100_000 },
    "[############............]  50 %  200.0 MB  1.0 MB/s  1 min 40 s left",
  ],
  [
    { bytes: 200_000_000, bytesPerSecond: 1e6, remainingMs: 0 },
    "[########################] 100 %  200.0 MB  1.0 MB/s  0 s left",
  ],
])("a bar for %o", (progress, expected) => {
  const line = progressLine({ path: `${"d/".repeat(100)}film`, totalBytes: 200_000_000, ...progress }, 100);
  expect(line).toContain(expected);
  expect(line).toMatch(/^d\/.*\.\.\..*film /);
});

test.each([
  [999, "999 B"],
  [1000, "1.0 kB"],
  [1_234_567, "1.2 MB"],
  [5_000_000_000, "5.0 GB"],
])("%i bytes are %s", (bytes, expected) => {
  expect(formatBytes(bytes)).toBe(expected);
});

test.each([
  [1, "1 s"],
  [59_001, "1 min 0 s"],
  [3_600_000, "1 h 0 min"],
])("%i ms are %s", (ms, expected) => {
  expect(formatDuration(ms)).toBe(expected);
});

test("a name in a line cannot move the cursor, nor turn the text around", () => {
  expect(describeEvent({ type: "removed", path: "a\u001b[2Jb\u202ec" })).toBe("removed   a\\u001b[2Jb\\u202ec");
});
