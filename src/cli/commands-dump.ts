/** The commands that carry everything out of a replica and into one: export, import, backup. */
import type { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { SOCKET_FILE } from "../control/client.ts";
import { isBinaryDump } from "../dump/binary.ts";
import type { ImportProgress, ImportReport, SkippedEntry } from "../dump/importer.ts";
import { exportBinary, exportJson, importBinary, importJson } from "../dump.ts";
import { openReplica } from "../open-replica.ts";
import type { Replica } from "../replica.ts";
import { listDirectory } from "../storage/files.ts";
import { readIdentity } from "../storage/identity.ts";
import { jsonLines } from "./answers.ts";
import { type Command, CommandError, type Given, type Surroundings, UsageError, wholeNumber } from "./command.ts";
import { PREFIX_FLAG, rangeOf } from "./commands-data.ts";
import { escaped, grouped, type Output, paintFor, printable, sizeText } from "./output.ts";
import { AT_FLAGS, ask, directoryOf, JSON_FLAG } from "./where.ts";

const NOTES = "From a replica that runs, or from the directory of one that does not.";
const POSITION_MAX = Number.MAX_SAFE_INTEGER;

export const exportEntries: Command = {
  name: "export",
  summary: "write all entries to a file or to standard output",
  takes: ["[FILE]"],
  flags: {
    format: { type: "string", value: "json|binary", help: "JSON lines (the default), or a dump that shows damage" },
    prefix: PREFIX_FLAG,
    json: { type: "boolean", help: "what was done as JSON, on standard error" },
    ...AT_FLAGS,
  },
  notes: `${NOTES} As of one moment; writes go on meanwhile. An existing FILE is not overwritten.`,
  examples: [
    ["export > all.jsonl", 'a line for each: {"key":"user/ada","value":{"role":"admin"}}'],
    ["export --format binary all.dump", "smaller, and tells when it was cut short"],
    ["export --prefix user/ | wavekv import --at ../other", "from one replica into another"],
  ],
  run: async (given, surroundings) => {
    const { host, err } = surroundings;
    const format = given.text("format") ?? "json";
    if (format !== "json" && format !== "binary") throw new UsageError("--format takes json or binary");
    const [file = "-"] = given.args;
    if (format === "binary" && file === "-" && surroundings.out.isTerminal) {
      throw new UsageError("a binary dump is nothing for a terminal: give a FILE");
    }
    const target = file === "-" ? host.output : await host.createFile(file);
    // Into a pipe there is none: what reads it may share the terminal.
    const bar = progressBar(err, file !== "-" || host.isOutputFile);
    let bytes = 0;
    const onBytes = (count: number): void => {
      bytes += count;
      bar.show(`exporting, ${sizeText(bytes)}`);
    };
    try {
      const directory = await stoppedDirectory(given, surroundings);
      if (directory === undefined) await exportRunning(given, surroundings, format, target, onBytes);
      else {
        const options = { readOnly: true, directory } as const;
        await withReplica(surroundings, options, async (replica) => {
          let before = 0;
          const onProgress = (progress: { bytes: number }): void => {
            onBytes(progress.bytes - before);
            before = progress.bytes;
          };
          const range = { ...(given.text("prefix") === undefined ? {} : { prefix: given.text("prefix") ?? "" }) };
          await (format === "json" ? exportJson : exportBinary)(replica, target, { ...range, onProgress });
        });
      }
      if (target !== host.output) await ended(target);
    } catch (error) {
      if (isClosedPipe(error)) return 0;
      // Half an export must not pass for a whole one.
      if (target !== host.output) await host.remove(file);
      throw error;
    } finally {
      bar.end();
    }
    if (given.flag("json")) err.write(`${JSON.stringify({ ok: true, bytes })}\n`);
    else if (file !== "-") err.write(`${sizeText(bytes)} in ${printable(file)}\n`);
    return 0;
  },
};

async function exportRunning(
  given: Given,
  surroundings: Surroundings,
  format: string,
  target: Writable,
  onBytes: (count: number) => void,
): Promise<void> {
  const query = { ...rangeOf(given, given.text("prefix")), format };
  await ask(given, surroundings, async (client) => {
    const answer = await client.stream({ path: "/v1/export", query });
    answer.on("data", (chunk: Uint8Array) => onBytes(chunk.length));
    answer.pause();
    await pipeline(answer, target, { end: false });
  });
}

export const importEntries: Command = {
  name: "import",
  summary: "read entries from a file or from standard input",
  takes: ["[FILE]"],
  flags: {
    keep: { type: "boolean", help: "leave keys alone that are there" },
    strict: { type: "boolean", help: "stop at the first entry that cannot be imported" },
    after: { type: "string", value: "N", help: "go on behind line N, where an import was interrupted" },
    json: JSON_FLAG,
    ...AT_FLAGS,
  },
  notes: `Takes both formats of export, and writes in batches. ${NOTES.replace("From", "Into").replace("from", "into")}
Lines that are damaged or refused are left out and named on standard error; then the exit code is 1.`,
  examples: [
    ["import all.jsonl", "keys that are there get the new value"],
    ["import --keep < all.jsonl", "they keep the one they have"],
    ["import --after 120000 all.jsonl", "the rest of an import that was interrupted"],
  ],
  run: async (given, surroundings) => {
    const { host, out, err } = surroundings;
    const after = wholeNumber("after", given.text("after"), POSITION_MAX);
    const [file = "-"] = given.args;
    if (file === "-" && host.isInputTerminal) throw new UsageError("nothing is piped into standard input; give a FILE");
    const total = file === "-" ? undefined : await host.sizeOf(file);
    const source = file === "-" ? host.input : await host.openForReading(file);
    const bar = progressBar(err);
    let position = after ?? 0;
    const tell: ImportListener = {
      onProgress: (progress) => {
        position = progress.position;
        const percent =
          total === undefined ? "" : `${Math.min(100, Math.floor((progress.bytes / Math.max(1, total)) * 100))} %, `;
        bar.show(`importing, ${percent}${grouped(progress.imported)} entries`);
      },
      onSkip: (skipped) => {
        bar.end();
        err.write(`${skipped.position}: ${escaped(skipped.reason)}\n`);
      },
    };
    let report: ImportReport;
    try {
      const directory = await stoppedDirectory(given, surroundings);
      report =
        directory === undefined
          ? await importRunning(given, surroundings, source, after, tell)
          : await importStopped(given, surroundings, directory, source, after, tell);
    } catch (error) {
      bar.end();
      if (position > 0) err.write(`stopped behind ${position}; go on with --after ${position}\n`);
      throw error;
    }
    bar.end();
    const { imported, kept, expired, skipped } = report;
    const counts = [`${grouped(imported)} imported`];
    if (kept > 0) counts.push(`${grouped(kept)} kept as they were`);
    if (expired > 0) counts.push(`${grouped(expired)} expired`);
    if (skipped > 0) counts.push(paintFor(out)("red", `${grouped(skipped)} left out`));
    out.write(given.flag("json") ? `${JSON.stringify({ ok: skipped === 0, ...report })}\n` : `${counts.join(", ")}\n`);
    return skipped === 0 ? 0 : 1;
  },
};

interface ImportListener {
  readonly onProgress: (progress: ImportProgress) => void;
  readonly onSkip: (skipped: SkippedEntry) => void;
}

async function importRunning(
  given: Given,
  surroundings: Surroundings,
  source: Readable,
  after: number | undefined,
  { onProgress, onSkip }: ImportListener,
): Promise<ImportReport> {
  const flag = (name: string): true | undefined => (given.flag(name) ? true : undefined);
  const query = { after, keep: flag("keep"), strict: flag("strict") };
  return await ask(given, surroundings, async (client) => {
    const answer = await client.stream({ method: "POST", path: "/v1/import", query, body: source });
    for await (const line of jsonLines(answer)) {
      const { progress, skipped, report } = line as {
        readonly progress?: ImportProgress;
        readonly skipped?: SkippedEntry;
        readonly report?: ImportReport;
      };
      if (progress !== undefined) onProgress(progress);
      if (skipped !== undefined) onSkip(skipped);
      if (report !== undefined) return report;
    }
    throw new CommandError("ENDED", "the replica has ended the import");
  });
}

async function importStopped(
  given: Given,
  surroundings: Surroundings,
  directory: string,
  source: Readable,
  after: number | undefined,
  tell: ImportListener,
): Promise<ImportReport> {
  const chunks = (source as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  const first = await chunks.next();
  async function* all(): AsyncGenerator<Uint8Array> {
    for (let next = first; next.done !== true; next = await chunks.next()) yield next.value;
  }
  const isBinary = first.done !== true && isBinaryDump(first.value);
  const options = {
    ...tell,
    ...(after === undefined ? {} : { after }),
    strict: given.flag("strict"),
    existing: given.flag("keep") ? ("keep" as const) : ("replace" as const),
  };
  return await withReplica(surroundings, { directory }, (replica) =>
    (isBinary ? importBinary : importJson)(replica, all(), options),
  );
}

export const backup: Command = {
  name: "backup",
  summary: "copy the files of a replica to a new directory",
  takes: ["TARGET"],
  flags: { json: JSON_FLAG, ...AT_FLAGS },
  notes: `${NOTES} Writes go on meanwhile. TARGET must be empty or absent, on this machine; openReplica and
wavekv serve open it, under a new epoch. Check it with wavekv verify.`,
  examples: [["backup ./backup-monday && wavekv verify ./backup-monday", "made, and read back"]],
  run: async (given, surroundings) => {
    const { host, out } = surroundings;
    const path = host.absolute(given.args[0] ?? "");
    const directory = await stoppedDirectory(given, surroundings);
    if (directory === undefined) {
      await ask(given, surroundings, (client) => client.json({ method: "POST", path: "/v1/backup", query: { path } }));
    } else await withReplica(surroundings, { directory, readOnly: true }, (replica) => replica.backup(path));
    out.write(given.flag("json") ? `${JSON.stringify({ ok: true, path })}\n` : `${printable(path)}\n`);
    return 0;
  },
};

export const checkpoint: Command = {
  name: "checkpoint",
  summary: "write a snapshot and drop the log that it makes superfluous",
  takes: [],
  flags: { json: JSON_FLAG, ...AT_FLAGS },
  notes: "A replica does so by itself when its log has grown; by hand it makes the next start quick.",
  examples: [["checkpoint", "before a planned restart"]],
  run: async (given, surroundings) => {
    await ask(given, surroundings, (client) => client.json({ method: "POST", path: "/v1/checkpoint" }));
    if (given.flag("json")) surroundings.out.write(`${JSON.stringify({ ok: true })}\n`);
    return 0;
  },
};

/** The directory that is meant, if there is a store in it and no replica that runs. */
async function stoppedDirectory(given: Given, surroundings: Surroundings): Promise<string | undefined> {
  const { host, disk } = surroundings;
  const directory = directoryOf(given, surroundings);
  if (
    directory === undefined ||
    (await host.exists(`${directory}/${SOCKET_FILE}`)) ||
    !(await host.exists(directory))
  ) {
    return undefined;
  }
  const { segments, snapshots } = await listDirectory(disk, directory);
  return segments.length + snapshots.length > 0 ? directory : undefined;
}

/** Opens a directory as the replica and the cluster that it belongs to, alone, for as long as `use` takes. */
async function withReplica<T>(
  { disk, clock, err }: Surroundings,
  options: { readonly directory: string; readonly readOnly?: true },
  use: (replica: Replica) => Promise<T>,
): Promise<T> {
  const identity = await readIdentity(disk, options.directory);
  if (identity.type !== "identity") {
    throw new CommandError("NO_STORE", `${options.directory}: its identity is ${identity.type}; see wavekv inspect`);
  }
  const ignore = (): void => undefined;
  const warn = (message: string): void => err.write(`${escaped(message)}\n`);
  const logger = { debug: ignore, info: ignore, warn, error: warn };
  const { clusterId } = identity.identity;
  const replica = await openReplica({ ...options, clusterId, disk, clock, logger });
  try {
    return await use(replica);
  } finally {
    await replica.close();
  }
}

/** One line that says how far it is, on a terminal only. */
function progressBar(output: Output, isWanted = true): { show(text: string): void; end(): void } {
  let shown = "";
  return {
    show(text) {
      if (!isWanted || !output.isTerminal || text === shown) return;
      shown = text;
      output.write(`\r\u001b[K${text}`);
    },
    end() {
      if (shown !== "") output.write("\r\u001b[K");
      shown = "";
    },
  };
}

function ended(target: Writable): Promise<void> {
  return new Promise((resolve, reject) => {
    target.once("error", reject);
    target.once("close", resolve);
    target.end();
  });
}

/** Whoever reads has seen enough. */
function isClosedPipe(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "EPIPE" || code === "ERR_STREAM_DESTROYED" || code === "ERR_STREAM_PREMATURE_CLOSE";
}
