/**
 * npm run hostile -- [--frames N] [--seed N]
 *
 * Tries to get into a cluster of two replicas, and to keep others out of it, in every way that attacks.ts knows: each
 * has to be refused and counted by its reason, nothing may get in, and the two replicate on meanwhile. Then N mutated
 * frames (default 1,000,000) from somebody who is let in. On the loopback interface; prints what it has cost. Ends with
 * 1 at the first thing that does not hold.
 */
import { parseArgs } from "node:util";
import { attacks } from "./hostile/attacks.ts";
import { floodFrames } from "./hostile/flood.ts";
import { Stage } from "./hostile/stage.ts";

const { values } = parseArgs({ options: { frames: { type: "string" }, seed: { type: "string" } } });
const [frames, seed] = [Number(values.frames ?? 1_000_000), Number(values.seed ?? 1)];
if (![frames, seed].every((number) => Number.isSafeInteger(number) && number >= 0)) {
  console.error("--frames and --seed take whole numbers");
  process.exit(2);
}

const stage = await Stage.open();
for (const attack of attacks({ idleSockets: 1000, connectionsPerS: 200, seconds: 10 })) {
  const before = stage.refused(attack.reasons);
  const expected = await attack.run(stage);
  const counted = (): number => stage.refused(attack.reasons) - before;
  await stage.until(() => counted() >= expected, `${attack.name}: ${expected} times ${attack.reasons.join(" or ")}`);
  const told =
    attack.reasons.length === 0 ? "refused, and counted for the member" : `${counted()} x ${attack.reasons.join(", ")}`;
  console.log(`${attack.name.padEnd(55)} ${told}`);
}
await stage.welcomesNewcomer();
const report = await stage.finish();
const { writes, arrived, slowestArrivalMs, loopDelayMs, memoryMiB } = report;
console.log(`meanwhile ${arrived} of ${writes} writes of the peer arrived, the slowest in ${slowestArrivalMs} ms`);
console.log(`event-loop delay p99 ${loopDelayMs.p99} ms, most ${loopDelayMs.max} ms (the attackers share the process)`);
console.log(`memory at most ${memoryMiB} MiB above the start`);
console.log(`refused: ${JSON.stringify(stage.victim.status().refused)}`);
await stage.close();

const startMs = performance.now();
const { channels, refused } = await floodFrames(frames, seed);
const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
console.log(
  `${frames} mutated frames on ${channels} channels in ${seconds} s, --seed ${seed}; the friend's last write has arrived`,
);
console.log(`refused: ${JSON.stringify(refused)}`);
