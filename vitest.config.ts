/**
 * Tests run against the sources: `wavekv` and its entry points resolve to TypeScript here, and to `dist` only in the
 * tests that start processes. An unhandled rejection or error fails the run (the default, stated for the reader).
 */
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

export default defineConfig({
  resolve: {
    alias: [
      { find: /^wavekv$/, replacement: path("./src/index.ts") },
      { find: /^wavekv\/(dump|prometheus|ui)$/, replacement: path("./src/$1.ts") },
      { find: /^wavekv\/discovery$/, replacement: path("./transports/discovery.ts") },
      { find: /^wavekv\/testing$/, replacement: path("./src/testing/index.ts") },
      { find: /^wavekv\/transports\/(.+)$/, replacement: path("./transports/$1.ts") },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    pool: "threads",
    testTimeout: 30_000,
    hookTimeout: 30_000,
    dangerouslyIgnoreUnhandledErrors: false,
    // A filter that matches nothing is a typing mistake, not a success.
    passWithNoTests: false,
  },
});
