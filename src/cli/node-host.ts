/** The process that the executable runs in. */
import { fstatSync } from "node:fs";
import { chmod, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import type { Host } from "./host.ts";
import type { Output } from "./output.ts";

const ENDS_OF_WAITING = ["drain", "close", "error"];

let isOutputOpen = true;
const onOutputClosed = new Set<() => void>();

export const nodeHost: Host = {
  env: process.env,
  input: process.stdin,
  isInputTerminal: process.stdin.isTTY,
  output: process.stdout,
  isOutputFile: isFile(1),
  absolute: (path) => resolve(path),
  readText: (path) => readFile(path, "utf8"),
  sizeOf: async (path) => (await stat(path)).size,
  async openForReading(path) {
    const file = await open(path, "r");
    return file.createReadStream();
  },
  async createFile(path) {
    const file = await open(path, "wx", 0o600);
    return file.createWriteStream({ flush: true });
  },
  async writeSecret(path, text) {
    const temporary = `${path}.${process.pid}.tmp`;
    await rm(temporary, { force: true });
    await writeFile(temporary, text, { mode: 0o600, flag: "wx" });
    await rename(temporary, path);
  },
  async exists(path) {
    return await stat(path).then(
      () => true,
      () => false,
    );
  },
  remove: (path) => rm(path, { force: true }),
  async makePrivate(path, listen) {
    // Under this mask nobody else can connect, not even in the moment before the mode is set.
    const mask = process.umask(0o177);
    const listening = listen();
    process.umask(mask);
    await listening;
    await chmod(path, 0o600);
  },
  onStop(callback) {
    const onSignal = (signal: string): void => callback(signal);
    const onClosed = (): void => callback("EPIPE");
    process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
    onOutputClosed.add(onClosed);
    return () => {
      process.off("SIGTERM", onSignal).off("SIGINT", onSignal);
      onOutputClosed.delete(onClosed);
    };
  },
};

/** Text to a stream of the process. Whoever reads may stop reading, as `head` does: that is no failure of ours. */
export function outputOf(stream: NodeJS.WriteStream): Output {
  let isOpen = true;
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    isOpen = false;
    if (stream !== process.stdout || !isOutputOpen) return;
    isOutputOpen = false;
    for (const callback of onOutputClosed) callback();
  });
  const isTerminal = stream.isTTY;
  return {
    isTerminal,
    hasColours: isTerminal && (process.env.NO_COLOR ?? "") === "" && process.env.TERM !== "dumb",
    write(text) {
      if (isOpen) stream.write(text);
    },
    async drained() {
      if (!isOpen || !stream.writableNeedDrain) return;
      await new Promise<void>((resolve) => {
        const done = (): void => {
          for (const event of ENDS_OF_WAITING) stream.off(event, done);
          resolve();
        };
        for (const event of ENDS_OF_WAITING) stream.once(event, done);
      });
    },
  };
}

function isFile(descriptor: number): boolean {
  try {
    return fstatSync(descriptor).isFile();
  } catch {
    // Closed by whoever has started us.
    return false;
  }
}
