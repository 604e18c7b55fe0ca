/** What the page knows at the moment, as signals: views read them and are drawn again when they change. */
import { signal } from "@preact/signals";
import type { ChangeView, CountersView, Frame, Snapshot } from "../wire.ts";
import { type Pulse, pulsesOf } from "./model.ts";

const CHANGES_KEPT_MAX = 300;
const SAMPLES_KEPT_MAX = 750;

export const connection = signal<"opening" | "live" | "lost" | "refused">("opening");
/** Why it is not live, if the process has said so. */
export const connectionDetail = signal("");
export const snapshot = signal<Snapshot | undefined>(undefined);
/** Time of the process, milliseconds since 1970. */
export const now = signal(0);
/** Newest first. */
export const changes = signal<readonly ChangeView[]>([]);
/** Changes that passed too fast to be shown. */
export const missed = signal(0);
/** Of the last frame. */
export const freshChanges = signal<readonly ChangeView[]>([]);
export const pulses = signal<readonly Pulse[]>([]);
export const samples = signal<readonly Sample[]>([]);

/** Rates since the sample before, per second, and what is counted at the moment. */
export interface Sample {
  readonly at: number;
  readonly puts: number;
  readonly deletes: number;
  readonly entriesIn: number;
  readonly entriesOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly messagesIn: number;
  readonly messagesOut: number;
  /** The mean of the commits since, milliseconds; null: there were none. */
  readonly commitMs: number | null;
  readonly entries: number;
  /** Of the peer that lacks most. */
  readonly behind: number;
}

export function takeFrame(frame: Frame): void {
  const before = snapshot.peek();
  // The first frame of a connection has all parts.
  const next = { ...before, ...frame.snapshot } as Snapshot;
  if (before !== undefined) {
    pulses.value = pulsesOf(before, next);
    const sample = sampleOf(before, next, now.peek(), frame.at);
    if (sample !== undefined) samples.value = [...samples.peek().slice(1 - SAMPLES_KEPT_MAX), sample];
  }
  now.value = frame.at;
  snapshot.value = next;
  freshChanges.value = frame.changes;
  missed.value += frame.missed;
  if (frame.changes.length > 0) {
    changes.value = [...frame.changes.toReversed(), ...changes.peek()].slice(0, CHANGES_KEPT_MAX);
  }
}

function sampleOf(before: Snapshot, next: Snapshot, atBefore: number, at: number): Sample | undefined {
  const [a, b] = [before.replica.counters, next.replica.counters];
  const seconds = (at - atBefore) / 1000;
  // The process was started again, or its clock was set back.
  if (seconds <= 0 || next.replica.uptimeMs < before.replica.uptimeMs) return undefined;
  const rate = (
    name: "puts" | "deletes" | "entriesIn" | "entriesOut" | "bytesIn" | "bytesOut" | "messagesIn" | "messagesOut",
  ) => Math.max(0, b[name] - a[name]) / seconds;
  return {
    at: at / 1000,
    puts: rate("puts"),
    deletes: rate("deletes"),
    entriesIn: rate("entriesIn"),
    entriesOut: rate("entriesOut"),
    bytesIn: rate("bytesIn"),
    bytesOut: rate("bytesOut"),
    messagesIn: rate("messagesIn"),
    messagesOut: rate("messagesOut"),
    commitMs: meanCommit(a, b),
    entries: next.replica.entries,
    behind: Math.max(0, ...next.replica.peers.map(({ lagEntries }) => lagEntries)),
  };
}

function meanCommit(a: CountersView, b: CountersView): number | null {
  return b.commits > a.commits ? (b.commitMs - a.commitMs) / (b.commits - a.commits) : null;
}
