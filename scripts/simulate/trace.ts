/** What happened in a run, for people: kept only when somebody asks for it. */
import type { Message } from "../../src/sync/messages.ts";

export interface TraceEvent {
  readonly atMs: number;
  readonly host: string;
  readonly text: string;
  /** For a message: to whom. */
  readonly to?: string;
  /** When it arrived; absent: it did not. */
  arrivedMs?: number;
  readonly kind: "event" | "message" | "log" | "fault" | "digest";
}

export class Trace {
  readonly events: TraceEvent[] = [];
  now: () => number = () => 0;

  event(host: string, text: string): void {
    this.events.push({ atMs: this.now(), host, text, kind: "event" });
  }

  fault(host: string, text: string): void {
    this.events.push({ atMs: this.now(), host, text, kind: "fault" });
  }

  log(line: string): void {
    this.events.push({ atMs: this.now(), host: line.slice(0, line.indexOf(":")), text: line, kind: "log" });
  }

  digest(host: string, digest: string): void {
    this.events.push({ atMs: this.now(), host, text: digest, kind: "digest" });
  }

  /** @returns to be called when it arrives */
  frame(from: string, to: string, message: Message): () => void {
    const event: TraceEvent = { atMs: this.now(), host: from, to, text: describeMessage(message), kind: "message" };
    this.events.push(event);
    return () => {
      event.arrivedMs ??= this.now();
    };
  }

  /** The timeline as lines of text. */
  print(write: (line: string) => void): void {
    for (const { atMs, host, to, text, kind } of this.events) {
      const time = atMs.toFixed(3).padStart(11);
      if (kind === "message") write(`${time}  ${host} -> ${to ?? "?"}  ${text}`);
      else if (kind === "log") write(`${time}  ${text}`);
      else if (kind === "digest") write(`${time}  ${host} digest ${text}`);
      else write(`${time}  ${host} ${kind === "fault" ? "*** " : ""}${text}`);
    }
  }
}

function describeMessage(message: Message): string {
  switch (message.type) {
    case "hello":
      return `hello ${message.nodeId}/${message.epoch} covers ${pairs(message.vector)}`;
    case "page": {
      const entries = message.entries.map(({ key, value, origin, seq }) => {
        const name = key[0] === 0xff ? "member" : Buffer.from(key).toString("latin1");
        return `${value === null ? "-" : ""}${name} ${short(origin)}#${seq}`;
      });
      const mark = message.mark === null ? "" : ` mark ${pairs(message.mark)}`;
      const run = message.runTo === 0 ? "" : ` run (${message.runFrom}, ${message.runTo}]`;
      return `page [${entries.join(", ")}]${message.last ? "" : " more follows"}${mark}${run}`;
    }
    case "ack":
      return `ack of ${message.frames} frames, covers ${pairs(message.vector)}`;
    case "links":
      return `links ${message.links.join(", ")}`;
    case "digests":
      return `digests of ${message.buckets.length} buckets${message.list ? ", and what is in them" : ""}`;
    case "listing":
      return `listing of ${message.listed.length} buckets, ${message.entries.length} entries`;
    case "round":
      return `round ${message.number} of ${message.members.join(", ")}, low ${pairs(message.low)}, high ${pairs(message.high)}`;
    case "frontier":
      return `frontier ${pairs(message.vector)}`;
    case "ephemeral":
      return `ephemeral, of ${message.news.map(({ nodeId, version }) => `${nodeId}:${version}`).join(" ") || "nobody"}`;
    case "supply":
      return `supply, prune ${message.prune.join(", ") || "nobody"}, graft ${message.graft.join(", ") || "nobody"}`;
    case "bye":
      return `bye ${message.code}: ${message.detail}`;
    default:
      return message.type;
  }
}

function pairs(vector: readonly (readonly [string, number])[]): string {
  return vector.length === 0 ? "nothing" : vector.map(([origin, seq]) => `${short(origin)}:${seq}`).join(" ");
}

/** Node and the first digits of the epoch. */
function short(origin: string): string {
  return origin.slice(0, -12);
}
