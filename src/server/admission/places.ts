/** Places for work of each caller: a few at a time, and further ones wait in order. */

export interface Places {
  /** Waits for a place. Call the result to give it back, once. */
  take(owner: string): Promise<() => void>;
  run<T>(owner: string, work: () => Promise<T>): Promise<T>;
}

export function createPlaces(most: number): Places {
  const callers = new Map<string, { taken: number; readonly waiting: (() => void)[] }>();
  const take = async (owner: string): Promise<() => void> => {
    const own = callers.get(owner) ?? { taken: 0, waiting: [] };
    callers.set(owner, own);
    if (own.taken < most) own.taken++;
    else await new Promise<void>((resolve) => own.waiting.push(resolve));
    return () => {
      const next = own.waiting.shift();
      // The place goes on to the next one.
      if (next) next();
      else if (--own.taken === 0) callers.delete(owner);
    };
  };
  return {
    take,
    async run(owner, work) {
      const leave = await take(owner);
      try {
        return await work();
      } finally {
        leave();
      }
    },
  };
}
