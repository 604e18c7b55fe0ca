/**
 * Processes with ephemeral entries and links between them, in ticks: the real exchange on each, with real bytes between.
 * Whoever has a world decides what happens; a message is at most `transitTicks` on its way.
 */
import { decodeMessage, encodeMessage } from "../../src/codec/messages.ts";
import { EphemeralExchange, type EphemeralPeer } from "../../src/sync/ephemeral-exchange.ts";
import type { EphemeralTotals } from "../../src/sync/ephemeral-sets.ts";
import type { Message } from "../../src/sync/messages.ts";
import type { NodeId } from "../../src/types.ts";

export const TICK_MS = 50;
export const LEASE_MS = 1000;

interface End extends EphemeralPeer {
  readonly from: Process;
  readonly to: Process;
  /** On their way to `to`, with the tick at which they have to have come. */
  readonly queue: { readonly frame: Uint8Array; readonly dueTick: number }[];
  links: ReadonlySet<NodeId>;
}

export interface Process {
  readonly nodeId: NodeId;
  exchange: EphemeralExchange<End>;
  tick: number;
  isAlive: boolean;
  /** Gets no ticks and no messages, as one that was stopped by a signal. */
  isPaused: boolean;
  /** By the nodeId of the other one. */
  readonly ends: Map<NodeId, End>;
  readonly rejects: string[];
}

export interface WorldOptions {
  readonly count: number;
  readonly transitTicks: number;
  readonly totals?: EphemeralTotals;
}

export class EphemeralWorld {
  readonly processes: readonly Process[];
  tick = 0;
  readonly #options: WorldOptions;
  #incarnations = 0;
  #sessions = 0;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.processes = Array.from({ length: options.count }, (_, n) => {
      const nodeId = `p${n}` as NodeId;
      const exchange = this.#exchange(nodeId, 0);
      return { nodeId, exchange, tick: 0, isAlive: true, isPaused: false, ends: new Map(), rejects: [] };
    });
  }

  put(process: Process, key: string, value: number | null): void {
    if (!process.isAlive || process.isPaused) return;
    process.exchange.change(key, value === null ? null : Uint8Array.of(value), process.tick);
  }

  /** "key=value@nodeId" of all that a process sees, in order. */
  seenBy({ exchange: { sets } }: Process): string[] {
    const all = [...sets.keys()].flatMap((key) =>
      sets.holdings(key).map(({ nodeId, value }) => `${key}=${String(value[0])}@${nodeId}`),
    );
    return all.sort();
  }

  /** What is right: what all that live have set. */
  truth(): string[] {
    return this.processes
      .filter(({ isAlive }) => isAlive)
      .flatMap(({ nodeId, exchange: { sets } }) =>
        [...sets.own.cells()].map(({ key, value }) => `${key}=${String(value?.[0])}@${nodeId}`),
      )
      .sort();
  }

  link(a: Process, b: Process): void {
    if (a === b || !a.isAlive || !b.isAlive || a.ends.has(b.nodeId)) return;
    const ends = [this.#end(a, b), this.#end(b, a)] as const;
    a.ends.set(b.nodeId, ends[0]);
    b.ends.set(a.nodeId, ends[1]);
    for (const end of ends) end.from.exchange.join(end);
    this.#tellLinks(a);
    this.#tellLinks(b);
  }

  /** What is on its way is lost. */
  cut(a: Process, b: Process): void {
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const end = from.ends.get(to.nodeId);
      if (end === undefined) continue;
      from.ends.delete(to.nodeId);
      from.exchange.leave(end.id);
      this.#tellLinks(from);
    }
  }

  kill(process: Process): void {
    if (!process.isAlive) return;
    process.isAlive = false;
    process.isPaused = false;
    for (const other of this.processes) this.cut(process, other);
  }

  /** @param generation  by its clock, which may be anything */
  restart(process: Process, generation: number): void {
    if (process.isAlive) return;
    process.isAlive = true;
    process.tick = 0;
    process.exchange = this.#exchange(process.nodeId, generation);
  }

  /** Says goodbye to those that it is connected to, behind all else that it has said. */
  close(process: Process): void {
    if (!process.isAlive || process.isPaused) return;
    const { incarnation } = process.exchange.sets.own.author;
    const hear = [...process.ends.values()].map(({ to }) => to).filter(({ isPaused }) => !isPaused);
    for (const other of hear) while (this.deliver(process, other));
    this.kill(process);
    for (const other of hear) other.exchange.farewell(process.nodeId, incarnation, other.tick);
  }

  /** The next message from one to the other. @returns whether there was any */
  deliver(from: Process, to: Process): boolean {
    if (to.isPaused) return false;
    const end = from.ends.get(to.nodeId);
    const next = end?.queue.shift();
    const back = to.ends.get(from.nodeId);
    if (next === undefined || back === undefined) return false;
    const decoded = decodeMessage(next.frame);
    if (decoded.type !== "message") throw new Error(`a frame that nobody understands: ${JSON.stringify(decoded)}`);
    const { message } = decoded;
    if (message.type === "links") {
      back.links = new Set(message.links);
      to.exchange.linked(back.id, to.tick);
    } else if (message.type === "ephemeral") to.exchange.receive(back, message, to.tick);
    return true;
  }

  /** A tick passes for all; what is due arrives. */
  pass(): void {
    this.tick += 1;
    for (const process of this.processes) {
      if (!process.isAlive || process.isPaused) continue;
      process.tick += 1;
      process.exchange.tick(process.tick);
    }
    for (let isDue = true; isDue; ) {
      isDue = false;
      for (const from of this.processes) {
        for (const end of [...from.ends.values()]) {
          const [next] = end.queue;
          if (next !== undefined && next.dueTick <= this.tick) isDue = this.deliver(from, end.to) || isDue;
        }
      }
    }
  }

  #exchange(nodeId: NodeId, generation: number): EphemeralExchange<End> {
    this.#incarnations += 1;
    // Neither grows nor falls with time.
    const incarnation = ((this.#incarnations * 0x9e3779b1) >>> 0).toString(16).padStart(16, "0");
    const { totals } = this.#options;
    const options = { leaseMs: LEASE_MS, generation, isReadable: () => true, tickMs: TICK_MS };
    return new EphemeralExchange({ nodeId, incarnation }, { ...options, ...(totals && { totals }) }, (end, message) =>
      this.#send(end, message),
    );
  }

  #end(from: Process, to: Process): End {
    const id = ++this.#sessions;
    const end: End = {
      id,
      from,
      to,
      queue: [],
      links: new Set(),
      isConnectedTo: (nodeId) => end.links.has(nodeId),
      reject: (reason) => void from.rejects.push(reason),
    };
    return end;
  }

  #tellLinks(process: Process): void {
    const links = [...process.ends.keys()];
    for (const end of process.ends.values()) this.#send(end, { type: "links", links });
  }

  #send(end: End, message: Message): void {
    end.queue.push({ frame: encodeMessage(message, 1), dueTick: this.tick + this.#options.transitTicks });
  }
}
