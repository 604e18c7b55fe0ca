/** Measures how much of a slow link two replicas use, and how much waits meanwhile. */
import { parseFlags, parseNumber, print, runCommand, UsageError } from "../demo/filesync/tools.ts";
import { measureLink, runSlowLink } from "./slow-link/run.ts";

const HELP = `
Two replicas over TCP, and between them a link of 1 Mbit/s with 200 ms delay each way and 2 % loss: shows that they
converge, how much of the link they use, and how much waits to be sent. scripts/slow-link/link.ts says how it is modelled.

  npm run slow-link -- [--mbit N] [--delay MS] [--loss PERCENT] [--megabytes N] [--seed N]

  --mbit N        rate of the link; default 1
  --delay MS      one way; default 200
  --loss PERCENT  of the segments; default 2
  --megabytes N   how much one tells the other; default 6
  --seed N        draws the losses; default 1

Exit codes: 0 they converged, used 80 % of the link, and no more than 6 MB waited; 1 if not; 2 wrong use.
`;

/** The window of the protocol, and a few pages that are made when it opens. */
const QUEUED_BYTES_MAX = 6_000_000;

await runCommand(HELP, async (signal) => {
  const { values, positionals } = parseFlags({
    mbit: { type: "string", default: "1" },
    delay: { type: "string", default: "200" },
    loss: { type: "string", default: "2" },
    megabytes: { type: "string", default: "6" },
    seed: { type: "string", default: "1" },
  });
  if (positionals[0] !== undefined) throw new UsageError(`unexpected argument "${positionals[0]}"`);
  const options = {
    bytesPerSecond: parseNumber("mbit", values.mbit, 0.1, 1000) * 125_000,
    delayMs: parseNumber("delay", values.delay, 0, 10_000),
    lossRate: parseNumber("loss", values.loss, 0, 50) / 100,
  };
  const seed = parseNumber("seed", values.seed, 0, 2 ** 31);
  const entries = Math.round(parseNumber("megabytes", values.megabytes, 0.1, 1000) * 500);
  const report = await runSlowLink({ ...options, random: mulberry32(seed) }, entries, signal);
  const [taken] = report.counts.taken;
  print(`converged in ${report.seconds.toFixed(1)} s: ${report.payloadBytes} bytes of values, ${taken} on the link`);
  print(`${report.counts.lostSegments} of ${report.counts.segments} segments were lost`);
  const linkSeconds = await measureLink({ ...options, random: mulberry32(seed) }, report.payloadBytes);
  const used = linkSeconds / report.seconds;
  print(
    `a bare socket takes ${linkSeconds.toFixed(1)} s for as much: ${(used * 100).toFixed(1)} % of what the link allows`,
  );
  print(`at most ${report.queuedBytesMax} bytes waited to be sent`);
  return used >= 0.8 && report.queuedBytesMax <= QUEUED_BYTES_MAX ? 0 : 1;
});

/** A small generator with a seed (Tommy Ettinger, public domain). */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
