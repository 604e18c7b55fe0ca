/** Every example runs to its end by itself, as a process of its own. Uses `dist`. */
import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";

const DEADLINE_MS = 20_000;
const checkout = fileURLToPath(new URL("../../", import.meta.url));
const examples = readdirSync(new URL("../../demo/examples/", import.meta.url)).filter((file) => file.endsWith(".ts"));

/** What an example says, in this order, among other things. */
const SAYS: Readonly<Record<string, readonly RegExp[]>> = {
  "mutual-tls.ts": [
    /connected: tls:.*tls:.*tls:/,
    /rome: has salut/,
    /refused \(certificate\): .*tls\.ca has not signed it/,
    /the stranger holds 0 entries/,
    /the impostor holds 0 entries/,
  ],
  "secrets.ts": [
    /connected under the old secret/,
    /step 3 of 3 is done/,
    /connections lost on the way: 0/,
    /ghost: .*refuses us \(wrong-secret\): .*give both replicas the same secret/,
    /ghost holds 0 of 3 entries/,
  ],
};

describe("examples", () => {
  test.each(examples)("%s", async (file) => {
    const script = `dist/demo/examples/${file.replace(/\.ts$/, ".js")}`;
    const run = promisify(execFile)(process.execPath, [script], { cwd: checkout, timeout: DEADLINE_MS });
    const { stdout, stderr } = await run;
    expect(stderr).toBe("");
    let rest = stdout;
    for (const line of SAYS[file] ?? []) {
      const found = line.exec(rest);
      expect(found, `${line.source} in:\n${rest}`).not.toBeNull();
      rest = rest.slice(found?.index ?? 0);
    }
    // Both sides say that the fourth is refused.
    if (file === "secrets.ts")
      expect(stdout).toMatch(/^(?:paris|oslo|rome): a connection was refused \(wrong-secret\)/m);
  });
});
