/** Every interleaving of three small scopes, and that the search objects. Larger scopes: `npm run explore`. */
import { expect, test } from "vitest";
import { openCore } from "../../scripts/explore/open-core.ts";
import { SCOPES } from "../../scripts/explore/scopes.ts";
import { search } from "../../scripts/explore/search.ts";

/** Some ten thousand states, each walked to from the beginning: seconds, and far more on a busy machine. */
const TIMEOUT_MS = 300_000;
const BOUNDS = { depthMax: 40, statesMax: 20_000 };

const core = await openCore();

test.each([
  ["hello", 0],
  ["pair", 0],
  ["collect", 100],
])(
  "every interleaving of %s keeps coverage true and converges",
  (name, collectedMin) => {
    const result = search(core, SCOPES[name]!, BOUNDS);
    expect(result.failure).toBeUndefined();
    expect(result.exhausted).toBe(true);
    expect(result.states).toBeGreaterThan(1000);
    expect(result.quiet).toBeGreaterThan(100);
    expect(result.collected).toBeGreaterThanOrEqual(collectedMin);
  },
  TIMEOUT_MS,
);

test(
  "a hello that claims what is not durable is found, by the shortest way",
  async () => {
    const buggy = await openCore((file, source) =>
      file === "src/sync/announcements.ts" ? source.replace("[...session.told]", "[...state.covered]") : source,
    );
    const { failure } = search(buggy, { ...SCOPES["pair-cut"]!, crashes: 0 }, BOUNDS);
    expect(failure?.message).toMatch(/claims n\d\/0+ 1 too early/);
    expect(failure?.actions.length).toBeLessThanOrEqual(3);
  },
  TIMEOUT_MS,
);
