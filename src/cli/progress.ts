/** One line on a terminal that says how far a long reading has come, and goes away at its end. */
import type { RecoveryProgress } from "../storage/recovery.ts";
import { grouped, type Output } from "./output.ts";

export interface Progress {
  readonly report: (progress: RecoveryProgress) => void;
  /** Takes the line away. */
  readonly end: () => void;
}

const CLEAR_LINE = "\r\u001b[K";

/** Writes nothing unless `output` is a terminal. */
export function progressOn(output: Output): Progress {
  let shown = "";
  return {
    report({ bytes, bytesTotal, entries }) {
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
