/** Answers of a replica that come line by line. */
import type { Readable } from "node:stream";
import { errorIn } from "../control/client.ts";
import { linesOf } from "../dump/lines.ts";
import { CommandError } from "./command.ts";

/** An event holds two values, the present and the previous one. */
const LINE_BYTES_MAX = 256 * 1024 * 1024;

/** Each line as JSON. @throws ControlError where a line reports one; CommandError ENDED if the answer breaks off */
export async function* jsonLines(stream: Readable): AsyncGenerator {
  try {
    for await (const { bytes } of linesOf(stream, LINE_BYTES_MAX)) {
      if (bytes === undefined) throw new CommandError("BAD_ANSWER", "a line of the answer is too long");
      const parsed: unknown = JSON.parse(Buffer.from(bytes).toString());
      const error = errorIn(parsed);
      if (error !== undefined) throw error;
      yield parsed;
    }
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ECONNRESET")) throw error;
    throw new CommandError("ENDED", "the replica has closed the connection");
  }
}
