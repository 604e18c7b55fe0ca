/** The laws that a merge of one's own has to obey, tried on values. */
import { inspect, isDeepStrictEqual } from "node:util";

/** Most values: every three of them are tried. */
const VALUES_MAX = 60;

/**
 * Tries `merge` on the values, in all pairs and triples: it must be commutative, associative and idempotent, and must leave
 * its arguments alone. Values should be like those that an application puts: some equal, some that overlap, an empty one.
 *
 * @param values  at most 60
 * @throws Error with the law and the values that break it
 */
export function checkMergeLaws<V>(merge: (a: V, b: V) => V, values: readonly V[]): void {
  if (values.length > VALUES_MAX) throw new RangeError(`checkMergeLaws takes at most ${VALUES_MAX} values`);
  const join = (a: V, b: V): V => {
    const [x, y] = [structuredClone(a), structuredClone(b)];
    const joined = merge(x, y);
    if (!isDeepStrictEqual(x, a) || !isDeepStrictEqual(y, b)) broken("merge must not change its arguments", [a, b]);
    return joined;
  };
  const expectSame = (law: string, left: V, right: V, used: readonly V[]): void => {
    if (!isDeepStrictEqual(left, right)) broken(`${law}: ${inspect(left)} is not ${inspect(right)}`, used);
  };
  for (const a of values) {
    expectSame("merge(a, a) is a", join(a, a), a, [a]);
    for (const b of values) {
      expectSame("merge(a, b) is merge(b, a)", join(a, b), join(b, a), [a, b]);
      for (const c of values) {
        expectSame("merge(merge(a, b), c) is merge(a, merge(b, c))", join(join(a, b), c), join(a, join(b, c)), [
          a,
          b,
          c,
        ]);
      }
    }
  }
}

function broken(law: string, used: readonly unknown[]): never {
  const names = ["a", "b", "c"];
  throw new Error(`${law}; with ${used.map((value, index) => `${names[index] ?? ""} = ${inspect(value)}`).join(", ")}`);
}
