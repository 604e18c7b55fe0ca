/** The metrics of a replica in the text format of Prometheus, version 0.0.4, which other collectors read too. */
import type { Histogram } from "./telemetry/histogram.ts";
import type { Metrics } from "./telemetry/metrics.ts";

/** What an HTTP response with this text says about it. */
export const PROMETHEUS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/**
 * One replica a page: every sample has the labels `node` and `cluster`, but the format wants each metric once, so
 * that the texts of several replicas cannot be joined. Give each a path of its own.
 *
 * Units are those that Prometheus wants: seconds and bytes. Counters end in `_total`.
 */
export function prometheusText(metrics: Metrics): string {
  return new Page(metrics).text();
}

type Labels = Readonly<Record<string, string>>;

class Page {
  readonly #metrics: Metrics;
  readonly #lines: string[] = [];

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  text(): string {
    this.#lines.length = 0;
    this.#state();
    this.#writes();
    this.#disk();
    this.#peers();
    return `${this.#lines.join("\n")}\n`;
  }

  #state(): void {
    const { health, uptimeMs, store, ephemeral, watchers, queues, clock } = this.#metrics;
    const healths = ["green", "yellow", "red"].map((state) => [{ state }, state === health ? 1 : 0] as const);
    this.#family("health", "gauge", "1 for the health that the replica has, 0 for the others.", healths);
    this.#gauge("uptime_seconds", "Since the replica was opened.", seconds(uptimeMs));
    this.#gauge("entries", "Keys with a value.", store.entries);
    this.#gauge("tombstones", "Deleted and expired keys that are kept for other replicas.", store.tombstones);
    this.#gauge("store_bytes", "Bytes of all keys and encoded values.", store.bytes);
    this.#counter("expired_total", "Entries that were removed because their time was over.", store.expired);
    this.#gauge("ephemeral_processes", "Processes that have ephemeral entries.", ephemeral.processes);
    this.#gauge("ephemeral_entries", "Ephemeral entries of all processes.", ephemeral.entries);
    this.#gauge("ephemeral_bytes", "Bytes of their keys and encoded values.", ephemeral.bytes);
    this.#gauge("watchers", "Watches that are open.", watchers.open);
    this.#counter("watchers_lagged_total", "How often a watch fell behind and lost changes.", watchers.lagged);
    this.#gauge(
      "clock_drift_seconds",
      "By how much the hybrid clock is ahead of the wall clock.",
      seconds(clock.driftMs),
    );
    this.#family(
      "queue_length",
      "gauge",
      "What waits: calls for the disk, calls for peers, refused entries for a retry.",
      [
        [{ queue: "commit" }, queues.commit],
        [{ queue: "peers" }, queues.peers],
        [{ queue: "quarantine" }, queues.quarantine],
      ],
    );
  }

  #writes(): void {
    const { writes, commits } = this.#metrics;
    this.#family("writes_total", "counter", "Keys that were written here, once durable.", [
      [{ type: "put" }, writes.puts],
      [{ type: "delete" }, writes.deletes],
    ]);
    this.#counter("batches_total", "Calls that wrote here, once durable.", writes.batches);
    this.#counters("writes_refused_total", "Calls that were refused or failed.", "code", writes.refused);
    this.#histogram(
      "commit_duration_seconds",
      "From the hand-over to the log until durable.",
      commits.durationMs,
      1000,
    );
    this.#histogram("commit_operations", "Changes to the store in one commit.", commits.operations);
  }

  #disk(): void {
    const { disk } = this.#metrics;
    this.#gauge("log_failed", "1 if nothing becomes durable any more.", disk.failed ? 1 : 0);
    this.#histogram("record_bytes", "Bytes that were written to the log at once.", disk.recordBytes);
    this.#histogram("sync_duration_seconds", "Syncs of files.", disk.syncMs, 1000);
    this.#histogram("checkpoint_duration_seconds", "Snapshots that were finished.", disk.checkpointMs, 1000);
    this.#counter("checkpoint_failures_total", "Snapshots that were not finished.", disk.checkpointFailures);
  }

  #peers(): void {
    const { messages, traffic, sessions, rejects, peers, members } = this.#metrics;
    this.#counters("messages_sent_total", "Messages to peers.", "type", messages.sent);
    this.#counters("messages_received_total", "Messages from peers.", "type", messages.received);
    this.#counter("sent_bytes_total", "Bytes of messages to peers.", traffic.bytesSent);
    this.#counter("received_bytes_total", "Bytes of messages from peers.", traffic.bytesReceived);
    this.#counter("entries_sent_total", "Entries in messages to peers.", traffic.entriesSent);
    this.#counter("entries_received_total", "Entries in messages from peers.", traffic.entriesReceived);
    this.#counter("sessions_total", "Connections on which a peer was welcomed.", sessions.begun);
    this.#counters("sessions_ended_total", "Connections that have ended.", "reason", sessions.ended);
    this.#histogram(
      "catch_up_duration_seconds",
      "Until a session had brought all of the peer.",
      sessions.catchUpMs,
      1000,
    );
    this.#counters("rejects_total", "What peers sent and was refused, retries included.", "reason", rejects);
    this.#gauge("members", "Replicas that have announced themselves, this one included.", members);
    const perPeer = (value: (peer: Metrics["peers"][string]) => number) =>
      Object.entries(peers).map(([peer, of]) => [{ peer }, value(of)] as const);
    this.#family(
      "peer_up",
      "gauge",
      "1 if the peer is connected.",
      perPeer(({ state }) => (state === "down" ? 0 : 1)),
    );
    this.#family(
      "peer_lag_entries",
      "gauge",
      "Writes that the peer has not acknowledged.",
      perPeer((peer) => peer.lagEntries),
    );
    this.#family(
      "peer_lag_seconds",
      "gauge",
      "For how long a connected peer lacks something.",
      perPeer((peer) => seconds(peer.lagMs)),
    );
  }

  #gauge(name: string, help: string, value: number): void {
    this.#family(name, "gauge", help, [[{}, value]]);
  }

  #counter(name: string, help: string, value: number): void {
    this.#family(name, "counter", help, [[{}, value]]);
  }

  #counters(name: string, help: string, label: string, values: Readonly<Record<string, number>>): void {
    const samples = Object.entries(values).map(([value, count]) => [{ [label]: value }, count] as const);
    this.#family(name, "counter", help, samples);
  }

  /** @param divisor  from the unit of the histogram to that of the page */
  #histogram(name: string, help: string, { bounds, counts, count, sum }: Histogram, divisor = 1): void {
    const bucket = `${PREFIX}${name}_bucket`;
    this.#head(name, "histogram", help);
    let below = 0;
    for (const [index, bound] of bounds.entries()) {
      below += counts[index] ?? 0;
      this.#sample(bucket, { le: String(bound / divisor) }, below);
    }
    this.#sample(bucket, { le: "+Inf" }, count);
    this.#sample(`${PREFIX}${name}_sum`, {}, sum / divisor);
    this.#sample(`${PREFIX}${name}_count`, {}, count);
  }

  /** A metric of which there are no samples yet is left out. */
  #family(
    name: string,
    type: "gauge" | "counter",
    help: string,
    samples: readonly (readonly [Labels, number])[],
  ): void {
    if (samples.length === 0) return;
    this.#head(name, type, help);
    for (const [labels, value] of samples) this.#sample(`${PREFIX}${name}`, labels, value);
  }

  #head(name: string, type: string, help: string): void {
    this.#lines.push(`# HELP ${PREFIX}${name} ${help}`, `# TYPE ${PREFIX}${name} ${type}`);
  }

  #sample(name: string, labels: Labels, value: number): void {
    const { nodeId, clusterId } = this.#metrics;
    const all = Object.entries({ node: nodeId, cluster: clusterId, ...labels });
    this.#lines.push(`${name}{${all.map(([label, text]) => `${label}="${quoted(text)}"`).join(",")}} ${value}`);
  }
}

const PREFIX = "wavekv_";

function quoted(text: string): string {
  return text.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n");
}

function seconds(ms: number): number {
  return ms / 1000;
}
