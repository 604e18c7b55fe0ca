/** What a replica counts and measures of itself. The parts tell it what they do; metrics.ts shows what it has heard. */
import type { Ready, SessionEvent, SessionId } from "../sync/committed.ts";
import type { Message } from "../sync/messages.ts";
import { hasSubscribers, publish } from "./channels.ts";
import { BYTES_BOUNDS, COUNT_BOUNDS, DURATION_MS_BOUNDS, HistogramCounter } from "./histogram.ts";

/** Kinds of messages; `unknown` are those of a later version. */
export type MessageKind = Message["type"] | "unknown";
export type MessageCounts = Readonly<Record<MessageKind, number>>;

interface Traffic {
  readonly messages: Record<MessageKind, number>;
  bytes: number;
  entries: number;
}

export class Telemetry {
  /** Any clock that does not jump back, milliseconds. */
  readonly now: () => number;
  readonly openedAt: number;
  puts = 0;
  deletes = 0;
  batches = 0;
  expired = 0;
  checkpointFailures = 0;
  /** How often a watcher lost changes because it had fallen behind. */
  watchersLagged = 0;
  sessionsBegun = 0;
  readonly sessionEnds = new Map<string, number>();
  readonly refusedWrites = new Map<string, number>();
  readonly sent = noTraffic();
  readonly received = noTraffic();
  readonly commitMs = new HistogramCounter(DURATION_MS_BOUNDS);
  readonly commitOperations = new HistogramCounter(COUNT_BOUNDS);
  readonly recordBytes = new HistogramCounter(BYTES_BOUNDS);
  readonly syncMs = new HistogramCounter(DURATION_MS_BOUNDS);
  readonly checkpointMs = new HistogramCounter(DURATION_MS_BOUNDS);
  readonly catchUpMs = new HistogramCounter(DURATION_MS_BOUNDS);
  readonly #catchUpBegan = new Map<SessionId, number>();
  #checkpointBegan = 0;
  #nodeId = "";

  constructor(now: () => number) {
    this.now = now;
    this.openedAt = now();
  }

  /** From now on it is known whose messages these are. */
  set nodeId(nodeId: string) {
    this.#nodeId = nodeId;
  }

  /** A record has become durable. @param durationMs  `undefined`: there is no log */
  committed({ batches, ops }: Ready, durationMs: number | undefined): void {
    for (const { entries, via } of batches) {
      if (via !== undefined) continue;
      this.batches += 1;
      for (const { value } of entries) {
        if (value === null) this.deletes += 1;
        else this.puts += 1;
      }
    }
    for (const { type } of ops) if (type === "expire") this.expired += 1;
    if (durationMs !== undefined) {
      this.commitMs.record(durationMs);
      this.commitOperations.record(ops.length);
    }
    if (hasSubscribers("wavekv:commit")) {
      publish("wavekv:commit", { nodeId: this.#nodeId, operations: ops.length, durationMs: durationMs ?? 0 });
    }
  }

  /** A local write was refused. @param code  of the error */
  refused(code: string): void {
    increment(this.refusedWrites, code);
  }

  messageSent(message: Message, bytes: number): void {
    count(this.sent, message.type, message.type === "page" ? message.entries.length : 0, bytes);
  }

  messageReceived(message: Message, bytes: number): void {
    count(this.received, message.type, message.type === "page" ? message.entries.length : 0, bytes);
  }

  /** One of a kind that we do not know, or no message at all. */
  unknownReceived(bytes: number): void {
    count(this.received, "unknown", 0, bytes);
  }

  /** Something was written to the log. */
  wrote(bytes: number): void {
    this.recordBytes.record(bytes);
  }

  synced(path: string, durationMs: number): void {
    this.syncMs.record(durationMs);
    if (hasSubscribers("wavekv:sync")) publish("wavekv:sync", { nodeId: this.#nodeId, path, durationMs });
  }

  checkpoint(state: "begun" | "done" | "failed"): void {
    if (state === "begun") {
      this.#checkpointBegan = this.now();
      return;
    }
    const durationMs = this.now() - this.#checkpointBegan;
    if (state === "done") this.checkpointMs.record(durationMs);
    else this.checkpointFailures += 1;
    if (hasSubscribers("wavekv:checkpoint")) {
      publish("wavekv:checkpoint", { nodeId: this.#nodeId, ok: state === "done", durationMs });
    }
  }

  session(event: SessionEvent): void {
    // What else may happen is none of a connection's beginnings and ends.
    if (event.type === "rotated" || event.type === "progress" || event.type === "overdue" || event.type === "repaired")
      return;
    const { session, nodeId, type } = event;
    if (type === "up") {
      this.sessionsBegun += 1;
      this.#catchUpBegan.set(session, this.now());
    } else if (type === "live") {
      this.catchUpMs.record(this.now() - (this.#catchUpBegan.get(session) ?? this.now()));
    } else {
      this.#catchUpBegan.delete(session);
      increment(this.sessionEnds, event.code);
    }
    if (!hasSubscribers("wavekv:session")) return;
    publish("wavekv:session", {
      nodeId: this.#nodeId,
      type,
      ...(nodeId === undefined ? {} : { peer: nodeId }),
      ...(type === "end" ? { code: event.code, detail: event.detail } : {}),
    });
  }

  warning(message: string): void {
    if (hasSubscribers("wavekv:warning")) publish("wavekv:warning", { nodeId: this.#nodeId, message });
  }
}

function noTraffic(): Traffic {
  const known = {
    hello: 0,
    page: 0,
    ack: 0,
    links: 0,
    probe: 0,
    digests: 0,
    listing: 0,
    round: 0,
    frontier: 0,
    ephemeral: 0,
    supply: 0,
    bye: 0,
  };
  return { messages: { ...known, unknown: 0 }, bytes: 0, entries: 0 };
}

function count(traffic: Traffic, kind: MessageKind, entries: number, bytes: number): void {
  traffic.messages[kind] += 1;
  traffic.entries += entries;
  traffic.bytes += bytes;
}

function increment(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}
