/** How much a sweep over all disk calls covers: a part that is quick in the suite, all of it in `npm run crash -- --sweep`. */
import type { Survives } from "../../src/storage/memory-disk.ts";
import { coin, SURVIVALS } from "./faulty-disk.ts";

export const isFullSweep = process.env.WAVEKV_SWEEP === "full";
const FULL_SURVIVALS = 16;

/** What of the unsynced survives a power cut, in a full sweep with more random choices. */
export const SWEPT_SURVIVALS: readonly (readonly [string, () => Survives])[] = isFullSweep
  ? [
      ...SURVIVALS,
      ...Array.from({ length: FULL_SURVIVALS - SURVIVALS.length }, (_, index) => {
        return [`choice ${index}`, () => coin(1000 + index)] as const;
      }),
    ]
  : SURVIVALS;

/** Counts what a sweep has tried, and says so at the end of a full one. */
export class SweepCount {
  /** Calls at which the power went. */
  crashPoints = 0;
  /** Disks as a crash left them that were opened and compared. */
  images = 0;

  print(title: string): void {
    if (isFullSweep) console.log(`${title}: ${this.crashPoints} crash points, ${this.images} images`);
  }
}
