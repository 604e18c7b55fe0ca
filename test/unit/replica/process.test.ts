/** What a process sees: it ends by itself, and the library says which version it is. */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { VERSION } from "../../../src/version.ts";

const ROOT = new URL("../../..", import.meta.url);

test("the version is that of package.json", () => {
  const { version } = JSON.parse(readFileSync(new URL("package.json", ROOT), "utf8")) as { version: string };
  expect(VERSION).toBe(version);
});

/** Runs the built library in a process of its own, which must end by itself. Returns what it printed. */
async function run(body: string, directory: string): Promise<string> {
  const library = new URL("dist/src/index.js", ROOT).href;
  const inProcess = new URL("dist/transports/in-process.js", ROOT).href;
  const script = `
    import { openReplica } from ${JSON.stringify(library)};
    import { inProcessNetwork } from ${JSON.stringify(inProcess)};
    const directory = ${JSON.stringify(directory)};
    ${body}`;
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    ["--input-type=module", "--unhandled-rejections=strict", "--eval", script],
    { timeout: 20_000, killSignal: "SIGKILL" },
  );
  expect(stderr).toBe("");
  return stdout.trim();
}

test.each([
  [
    "opens, writes and closes",
    `const network = inProcessNetwork();
     const replica = await openReplica({ directory, transport: network.transport() });
     replica.watch().next();
     await replica.put("a", 1);
     await replica.close();
     console.log("closed");`,
    "closed",
  ],
  [
    "forgets to close, without a transport",
    `const replica = await openReplica({ directory });
     replica.watch().next();
     replica.on("change", () => undefined);
     await replica.put("a", 1);
     console.log("written");`,
    "written",
  ],
  [
    "watches more than comes in one turn of the event loop, in memory",
    `const replica = await openReplica();
     for (let n = 0; n < 1000; n += 1) await replica.put("k" + n, n);
     let seen = 0;
     for await (const { type } of replica.watch({ initial: true })) {
       if (type === "ready") break;
       seen += 1;
     }
     console.log(seen);`,
    "1000",
  ],
  [
    "writes more than is answered in one turn of the event loop",
    `const replica = await openReplica({ directory });
     const answers = Array.from({ length: 1200 }, (_, n) => replica.put("k" + n, n));
     console.log((await Promise.all(answers)).length);`,
    "1200",
  ],
  [
    "forgets to close, in memory",
    `const replica = await openReplica();
     await replica.put("a", 1, { ttlMs: 60000 });
     console.log(replica.get("a"));`,
    "1",
  ],
])("a process that %s ends by itself", async (_, body, printed) => {
  const directory = mkdtempSync(join(tmpdir(), "wavekv-process-"));
  try {
    expect(await run(body, join(directory, "data"))).toBe(printed);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
