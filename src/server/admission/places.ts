/** Places for work of each caller: a few at a time, and further ones wait in order. */

export interface Places {
  run<T>(owner: string, work: () => Promise<T>): Promise<T>;
}

export function createPlaces(most: number): Places {
  const callers = new Map<string, { taken: number; readonly waiting: (() => void)[] }>();
  return {
    async run(owner, work) {
      const own = callers.get(owner) ?? { taken: 0, waiting: [] };
      callers.set(owner, own);
      if (own.taken < most) own.taken++;
      else await new Promise<void>((resolve) => own.waiting.push(resolve));
      try {
        return await work();
      } finally {
        const next = own.waiting.shift();
        // The place goes on to the next one.
        if (next) next();
        else if (--own.taken === 0) callers.delete(owner);
      }
    },
  };
}
