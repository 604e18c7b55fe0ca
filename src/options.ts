/** The options of `openReplica`: what may be given, and what is refused. */
import { checkFlag, checkTimeout, inRange, knownFields, optionError } from "./arguments.ts";
import type { Timers, WallClock } from "./clock.ts";
import { STAMP_MILLIS_MAX } from "./hybrid-logical-clock.ts";
import { type Kind, kindOf, type MergeKind } from "./layers/merge-kinds.ts";
import {
  BATCH_BYTES_MAX,
  BATCH_ENTRIES_MAX,
  DRIFT_MS_MAX,
  EPHEMERAL_LEASE_MS,
  EPHEMERAL_LEASE_MS_MAX,
  EPHEMERAL_LEASE_MS_MIN,
  KEY_BYTES_MAX,
  KEYS_MAX,
  PEERS_MAX,
  PEERS_MIN,
  PEERS_STANDARD,
  PROBE_MS,
  PROBE_MS_MAX,
  PROBE_MS_MIN,
  STORE_BYTES_MAX,
  VALUE_BYTES_MAX,
} from "./limits.ts";
import type { Random } from "./random.ts";
import type { Disk } from "./storage/disk.ts";
import type { RecoveryProgress } from "./storage/recovery.ts";
import type { Transport } from "./transport.ts";
import { isNodeId, type NodeId } from "./types.ts";

/** Bounds on what the store takes, from the embedder and from peers alike. All inclusive. */
export interface Limits {
  /** Bytes of UTF-8. Default and most: 1,024. */
  readonly maxKeyBytes?: number;
  /** Bytes of the encoded value. Default 1 MiB, at most 8 MiB. */
  readonly maxValueBytes?: number;
  /** Keys in the store, deleted ones included as long as their tombstones are kept. Default 16,000,000. */
  readonly maxKeys?: number;
  /** Bytes of all keys and encoded values. Default 8 GiB. */
  readonly maxBytes?: number;
  /** Operations of one batch. Default 10,000. */
  readonly maxBatch?: number;
}

export interface Logger {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

/**
 * What an awaited write survives. `"always"`: process crash, system crash and power loss.
 * `{ intervalMs }`: process crash; power loss takes at most the last interval. `"os"`: process crash only.
 */
export type Durability = "always" | "os" | { readonly intervalMs: number };

/** A write as `admit` gets it. */
export interface AdmitEntry {
  readonly key: string;
  /** `undefined`: a delete. */
  readonly value: unknown;
  /** Who wrote it. */
  readonly nodeId: string;
  /** Milliseconds since 1970. Absent: never. */
  readonly expiresAt?: number;
}

export type Admit = (entry: AdmitEntry, peer: string | undefined) => boolean;

/** A peer brings what this replica has missed. */
export interface CatchUpProgress {
  readonly phase: "catch-up";
  /** Who brings it. */
  readonly nodeId: string;
  /** That have come so far, and that may come at most: what was overwritten does not. */
  readonly entries: number;
  readonly entriesTotal: number;
}

export type Progress = RecoveryProgress | CatchUpProgress;

export interface ReplicaOptions {
  /** Where the data is kept; created if absent. Default: nowhere, memory only. */
  readonly directory?: string;
  /** The replica's name, 1 to 64 bytes. Default: made once, and kept in the directory. */
  readonly nodeId?: string;
  /** Replicas of different clusters never mix. 1 to 64 bytes, default "default". */
  readonly clusterId?: string;
  /** How to reach other replicas. Default: not at all. */
  readonly transport?: Transport;
  /** Default "always". Without a directory it does not apply. */
  readonly durability?: Durability;
  readonly limits?: Limits;
  /**
   * How concurrent writes of a key are put together, by prefix of the key; the longest one decides. Has to be the same on
   * all replicas, and to stay the same: see README, "Merging". Default: the last write stays.
   */
  readonly merge?: Readonly<Record<string, MergeKind>>;
  /** How far ahead of our wall clock a write of a peer may be stamped, milliseconds. Default 60,000. */
  readonly maxDriftMs?: number;
  /**
   * Connections to other replicas at one time, 3 to 1,024. Default 64. One more is refused, and goes elsewhere, or takes
   * the place of one that is reached otherwise too. A cluster of any size works with any number.
   */
  readonly maxPeers?: number;
  /**
   * Asked about every write, of this replica (`peer` is undefined) and of peers; `false` refuses it. A local write rejects
   * with ERR_LIMIT; one of a peer is counted under the reason `admit`, turns `status()` yellow, and is tried again every
   * second: until all replicas agree on it, they differ. Has to answer at once, always alike, and must not write. About a key that
   * is merged it is asked with the value that the key would have here, which differs between replicas while they exchange
   * writes: decide about such keys by key and author.
   */
  readonly admit?: Admit;
  /**
   * How often a connection on which nothing happens compares digests, and shows that it is alive, milliseconds. 50 to
   * 10,000, default 5,000.
   */
  readonly syncIntervalMs?: number;
  /**
   * A member that nobody has heard of for so long no longer keeps deletes from being collected, milliseconds. Default:
   * for ever. At least 60,000.
   */
  readonly memberLeaseMs?: number;
  /**
   * For how long the ephemeral entries of this process outlive it, should it be killed or cut off, milliseconds. It shows
   * that it lives four times as often. 1,000 to 3,600,000, default 10,000.
   */
  readonly ephemeralLeaseMs?: number;
  /**
   * Open only once a peer has brought all that it had, or at the deadline, whichever comes first; the deadline is a
   * warning. `true` stands for a deadline of 10,000 ms. Default false. Needs a transport.
   */
  readonly waitForSync?: boolean | { readonly timeoutMs: number };
  /** Refuse a damaged directory, instead of setting the damaged file aside and healing from peers. Default false. */
  readonly strict?: boolean;
  /** Only read a directory that nobody holds; writes reject with ERR_READ_ONLY. Default false. */
  readonly readOnly?: boolean;
  /** Default: warnings and errors go to the console. */
  readonly logger?: Logger;
  /** Called now and then while a long recovery goes on, and while a peer brings what this replica has missed. */
  readonly onProgress?: (progress: Progress) => void;
  /** For tests: the wall clock, timers, randomness and the disk. */
  readonly clock?: WallClock;
  readonly timers?: Timers;
  readonly random?: Random;
  readonly disk?: Disk;
}

const OPTION_NAMES: readonly string[] = [
  "directory",
  "nodeId",
  "clusterId",
  "transport",
  "durability",
  "limits",
  "merge",
  "maxDriftMs",
  "maxPeers",
  "admit",
  "syncIntervalMs",
  "memberLeaseMs",
  "ephemeralLeaseMs",
  "waitForSync",
  "strict",
  "readOnly",
  "logger",
  "onProgress",
  "clock",
  "timers",
  "random",
  "disk",
] satisfies (keyof ReplicaOptions)[];

export interface CheckedOptions {
  readonly nodeId: NodeId | undefined;
  readonly clusterId: string;
  readonly durability: Durability;
  readonly limits: Required<Limits>;
  /** By prefix; `undefined` for the kind "lww". */
  readonly merge: ReadonlyMap<string, Kind | undefined>;
  readonly maxDriftMs: number;
  readonly maxPeers: number;
  readonly syncIntervalMs: number;
  readonly memberLeaseMs: number | undefined;
  readonly ephemeralLeaseMs: number;
  /** How long opening waits for a peer's data; `undefined`: not at all. */
  readonly syncTimeoutMs: number | undefined;
}

const SYNC_TIMEOUT_MS = 10_000;
const MEMBER_LEASE_MS_MIN = 60_000;
const CLUSTER_ID_BYTES_MAX = 64;
const MERGE_PREFIX_BYTES_MAX = 128;
const MERGE_PREFIXES_MAX = 64;
const INTERVAL_MS_MAX = 60_000;
const VALUE_BYTES_LIMIT = BATCH_BYTES_MAX;

/** @throws ReplicaError ERR_OPTION, naming the option and what it takes */
export function checkOptions(options: ReplicaOptions): CheckedOptions {
  knownFields(options, OPTION_NAMES, "openReplica");
  const { directory, nodeId, clusterId = "default", durability = "always", readOnly, transport } = options;
  checkFlag("strict", options.strict ?? false);
  checkFlag("readOnly", readOnly ?? false);
  checkPorts(options);
  if (directory !== undefined && (typeof directory !== "string" || directory === "")) {
    throw optionError("directory", "a path");
  }
  if (nodeId !== undefined && !isNodeId(nodeId)) {
    throw optionError("nodeId", "a name of 1 to 64 bytes without control characters");
  }
  if (!isClusterId(clusterId)) throw optionError("clusterId", `a name of 1 to ${CLUSTER_ID_BYTES_MAX} bytes`);
  if (readOnly === true && directory === undefined) throw optionError("readOnly", "a directory to read");
  if (readOnly === true && transport !== undefined) {
    throw optionError("readOnly", "no transport: it takes part in nothing");
  }
  checkDurability(durability);
  if (options.admit !== undefined && typeof options.admit !== "function") throw optionError("admit", "a function");
  if (options.onProgress !== undefined && typeof options.onProgress !== "function") {
    throw optionError("onProgress", "a function");
  }
  const { syncIntervalMs = PROBE_MS, memberLeaseMs, ephemeralLeaseMs = EPHEMERAL_LEASE_MS } = options;
  return {
    nodeId,
    clusterId,
    durability,
    limits: checkLimits(options.limits ?? {}),
    merge: checkMerge(options.merge === undefined ? {} : options.merge),
    maxDriftMs: inRange("maxDriftMs", options.maxDriftMs ?? DRIFT_MS_MAX, 1000, 2 ** 40),
    maxPeers: inRange("maxPeers", options.maxPeers ?? PEERS_STANDARD, PEERS_MIN, PEERS_MAX),
    syncIntervalMs: inRange("syncIntervalMs", syncIntervalMs, PROBE_MS_MIN, PROBE_MS_MAX),
    memberLeaseMs:
      memberLeaseMs === undefined
        ? undefined
        : inRange("memberLeaseMs", memberLeaseMs, MEMBER_LEASE_MS_MIN, Number.MAX_SAFE_INTEGER),
    ephemeralLeaseMs: inRange("ephemeralLeaseMs", ephemeralLeaseMs, EPHEMERAL_LEASE_MS_MIN, EPHEMERAL_LEASE_MS_MAX),
    syncTimeoutMs: checkWaitForSync(options.waitForSync ?? false, transport !== undefined),
  };
}

/** How long to wait; `undefined`: not at all. @throws ReplicaError ERR_OPTION */
function checkWaitForSync(wait: unknown, hasTransport: boolean): number | undefined {
  if (wait === false) return undefined;
  if (!hasTransport) throw optionError("waitForSync", "a transport: nobody else can bring anything");
  if (wait === true) return SYNC_TIMEOUT_MS;
  if (typeof wait !== "object" || wait === null || !("timeoutMs" in wait)) {
    throw optionError("waitForSync", "true, false or { timeoutMs }");
  }
  knownFields(wait, ["timeoutMs"], "waitForSync");
  checkTimeout(wait.timeoutMs);
  return wait.timeoutMs;
}

function isClusterId(value: unknown): boolean {
  if (typeof value !== "string" || value === "" || !value.isWellFormed()) return false;
  return Buffer.byteLength(value) <= CLUSTER_ID_BYTES_MAX;
}

/** What an object given as an option has to be able to do. */
const PORT_METHODS = {
  transport: ["listen", "seeds", "dial", "close"],
  logger: ["debug", "info", "warn", "error"],
  clock: ["now"],
  timers: ["after"],
  random: ["hex64", "fraction"],
  disk: ["makeDirectory", "list", "open", "create", "rename", "remove", "syncDirectory", "fingerprint", "lock"],
} as const satisfies Partial<Record<keyof ReplicaOptions, readonly string[]>>;

function checkPorts(options: ReplicaOptions): void {
  for (const [name, methods] of Object.entries(PORT_METHODS)) {
    const port: unknown = options[name as keyof typeof PORT_METHODS];
    if (port === undefined) continue;
    const isPort = typeof port === "object" && port !== null;
    const missing = methods.filter((method) => !isPort || typeof Reflect.get(port, method) !== "function");
    if (missing.length > 0) throw optionError(name, `an object with ${methods.join(", ")}`);
  }
  const { clock, onProgress } = options;
  if (clock !== undefined) inRange("the time of clock", Math.floor(clock.now()), 0, STAMP_MILLIS_MAX);
  if (onProgress !== undefined && typeof onProgress !== "function") throw optionError("onProgress", "a function");
}

function checkDurability(durability: unknown): void {
  if (durability === "always" || durability === "os") return;
  if (typeof durability === "object" && durability !== null && "intervalMs" in durability) {
    knownFields(durability, ["intervalMs"], "durability");
    inRange("durability.intervalMs", durability.intervalMs, 1, INTERVAL_MS_MAX);
    return;
  }
  throw optionError("durability", '"always", "os" or { intervalMs }');
}

function checkMerge(merge: Readonly<Record<string, MergeKind>>): ReadonlyMap<string, Kind | undefined> {
  if (typeof merge !== "object" || merge === null) throw optionError("merge", "an object of merge kinds by prefix");
  const kinds = new Map<string, Kind | undefined>();
  for (const [prefix, kind] of Object.entries(merge)) {
    if (prefix === "" || !prefix.isWellFormed() || Buffer.byteLength(prefix) > MERGE_PREFIX_BYTES_MAX) {
      throw optionError("merge", `prefixes of 1 to ${MERGE_PREFIX_BYTES_MAX} bytes`);
    }
    kinds.set(prefix, kindOf(kind));
  }
  if (kinds.size > MERGE_PREFIXES_MAX) throw optionError("merge", `at most ${MERGE_PREFIXES_MAX} prefixes`);
  return kinds;
}

function checkLimits(limits: Limits): Required<Limits> {
  knownFields(limits, ["maxKeyBytes", "maxValueBytes", "maxKeys", "maxBytes", "maxBatch"], "limits");
  const whole = (name: keyof Limits, standard: number, most: number): number => {
    return inRange(`limits.${name}`, limits[name] ?? standard, 1, most);
  };
  return {
    maxKeyBytes: whole("maxKeyBytes", KEY_BYTES_MAX, KEY_BYTES_MAX),
    maxValueBytes: whole("maxValueBytes", VALUE_BYTES_MAX, VALUE_BYTES_LIMIT),
    maxKeys: whole("maxKeys", KEYS_MAX, KEYS_MAX),
    maxBytes: whole("maxBytes", STORE_BYTES_MAX, STORE_BYTES_MAX),
    maxBatch: whole("maxBatch", BATCH_ENTRIES_MAX, BATCH_ENTRIES_MAX),
  };
}

/** Warnings and errors on the console, nothing else. */
export const consoleLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (message) => {
    console.warn(`wavekv: ${message}`);
  },
  error: (message) => {
    console.error(`wavekv: ${message}`);
  },
};
