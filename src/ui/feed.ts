/**
 * What one open page is told, line by line. A line is made when the page has taken the one before and a while has
 * passed; what happens in between is merged, and changes that would be too many are counted instead. So a page that
 * reads slowly, or not at all, costs a bounded amount of memory, and one that nobody has open costs nothing.
 */
import type { Timers, WallClock } from "../clock.ts";
import type { Replica } from "../replica.ts";
import type { ChangeEvent } from "../watch/watch-events.ts";
import type { Conflicts } from "./conflicts.ts";
import { fileConflicts, offersOf, readExtras, type UiExtras } from "./extras.ts";
import { changeView, replicaView } from "./view.ts";
import type { Frame, Snapshot } from "./wire.ts";

export interface FeedOptions {
  readonly replica: Replica;
  readonly extras: UiExtras;
  readonly conflicts: Conflicts;
  readonly clock: WallClock;
  readonly timers: Timers;
}

/** Between two lines. */
const FRAME_MS = 400;
const CHANGES_MAX = 100;

/**
 * Lines until the signal aborts, or the replica is closed, which throws. The consumer asks for the next one when it
 * has got rid of the one before.
 */
export async function* feed(options: FeedOptions, signal: AbortSignal): AsyncGenerator<string> {
  const { replica, clock, timers } = options;
  const changes = new NewestChanges();
  const stop = replica.on("change", (change) => changes.add(change));
  const sent = new Map<string, string>();
  try {
    while (!signal.aborted) {
      const taken = changes.take();
      const frame: Frame = {
        at: clock.now(),
        snapshot: newParts(snapshotOf(options), sent),
        changes: taken.changes.map(changeView),
        missed: taken.missed,
      };
      yield `${JSON.stringify(frame)}\n`;
      await pause(FRAME_MS, timers, signal);
    }
  } finally {
    stop();
  }
}

/** The newest ones, and how many older ones there were. */
class NewestChanges {
  #changes: ChangeEvent[] = [];
  #missed = 0;

  add(change: ChangeEvent): void {
    this.#changes.push(change);
    if (this.#changes.length < 2 * CHANGES_MAX) return;
    this.#missed += CHANGES_MAX;
    this.#changes = this.#changes.slice(-CHANGES_MAX);
  }

  take(): { changes: readonly ChangeEvent[]; missed: number } {
    const changes = this.#changes.slice(-CHANGES_MAX);
    const missed = this.#missed + this.#changes.length - changes.length;
    this.#changes = [];
    this.#missed = 0;
    return { changes, missed };
  }
}

function snapshotOf({ replica, extras, conflicts }: FeedOptions): Snapshot {
  const ofFiles = fileConflicts(extras);
  return {
    replica: replicaView(replica),
    offers: offersOf(extras),
    ...readExtras(extras, replica.nodeId),
    conflicts: [...ofFiles, ...conflicts.newest()],
    conflictsTotal: ofFiles.length + conflicts.total,
  };
}

/** The parts that are not as they were sent last; remembers them as sent. */
function newParts(snapshot: Snapshot, sent: Map<string, string>): Partial<Snapshot> {
  const parts = Object.entries(snapshot).filter(([name, part]) => {
    const text = JSON.stringify(part);
    if (sent.get(name) === text) return false;
    sent.set(name, text);
    return true;
  });
  return Object.fromEntries(parts);
}

/** Ends early when the signal aborts. */
function pause(delayMs: number, timers: Timers, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      cancel();
      signal.removeEventListener("abort", done);
      resolve();
    };
    const cancel = timers.after(delayMs, done);
    if (signal.aborted) done();
    else signal.addEventListener("abort", done);
  });
}
