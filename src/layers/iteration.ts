/** Iterations in other words: each step mapped, everything else passed on at once. */

/** As `inner`, each item mapped. Begins, and so takes its view, when `inner` would. */
export function mapped<T, U>(inner: Iterable<T>, of: (item: T) => U): Iterable<U> {
  return {
    [Symbol.iterator]: () => {
      const items = inner[Symbol.iterator]();
      return {
        next() {
          const next = items.next();
          if (next.done === true) return { done: true, value: undefined };
          try {
            return { done: false, value: of(next.value) };
          } catch (error) {
            // Whoever iterates does not call return() after a throw.
            items.return?.();
            throw error;
          }
        },
        return() {
          items.return?.();
          return { done: true, value: undefined };
        },
        [Symbol.iterator]() {
          return this;
        },
      } satisfies IterableIterator<U, undefined>;
    },
  };
}

/** As `inner`, each item mapped. If `of` throws, `inner` is left. */
export function mappedAsync<T, U>(inner: AsyncIterableIterator<T>, of: (item: T) => U): AsyncIterableIterator<U> {
  return {
    async next() {
      const next = await inner.next();
      if (next.done === true) return { done: true, value: undefined };
      try {
        return { done: false, value: of(next.value) };
      } catch (error) {
        await inner.return?.();
        throw error;
      }
    },
    async return() {
      await inner.return?.();
      return { done: true, value: undefined };
    },
    async throw(error: unknown) {
      await inner.return?.();
      throw error;
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
