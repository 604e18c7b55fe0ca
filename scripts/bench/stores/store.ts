/** What the stores under test have in common: strings by string keys. */
export interface Store {
  /** A promise where there is something to wait for: done when all earlier ones are. */
  put(key: string, value: unknown): undefined | Promise<unknown>;
  /** All of them in one step, where the store knows such a thing. */
  putAll?(entries: readonly (readonly [string, unknown])[]): undefined | Promise<unknown>;
  get(key: string): unknown;
  /** Keys and values of so many entries from a key on, in order. @returns how many characters the values have */
  scan?(from: string, rows: number): number;
  close(): unknown;
}

/** Un-awaited puts, so many at a time. */
const GROUP = 100;

/** Puts one by one, waiting for a group of them now and then, as a service under load would. */
export async function putEach(
  store: Store,
  count: number,
  keyAt: (index: number) => string,
  valueAt: (index: number) => unknown,
): Promise<void> {
  let pending: undefined | Promise<unknown>;
  for (let index = 0; index < count; index += 1) {
    pending = store.put(keyAt(index), valueAt(index));
    if (pending !== undefined && index % GROUP === GROUP - 1) await pending;
  }
  await pending;
}

/** Batches of up to 1,000 where the store has them. */
export async function putMany(
  store: Store,
  count: number,
  keyAt: (index: number) => string,
  valueAt: (index: number) => unknown,
): Promise<void> {
  if (store.putAll === undefined) return await putEach(store, count, keyAt, valueAt);
  for (let from = 0; from < count; from += 1000) {
    const entries: [string, unknown][] = [];
    for (let index = from; index < Math.min(from + 1000, count); index += 1)
      entries.push([keyAt(index), valueAt(index)]);
    await store.putAll(entries);
  }
}
