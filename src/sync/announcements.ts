/**
 * What we tell of ourselves: all of it in hello, and later, to everybody, what has changed. Coverage is not among it: what
 * has become durable since is told by acks and claims.
 */
import type { CoreState } from "../core/core-state.ts";
import { epochOf, type Millis, nodeIdOf } from "../types.ts";
import {
  FEATURE_ACK_NOW,
  FEATURE_EPHEMERAL,
  FEATURE_SUPPLY,
  type Message,
  PROTOCOL_VERSION_MAX,
  PROTOCOL_VERSION_MIN,
} from "./messages.ts";
import type { Seats } from "./seats.ts";
import type { Session } from "./session.ts";

export interface AnnouncementsOptions {
  readonly state: CoreState;
  readonly clusterId: string;
  /** 16 hex digits, new for each process. */
  readonly incarnation: string;
  /** Whether this replica takes part in ephemeral entries. */
  readonly hasEphemeral: boolean;
  readonly seats: Seats;
  readonly send: (session: Session, message: Message) => void;
}

export class Announcements {
  readonly #options: AnnouncementsOptions;
  /** Where this replica can be dialed. The next hello says so. */
  addresses: readonly string[] = [];
  /** The revision of the frontier that everybody has been told. */
  #frontierTold: number;

  constructor(options: AnnouncementsOptions) {
    this.#options = options;
    this.#frontierTold = options.state.frontier.revision;
  }

  hello(session: Session, now: Millis): void {
    const { state, clusterId, incarnation, hasEphemeral, seats, send } = this.#options;
    send(session, {
      type: "hello",
      versionMin: PROTOCOL_VERSION_MIN,
      versionMax: PROTOCOL_VERSION_MAX,
      clusterId,
      nodeId: nodeIdOf(state.origin),
      epoch: epochOf(state.origin),
      incarnation,
      vector: [...session.told],
      addresses: this.addresses,
      links: seats.nodeIds,
      wallClock: now,
      frontier: [...state.frontier],
      features: FEATURE_SUPPLY | FEATURE_ACK_NOW | (hasEphemeral ? FEATURE_EPHEMERAL : 0),
    });
  }

  /** To one whose hello has come: the frontier may have grown since ours left. */
  frontier(session: Session): void {
    const { state, send } = this.#options;
    if (state.frontier.size > 0) send(session, { type: "frontier", vector: [...state.frontier] });
  }

  /** To everybody, if it has grown: who is told our coverage has to know it first. */
  grownFrontier(): void {
    const { state, seats, send } = this.#options;
    if (this.#frontierTold === state.frontier.revision) return;
    this.#frontierTold = state.frontier.revision;
    const vector = [...state.frontier];
    for (const session of seats.sessions) send(session, { type: "frontier", vector });
  }

  /** Whom we are connected to now, to all of them. */
  links(): void {
    const { seats, send } = this.#options;
    const links = seats.nodeIds;
    for (const session of seats.sessions) send(session, { type: "links", links });
  }
}
