/** Which running replica a command talks to, and how it is told when there is none. */
import { type ControlAddress, ControlClient, ControlError, SOCKET_FILE } from "../control/client.ts";
import { CommandError, type Flag, type Given, type Surroundings, UsageError } from "./command.ts";

export const AT_FLAGS: Readonly<Record<string, Flag>> = {
  at: { type: "string", value: "WHERE", help: "a directory or http://127.0.0.1:PORT; default WAVEKV_AT or ./data" },
  "token-file": {
    type: "string",
    value: "FILE",
    help: "for a port: the control.token of the directory, or WAVEKV_TOKEN",
  },
};
export const JSON_FLAG: Flag = { type: "boolean", help: "JSON instead of text" };

const DIRECTORY = "./data";
const LOOPBACK: ReadonlySet<string> = new Set(["127.0.0.1", "localhost", "[::1]"]);
const UNREACHABLE_EXIT = 3;

/** The directory that is meant; `undefined`: it is an address. */
export function directoryOf(given: Given, { host }: Surroundings): string | undefined {
  const at = whereOf(given, host.env.WAVEKV_AT);
  return isUrl(at) ? undefined : at;
}

/**
 * Does something with a running replica.
 * @throws UsageError, CommandError: that of the replica, or with the exit code 3 that there is none
 */
export async function ask<T>(
  given: Given,
  surroundings: Surroundings,
  use: (client: ControlClient) => Promise<T>,
): Promise<T> {
  const { host } = surroundings;
  const at = whereOf(given, host.env.WAVEKV_AT);
  const address = isUrl(at)
    ? await portAddress(at, given, surroundings)
    : { type: "socket" as const, path: `${at}/${SOCKET_FILE}` };
  try {
    return await use(new ControlClient(address));
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    if (error.code !== "UNREACHABLE") throw new CommandError(error.code, error.message);
    const hint = isUrl(at)
      ? "start one with: wavekv serve DIR --http PORT"
      : `start one with: wavekv serve ${at}, or say where it is with --at; files alone: wavekv inspect ${at}`;
    throw new CommandError(error.code, `${at}: ${error.message}; ${hint}`, UNREACHABLE_EXIT);
  }
}

function whereOf(given: Given, environment: string | undefined): string {
  const at = given.text("at") ?? (environment === "" ? undefined : environment) ?? DIRECTORY;
  if (at === "") throw new UsageError("--at takes a directory or an address");
  return at.length > 1 && at.endsWith("/") && !isUrl(at) ? at.slice(0, -1) : at;
}

function isUrl(at: string): boolean {
  return /^[a-z]+:\/\//i.test(at);
}

async function portAddress(at: string, given: Given, { host }: Surroundings): Promise<ControlAddress> {
  const url = URL.canParse(at) ? new URL(at) : undefined;
  if (url?.protocol !== "http:" || !LOOPBACK.has(url.hostname) || !["", "/"].includes(url.pathname + url.search)) {
    throw new UsageError("--at takes a directory, or an address on this machine such as http://127.0.0.1:7070");
  }
  const file = given.text("token-file");
  const token = file === undefined ? host.env.WAVEKV_TOKEN : await host.readText(file);
  const hostname = url.hostname === "[::1]" ? "::1" : url.hostname;
  return { type: "port", host: hostname, port: Number(url.port || 80), token: token?.trim() };
}
