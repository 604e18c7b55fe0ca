/** Where things are, for this code as it was compiled, and for tests that read it as it is. */
import { basename, join } from "node:path";

const above = join(import.meta.dirname, "..", "..");
export const checkout = basename(above) === "dist" ? join(above, "..") : above;
/** What is committed of the benchmark: the sources, the results, the plots. */
export const home = join(checkout, "scripts", "bench");
