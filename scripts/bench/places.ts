/** Where things are: this code runs from `dist/scripts/bench`. */
import { join } from "node:path";

export const checkout = join(import.meta.dirname, "..", "..", "..");
/** What is committed of the benchmark: the sources, the results, the plots. */
export const home = join(checkout, "scripts", "bench");
