/** What a replica knows of the whole mesh: `mesh()`. */
import { expect, test } from "vitest";
import { inProcessNetwork } from "wavekv/transports/in-process";
import { open, until } from "./stage.ts";

test("who is connected to whom, and how much of each author everybody holds", async () => {
  const network = inProcessNetwork();
  const [a, b, c] = await Promise.all(
    ["a", "b", "__proto__"].map((nodeId) => open({ nodeId, transport: network.transport() })),
  );
  await until(() => a!.mesh().every(({ links }) => links.length === 2), "everybody is connected to everybody");
  await a!.put("k", 1);
  const token = await b!.put("l", 2);
  await Promise.all([a, b, c].map((replica) => replica!.reached(token)));
  const isEqual = () =>
    new Set(a!.mesh().map(({ coverage }) => JSON.stringify(Object.entries(coverage).sort()))).size === 1;
  await until(isEqual, "a hears that the others have everything");
  const mesh = a!.mesh();
  expect(mesh.map(({ nodeId }) => nodeId)).toEqual(["a", "__proto__", "b"]);
  expect(mesh[1]?.links).toEqual(["a", "b"]);
  const own = `a/${a!.status().epoch}`;
  expect(Object.keys(mesh[0]!.coverage)).toContain(`__proto__/${c!.status().epoch}`);
  expect(mesh[2]?.coverage[own]).toBe(mesh[0]?.coverage[own]);

  network.cut("a", "b");
  network.cut("__proto__", "b");
  await until(() => a!.mesh()[2]!.links.length === 0 && a!.mesh()[0]!.links.join() === "__proto__", "b has gone");
  const before = a!.mesh()[2]!.coverage[own]!;
  await a!.put("k", 3);
  expect(a!.mesh()[0]!.coverage[own]).toBe(before + 1);
  expect(a!.mesh()[2]!.coverage[own]).toBe(before);
  await a!.close();
  expect(() => a!.mesh()).toThrow(expect.objectContaining({ code: "ERR_CLOSED" }) as Error);
});
