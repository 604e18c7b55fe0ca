/** What of a surveyed directory is damaged or missing, in sentences. */
import { segmentName, snapshotName } from "../storage/files.ts";
import { judge } from "../storage/open.ts";
import type { Survey } from "./survey.ts";

export interface Damage {
  /** The file that is damaged; absent where it is the whole, or a file that is not there. */
  readonly name?: string;
  readonly text: string;
}

/** A torn end of the log is none: recovery cuts off what was never acknowledged. */
export function damageOf({ identity, found, unusable, bytesByName }: Survey): readonly Damage[] {
  const damage: Damage[] = [];
  if (identity.type === "bad") damage.push({ name: "identity", text: "identity: is bad" });
  if (identity.type === "absent") damage.push({ name: "identity", text: "identity: is absent" });
  if (unusable !== undefined) damage.push({ text: `nothing can be used: ${unusable}` });
  if (found === undefined) return damage;
  const { end, badSnapshots } = found;
  for (const name of badSnapshots.map(snapshotName)) {
    damage.push({ name, text: `${name}: is damaged, or rests on records that are not there` });
  }
  const name = segmentName(end.cut.number);
  if (end.tail === "damaged" && !bytesByName.has(name)) damage.push({ text: `${name}: is missing` });
  else if (end.tail === "damaged" && end.segment === undefined) {
    damage.push({ name, text: `${name}: has no header that continues the log` });
  } else if (end.tail === "damaged") {
    damage.push({ name, text: `${name}: has no good record from byte ${end.position.offset} on` });
  }
  // Also seen in a copy, where recovery takes it for what a crash at the creation left.
  const pending = identity.type === "identity" ? identity.identity.pending : null;
  if (damage.length === 0 && judge(pending, found).corrupt) {
    const text =
      pending === "damaged" ? "a repair was begun and not finished" : `${name}: is missing, and all of the log`;
    damage.push({ text });
  }
  return damage;
}
