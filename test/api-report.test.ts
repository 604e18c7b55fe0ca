/** What users can import is what was written down, and none of it is `any`. Uses `dist`. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, test } from "vitest";
import { type Api, REPORT_DIRECTORY, readApi } from "../scripts/api/report.ts";

const checkout = fileURLToPath(new URL("../", import.meta.url));

let api: Api;
beforeAll(() => {
  api = readApi(checkout);
});

test("the API is the one in test/api-report: `npm run api` writes it down", () => {
  const { reports } = api;
  expect(readdirSync(join(checkout, REPORT_DIRECTORY)).sort()).toEqual([...reports.keys()].sort());
  for (const [name, text] of reports) {
    expect(text, name).toBe(readFileSync(join(checkout, REPORT_DIRECTORY, name), "utf8"));
  }
  expect(reports.get("wavekv.md")).toContain("get(key: string): unknown;");
  expect(reports.get("wavekv.md")).not.toMatch(/#private|constructor\(engine/);
});

test("there is no any in what a user's compiler reads", () => {
  expect(api.anys).toEqual([]);
});
