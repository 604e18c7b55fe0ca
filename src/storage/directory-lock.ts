/**
 * One live process per data directory. Node.js has no `flock`, hence three layers: a set for openers in
 * this process; on Linux an abstract socket, which the kernel frees when the process dies and which makes
 * the takeover of a stale lock free of races; and a lock file that says who holds it and that works where
 * the sockets of two processes do not see each other (containers of one host that share a volume).
 * Not detected: a holder in another pid namespace or on another machine whose process we cannot see.
 */
import { createHash, randomUUID } from "node:crypto";
import { promises as fs } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";

const LOCK_FILE = "lock";
const held = new Set<string>();

interface Holder {
  readonly pid: number;
  /** Clock ticks after boot, from /proc; "" where there is none. Tells a process from a later one with its pid. */
  readonly startTime: string;
  /** "" where unknown. A lock from before a reboot is stale. */
  readonly bootId: string;
  readonly tag: string;
}

/** See `Disk.lock`. The directory must exist. An unwritable directory can be locked in memory only: nobody can write to it. */
export function lockDirectory(directory: string): Promise<{ release(): Promise<void> } | { heldBy: string }> {
  return hold(directory, takeFile);
}

/**
 * As `lockDirectory`, for somebody who only looks: writes no lock file and leaves a stale one where it is. On
 * Linux it keeps other openers of this host out; elsewhere it only says who has the directory at this moment.
 */
export function lockForReading(directory: string): Promise<{ release(): Promise<void> } | { heldBy: string }> {
  return hold(directory, holderOf);
}

/** @param take  says who holds the lock file, or sees to it that we do and returns undefined */
async function hold(
  directory: string,
  take: (path: string, mine: Holder) => Promise<string | undefined>,
): Promise<{ release(): Promise<void> } | { heldBy: string }> {
  const { dev, ino } = await fs.stat(directory, { bigint: true });
  const id = `${dev}:${ino}`;
  if (held.has(id)) return { heldBy: `this process (pid ${process.pid})` };
  held.add(id);
  const path = join(directory, LOCK_FILE);
  let socket: Server | undefined;
  try {
    if (process.platform === "linux") {
      socket = await listen(`\0wavekv-${createHash("sha256").update(id).digest("hex").slice(0, 32)}`);
      if (socket === undefined) {
        held.delete(id);
        return { heldBy: describe(await readHolder(path)) };
      }
    }
    const mine: Holder = {
      pid: process.pid,
      startTime: await startTimeOf(process.pid),
      bootId: await bootId(),
      tag: randomUUID(),
    };
    const heldBy = await take(path, mine);
    if (heldBy !== undefined) {
      await free(id, socket);
      return { heldBy };
    }
    return {
      release: async () => {
        if ((await readHolder(path))?.tag === mine.tag) await fs.rm(path, { force: true });
        await free(id, socket);
      },
    };
  } catch (error) {
    await free(id, socket);
    throw error;
  }
}

async function free(id: string, socket: Server | undefined): Promise<void> {
  if (socket !== undefined) await new Promise<void>((done) => socket.close(() => done()));
  held.delete(id);
}

/** @returns the live process that the lock file names, if any */
async function holderOf(path: string): Promise<string | undefined> {
  const holder = await readHolder(path);
  return holder !== undefined && (await isAlive(holder)) ? describe(holder) : undefined;
}

/** @returns who holds the lock, or undefined once it is ours */
async function takeFile(path: string, mine: Holder): Promise<string | undefined> {
  // Each round either ends it or removes one stale lock; others may leave one behind meanwhile, but not for ever.
  for (let round = 0; round < 10; round++) {
    try {
      await fs.writeFile(path, `${JSON.stringify(mine)}\n`, { flag: "wx", mode: 0o600 });
      return undefined;
    } catch (error) {
      const code = codeOf(error);
      if (code === "EROFS" || code === "EACCES") return undefined;
      if (code !== "EEXIST") throw error;
    }
    const holder = await readHolder(path);
    if (holder !== undefined && (await isAlive(holder))) return describe(holder);
    // Away with what we judged, and only with that: another opener may have replaced it already.
    const aside = `${path}.${mine.tag}.tmp`;
    try {
      await fs.rename(path, aside);
    } catch (error) {
      if (codeOf(error) === "ENOENT") continue;
      throw error;
    }
    const moved = await readHolder(aside);
    if (moved?.tag !== holder?.tag) {
      await fs.link(aside, path).catch(() => undefined);
      await fs.rm(aside, { force: true });
      return describe(moved);
    }
    await fs.rm(aside, { force: true });
  }
  return "several openers at once";
}

async function readHolder(path: string): Promise<Holder | undefined> {
  let text: string;
  try {
    text = await fs.readFile(path, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return undefined;
    const { pid, startTime, bootId, tag } = value as Partial<Record<keyof Holder, unknown>>;
    if (typeof pid !== "number" || !Number.isSafeInteger(pid) || pid <= 0 || typeof tag !== "string") return undefined;
    if (typeof startTime !== "string" || typeof bootId !== "string") return undefined;
    return { pid, startTime, bootId, tag };
  } catch {
    // Cut short by a crash while it was written: nobody holds it.
    return undefined;
  }
}

async function isAlive(holder: Holder): Promise<boolean> {
  if (holder.bootId !== (await bootId())) return false;
  // No opener of this process has it: `held` and, across threads, the socket would have said so.
  if (holder.pid === process.pid && process.platform === "linux") return false;
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if (codeOf(error) === "ESRCH") return false;
  }
  return holder.startTime === (await startTimeOf(holder.pid));
}

async function startTimeOf(pid: number): Promise<string> {
  try {
    const stat = await fs.readFile(`/proc/${pid}/stat`, "utf8");
    // The name in parentheses may hold anything; the start time is the 20th field behind it.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return "";
  }
}

async function bootId(): Promise<string> {
  try {
    return (await fs.readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  } catch {
    return "";
  }
}

/** @returns undefined if another process listens there already */
function listen(path: string): Promise<Server | undefined> {
  return new Promise((done, failed) => {
    const server = createServer((socket) => socket.destroy());
    server.unref();
    server.once("error", (error) => (codeOf(error) === "EADDRINUSE" ? done(undefined) : failed(error)));
    server.listen({ path, exclusive: true }, () => done(server));
  });
}

function describe(holder: Holder | undefined): string {
  return holder === undefined ? "another process" : `process ${holder.pid}`;
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code;
}
