/** `npm run hostile` in small: everything is refused for its reason, nothing gets in, and real replicas go on. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { attacks } from "../../scripts/hostile/attacks.ts";
import { floodFrames } from "../../scripts/hostile/flood.ts";
import { Stage } from "../../scripts/hostile/stage.ts";

describe("strangers, and members gone bad", () => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await Stage.open();
  });
  afterAll(() => stage.close());

  const small = { idleSockets: 400, connectionsPerS: 400, seconds: 1 };
  test.each(attacks(small).map((attack) => [attack.name, attack] as const))("%s", async (_, attack) => {
    const { reasons } = attack;
    const before = stage.refused(reasons);
    const expected = await attack.run(stage);
    await stage.until(() => stage.refused(reasons) - before >= expected, `${expected} times ${reasons.join(" or ")}`);
  });

  test("all the while the replicas have replicated, in bounded memory", async () => {
    await stage.welcomesNewcomer();
    const report = await stage.finish();
    console.log(JSON.stringify(report));
    expect(report.arrived).toBe(report.writes);
    expect(report.writes).toBeGreaterThan(50);
    expect(report.memoryMiB).toBeLessThan(256);
  });
});

test("mutated frames of a member change nothing of what the others hold", async () => {
  const { channels, refused } = await floodFrames(6000, 20_261_121);
  expect(channels).toBeGreaterThan(100);
  expect(refused["bad-frame"]).toBeGreaterThan(100);
});
