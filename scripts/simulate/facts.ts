/**
 * "Sometimes" facts: what a campaign has to have reached at least once, or it proves less than it seems to. Each
 * fact has a name and a count; the lists say which ones are expected.
 */
import type { Message } from "../../src/sync/messages.ts";
import { FAULT_KINDS } from "./plan.ts";

export class Facts {
  readonly counts = new Map<string, number>();

  add(name: string, times = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + times);
  }

  merge(counts: Iterable<readonly [string, number]>): void {
    for (const [name, times] of counts) this.add(name, times);
  }

  /** Expected facts that were never seen. */
  missing(): string[] {
    return EXPECTED_FACTS.filter((name) => !this.counts.has(name));
  }
}

const RECOVERIES = [
  "created",
  "clean",
  "new epoch",
  "copied",
  "damaged",
  "torn tail",
  "set aside",
  "crash while opening",
  "refused",
];
const BYES = [
  "closing",
  "protocol-version",
  "cluster-mismatch",
  "identity-clash",
  "new-epoch",
  "duplicate",
  "bad-frame",
  "silent",
];
const PROTOCOL = [
  "hello",
  "page",
  "page with a mark",
  "page with a run",
  "page of a larger transfer",
  "entry passed on",
  "ack",
  "links",
  "probe",
  "digests",
  "listing",
  "round",
  "frontier",
  "supply",
  "prune",
  "graft",
  "tombstones collected",
  "rotation while running",
];
const FRAMES = ["blocked", "loss", "duplicate", "reorder", "damage", "cut"];
const WORK = [
  "put",
  "put with ttl",
  "put with acks",
  "delete",
  "batch",
  "clear",
  "burst",
  "checkpoint",
  "flush",
  "verify",
  "backup",
  "settled",
  "reached",
  "evict",
];
const EVENTS = ["put", "delete", "expire"];

/** A campaign of a few thousand seeds reaches every one of them. */
export const EXPECTED_FACTS: readonly string[] = [
  ...FAULT_KINDS.map((kind) => `fault: ${kind}`),
  ...FRAMES.map((name) => `frame: ${name}`),
  ...RECOVERIES.map((name) => `recovery: ${name}`),
  ...BYES.map((code) => `bye: ${code}`),
  ...PROTOCOL.map((name) => `protocol: ${name}`),
  ...WORK.map((name) => `work: ${name}`),
  ...EVENTS.map((name) => `event: ${name}`),
  "network: a ring",
  "refused: clock-ahead",
  "write rejected: ERR_STORAGE_FAILED",
  "write rejected: ERR_STORAGE_FULL",
];

/** What a message that was sent shows. @param from  nodeId of the sender */
export function factsOf(message: Message, from: string, add: (name: string) => void): void {
  add(`protocol: ${message.type}`);
  if (message.type === "bye") add(`bye: ${message.code}`);
  if (message.type === "supply" && message.prune.length > 0) add("protocol: prune");
  if (message.type === "supply" && message.graft.length > 0) add("protocol: graft");
  if (message.type !== "page") return;
  if (message.mark !== null) add("protocol: page with a mark");
  if (message.runTo > 0) add("protocol: page with a run");
  if (!message.last) add("protocol: page of a larger transfer");
  if (message.entries.some(({ origin }) => !origin.startsWith(`${from}/`))) add("protocol: entry passed on");
}
