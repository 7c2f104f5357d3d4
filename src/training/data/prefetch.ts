/** Work ahead of its user: a bounded number of values are read and worked on while the one before is used, and come in order. */

export interface PrefetchOptions {
  /** Maximum number of values in progress or waiting. */
  readonly ahead: number;
}

/**
 * `work` of every value of `source`, in order. Values are read one after another, up to `ahead` of them are worked on at a time, and
 * neither waits for the user to ask. An error of either comes at its place in the order, and ends it.
 */
export async function* prefetch<T, R>(
  source: AsyncIterable<T>,
  work: (value: T) => Promise<R>,
  { ahead }: PrefetchOptions,
): AsyncGenerator<R, void, void> {
  const iterator = source[Symbol.asyncIterator]();
  let reading: Promise<unknown> = Promise.resolve();
  let stopped = false;
  const begin = (): Promise<{ readonly value: R } | undefined> => {
    const read = reading.then(
      (): Promise<IteratorResult<T>> => (stopped ? Promise.resolve({ done: true, value: undefined }) : iterator.next()),
    );
    reading = read.catch(() => {
      stopped = true;
    });
    const result = read.then(async (next) => {
      if (!next.done) return { value: await work(next.value) };
      stopped = true;
      return undefined;
    });
    result.catch(() => undefined); // it is thrown when its turn comes
    return result;
  };
  const queue = Array.from({ length: Math.max(1, ahead) }, begin);
  try {
    for (;;) {
      const next = await queue.shift();
      if (!next) return;
      queue.push(begin());
      yield next.value;
    }
  } finally {
    stopped = true;
    await reading;
    await iterator.return?.();
    await Promise.allSettled(queue);
  }
}
