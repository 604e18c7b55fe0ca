/**
 * The third kind of error: our own bug. On in production, never caught.
 * (Bad input from the embedder is a `ReplicaError`, nonsense from a peer is a counted reason.)
 */
export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

/** Throws `InvariantError` unless `condition` holds. `message` states what must be true. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantError(`wavekv bug: ${message} does not hold`);
}

/** Ends a switch over a union: a new variant is a compile error at the call. */
export function unreachable(value: never): never {
  throw new InvariantError(`wavekv bug: unexpected ${JSON.stringify(value)}`);
}

/** The value, where its absence would be our own bug. */
export function present<T>(value: T | undefined | null, message: string): T {
  if (value === undefined || value === null) throw new InvariantError(`wavekv bug: ${message} does not hold`);
  return value;
}
