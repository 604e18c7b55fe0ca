/** Every interleaving of two small scopes, and that the search objects. Larger scopes: `npm run explore`. */
import { expect, test } from "vitest";
import { openCore } from "../../scripts/explore/open-core.ts";
import { SCOPES } from "../../scripts/explore/scopes.ts";
import { search } from "../../scripts/explore/search.ts";

/** Some thousand states, each walked to from the beginning: seconds, and more on a busy machine. */
const TIMEOUT_MS = 120_000;
const BOUNDS = { depthMax: 40, statesMax: 20_000 };

test.each(["hello", "pair"])(
  "every interleaving of %s keeps coverage true and converges",
  async (name) => {
    const result = search(await openCore(), SCOPES[name]!, BOUNDS);
    expect(result.failure).toBeUndefined();
    expect(result.exhausted).toBe(true);
    expect(result.states).toBeGreaterThan(1000);
    expect(result.quiet).toBeGreaterThan(100);
  },
  TIMEOUT_MS,
);

test(
  "a hello that claims what is not durable is found, by the shortest way",
  async () => {
    const core = await openCore((file, source) =>
      file === "src/sync/replicator.ts" ? source.replace("[...session.told]", "[...this.#state.covered]") : source,
    );
    const { failure } = search(core, { ...SCOPES["pair-cut"]!, crashes: 0 }, BOUNDS);
    expect(failure?.message).toMatch(/claims n\d\/0+ 1 too early/);
    expect(failure?.actions.length).toBeLessThanOrEqual(3);
  },
  TIMEOUT_MS,
);
