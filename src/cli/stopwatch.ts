/** Where the time of a run went, in seconds, by its parts. */

export interface Timings {
  /** Since the command began. */
  readonly total: number;
  /** One step of sampling, on average, without the first. */
  readonly step?: number;
  /** The parts: load, text, image, sampling (with the network's preparation), decoding. Of several iterations, the last one's. */
  readonly [part: string]: number | undefined;
}

export interface Stopwatch {
  /** A part begins, and the one before it ends. */
  begin(part: string): void;
  /** The part that runs ends, under this name if one is given. */
  end(part?: string): void;
  /** A step of sampling is done. */
  step(): void;
  timings(): Timings;
}

/** Starts; `now` gives milliseconds. */
export function createStopwatch(now: () => number): Stopwatch {
  const start = now();
  const parts = new Map<string, number>();
  let current: string | undefined;
  let begun = start;
  let firstStep = 0;
  let lastStep = 0;
  let steps = 0;
  const since = (at: number): number => Math.round(now() - at) / 1000;
  const watch: Stopwatch = {
    begin(part) {
      watch.end();
      current = part;
      begun = now();
      if (part === 'sampling') steps = 0;
    },
    end(part = current) {
      if (part !== undefined) parts.set(part, since(begun));
      current = undefined;
    },
    step() {
      lastStep = now();
      if (steps++ === 0) firstStep = lastStep;
    },
    timings: () => ({
      ...Object.fromEntries(parts),
      ...(steps > 1 ? { step: Math.round((lastStep - firstStep) / (steps - 1)) / 1000 } : {}),
      total: since(start),
    }),
  };
  return watch;
}
