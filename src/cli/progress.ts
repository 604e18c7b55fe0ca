/** One line on a terminal that says how far a long reading has come, and goes away at its end. */
import type { Progress as OpenProgress } from "../options.ts";
import { grouped, type Output } from "./output.ts";

export interface Progress {
  /** How far reading has come; what peers bring is not reading. */
  readonly report: (progress: OpenProgress) => void;
  /** Takes the line away. */
  readonly end: () => void;
}

const CLEAR_LINE = "\r\u001b[K";

/** Writes nothing unless `output` is a terminal. */
export function progressOn(output: Output): Progress {
  let shown = "";
  return {
    report(progress) {
      if (progress.phase === "catch-up") return;
      const { bytes, bytesTotal, entries } = progress;
      if (!output.isTerminal || bytesTotal === 0) return;
      const percent = Math.floor((bytes / bytesTotal) * 100);
      const text = `reading, ${percent} %`;
      if (text === shown) return;
      shown = text;
      output.write(`${CLEAR_LINE}${text}, ${grouped(entries)} entries`);
    },
    end() {
      if (shown !== "") output.write(CLEAR_LINE);
      shown = "";
    },
  };
}
