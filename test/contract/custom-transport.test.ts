import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { tcpTransport } from "../../demo/custom-transport.ts";
import { contractTests } from "./suite.ts";

contractTests("the custom transport of the README", () => ({
  transport: () => tcpTransport(0),
  // The port of the discard protocol: nobody has run it for decades.
  nowhere: "tcp:9",
}));

test("it takes at most 60 lines", () => {
  const source = readFileSync(new URL("../../demo/custom-transport.ts", import.meta.url), "utf8");
  expect(source.trimEnd().split("\n").length).toBeLessThanOrEqual(60);
});
