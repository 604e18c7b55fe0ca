/**
 * The short form of `npm run slow-link`: a link forty times as fast and as short, so that as much is under way on it.
 * What it carries in a second is for that command to say: nothing here depends on the speed of the machine.
 */
import { expect, test } from "vitest";
import { runSlowLink } from "../../scripts/slow-link/run.ts";

test("over a slow and lossy link replicas converge, send everything once, and queue no more than the window", async () => {
  let state = 1;
  const random = (): number => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
  const options = { bytesPerSecond: 5_000_000, delayMs: 5, lossRate: 0.02, random };
  const { payloadBytes, counts, queuedBytesMax } = await runSlowLink(options, 5000, AbortSignal.timeout(25_000));
  expect(counts.lostSegments).toBeGreaterThan(50);
  expect(counts.taken[0]).toBeGreaterThan(payloadBytes);
  expect(counts.taken[0], "nothing is sent twice").toBeLessThan(1.1 * payloadBytes);
  // The window of 4 MiB, and the page that closes it: far below what there is to send.
  expect(queuedBytesMax).toBeLessThan(5_000_000);
  expect(queuedBytesMax).toBeGreaterThan(1_000_000);
});
