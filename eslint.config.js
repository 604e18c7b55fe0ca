/** Type-aware rules. Layout is biome's; what a compiler option already catches is left to the compiler. */
import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig(
  globalIgnores(["dist/", "node_modules/", "coverage/", "test/golden/", "**/.wavekv-*/"]),
  {
    files: ["**/*.ts", "**/*.tsx"],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: {
        project: ["./tsconfig.test.json", "./src/ui/page/tsconfig.json"],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      // A promise that nobody awaits is the commonest way to lose an error here: `void` it and say why.
      "@typescript-eslint/no-floating-promises": ["error", { ignoreVoid: true }],
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/restrict-template-expressions": [
        "error",
        { allowNumber: true, allowBoolean: true, allowNever: true },
      ],
      // `() => clearTimeout(timer)` and a `return this.#set(op)` that ends a case are plainer than the same with braces.
      "@typescript-eslint/no-confusing-void-expression": "off",
      // A method may be async for the sake of its interface: what it throws must be a rejection.
      "@typescript-eslint/require-await": "off",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      // It does not see that a call or an `await` in between may change a field, and so objects to the checks that matter.
      "@typescript-eslint/no-unnecessary-condition": "off",
      eqeqeq: "error",
      // The default logger warns; the library is silent otherwise.
      "no-console": ["error", { allow: ["warn", "error"] }],
    },
  },
  {
    // Columns and slabs are read at indexes that the code has just bounded; a check per read would cost the hot path.
    files: ["src/core/**/*.ts", "src/codec/**/*.ts", "src/random.ts"],
    rules: { "@typescript-eslint/no-non-null-assertion": "off" },
  },
  {
    files: ["test/**/*.ts"],
    rules: {
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/no-empty-function": "off",
      "@typescript-eslint/unbound-method": "off",
    },
  },
  {
    files: ["demo/**/*.ts", "scripts/**/*.ts", "test/**/*.ts"],
    rules: { "no-console": "off" },
  },
);
