/** `wavekv inspect`: what a directory holds, and what the next open would do with it. */
import { decodeMember, MEMBER_RANGE } from "../codec/members.ts";
import type { CoreState } from "../core/core-state.ts";
import type { RotationReason } from "../storage/identity.ts";
import { judge } from "../storage/open.ts";
import { truncatedBytesOf } from "../storage/repair.ts";
import { type Epoch, epochOf, nodeIdOf } from "../types.ts";
import { damageOf } from "./damage.ts";
import { type FileReport, filesOf, filesText } from "./file-list.ts";
import { escaped, grouped, type Paint, sizeText, table } from "./output.ts";
import type { Survey } from "./survey.ts";

/** Fields of the contents are null if nothing can be used. Plain data, as `--json` prints it. */
export interface InspectReport {
  /** Something of it can be used. */
  readonly ok: boolean;
  readonly directory: string;
  /** Null if no file says it. */
  readonly nodeId: string | null;
  readonly clusterId: string | null;
  /** Under which the replica has last written; null if it never has. */
  readonly epoch: string | null;
  /** With a value; expired ones count until a replica has removed them. */
  readonly entries: number | null;
  readonly tombstones: number | null;
  /** Of all keys and encoded values, members included. */
  readonly bytes: number | null;
  /** The same on replicas with the same data. */
  readonly digest: string | null;
  /** The end of the change log. */
  readonly lsn: number | null;
  readonly members: readonly { nodeId: string; epoch: string; version: string; addresses: readonly string[] }[];
  /** Of each origin, the write up to which this replica has everything. */
  readonly coverage: readonly { nodeId: string; epoch: string; seq: number }[];
  readonly files: readonly FileReport[];
  /** Of all files. */
  readonly fileBytes: number;
  /** What the next open would find and do. */
  readonly recovery: {
    readonly closedInGoodOrder: boolean;
    /** Torn writes at the end of the log, which it would cut off. */
    readonly cutBytes: number;
    /** Why it would take a new epoch; null: it would not. */
    readonly newEpoch: RotationReason | null;
  } | null;
  readonly damage: readonly string[];
  /** A lock file whose process is gone. A live holder is an error instead. */
  readonly staleLock: boolean;
}

/** Needs no more reading. */
export function inspect(survey: Survey): InspectReport {
  const { directory, owner, found, bytesByName } = survey;
  return {
    ok: found !== undefined,
    directory,
    nodeId: owner?.nodeId ?? null,
    clusterId: owner?.clusterId ?? null,
    ...contentsOf(found?.state),
    files: filesOf(survey),
    fileBytes: [...bytesByName.values()].reduce((sum, bytes) => sum + bytes, 0),
    recovery: recoveryOf(survey),
    damage: damageOf(survey).map(({ text }) => text),
    staleLock: survey.isLockLeft,
  };
}

/** What an origin has before the log names one. */
const NO_EPOCH = "0000000000000000" as Epoch;
const NO_CONTENTS = {
  epoch: null,
  entries: null,
  tombstones: null,
  bytes: null,
  digest: null,
  lsn: null,
  members: [],
  coverage: [],
};

function contentsOf(state: CoreState | undefined): Pick<InspectReport, keyof typeof NO_CONTENTS> {
  if (state === undefined) return NO_CONTENTS;
  const { table } = state;
  const epoch = epochOf(state.origin);
  return {
    epoch: epoch === NO_EPOCH ? null : epoch,
    entries: table.live,
    tombstones: table.tombstones,
    bytes: table.bytes,
    digest: table.digestRoot(),
    lsn: state.lsn,
    members: [...table.range(MEMBER_RANGE)].flatMap(({ key, value }) => {
      const member = value === null ? undefined : decodeMember(key, value);
      return member === undefined ? [] : [member];
    }),
    coverage: [...state.covered]
      .map(([origin, seq]) => ({ nodeId: nodeIdOf(origin), epoch: epochOf(origin), seq }))
      .sort((a, b) => compare(a.nodeId, b.nodeId) || compare(a.epoch, b.epoch)),
  };
}

function recoveryOf({ identity, found }: Survey): InspectReport["recovery"] {
  if (found === undefined) return null;
  const onFile = identity.type === "identity" ? identity.identity.pending : "damaged";
  const pending = onFile ?? (identity.type === "identity" && identity.isCopy ? "copied" : null);
  return {
    closedInGoodOrder: found.end.closed && found.end.tail === "none",
    cutBytes: truncatedBytesOf(found.end),
    newEpoch: judge(pending, found).why,
  };
}

export function inspectText(report: InspectReport, paint: Paint): string[] {
  const { recovery, damage } = report;
  const section = (title: string, lines: readonly string[]): string[] =>
    lines.length === 0 ? [] : ["", paint("bold", title), ...lines];
  return [
    ...table(summaryOf(report)),
    ...section("what the next open finds", recovery === null ? [] : recoveryText(recovery, report.staleLock)),
    ...section(
      "damage",
      damage.map((text) => paint("red", escaped(text))),
    ),
    ...section(
      "members",
      table(report.members.map(({ nodeId, version, addresses }) => [nodeId, version, addresses.join(" ")])),
    ),
    ...section("coverage", table(report.coverage.map(({ nodeId, epoch, seq }) => [nodeId, epoch, seq]))),
    ...section("files", filesText(report.files)),
  ];
}

function summaryOf(report: InspectReport): [string, string][] {
  const { nodeId, clusterId, epoch, entries, tombstones, bytes, digest, lsn } = report;
  const count = (value: number | null): string => (value === null ? "unknown" : grouped(value));
  return [
    ["directory", report.directory],
    ["replica", nodeId ?? "unknown"],
    ["cluster", clusterId ?? "unknown"],
    ["epoch", epoch ?? "none yet"],
    ["entries", count(entries)],
    ["tombstones", count(tombstones)],
    ["keys and values", bytes === null ? "unknown" : sizeText(bytes)],
    ["lsn", count(lsn)],
    ["digest", digest ?? "unknown"],
    ["on the disk", sizeText(report.fileBytes)],
  ];
}

const REASONS: Record<RotationReason, string> = {
  created: "the replica has not been opened to its end yet",
  copied: "this is a copy",
  damaged: "the log is damaged",
  unclean: "the log was not closed",
};

function recoveryText(
  { closedInGoodOrder, cutBytes, newEpoch }: InspectReport["recovery"] & object,
  staleLock: boolean,
): string[] {
  return [
    closedInGoodOrder ? "closed in good order" : "not closed in good order",
    ...(cutBytes > 0 ? [`${sizeText(cutBytes)} behind the last good record, to be cut off`] : []),
    ...(newEpoch === null ? [] : [`a new epoch is due: ${REASONS[newEpoch]}`]),
    ...(staleLock ? ["a lock that its process has left behind"] : []),
  ];
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
