/**
 * `npm run api`: writes down what each entry point of the package exports, as the compiler has emitted it, into
 * test/api-report. A change of the API then shows as a change of a file, and a test fails until it is written down.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { REPORT_DIRECTORY, readApi } from "./api/report.ts";

// From dist/scripts.
const checkout = fileURLToPath(new URL("../../", import.meta.url));

mkdirSync(join(checkout, REPORT_DIRECTORY), { recursive: true });
for (const [name, text] of readApi(checkout).reports) {
  writeFileSync(join(checkout, REPORT_DIRECTORY, name), text);
  console.log(`${REPORT_DIRECTORY}/${name}`);
}
