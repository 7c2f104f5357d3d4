/** Measures the seconds that each stage of a run takes. */

export interface Timings {
  /** Since the command began. */
  readonly total: number;
  /** Mean time of a sampling step, without the first. */
  readonly step?: number;
  /** The stages: load, text, image, sampling (including the network's preparation), decoding. With several iterations, those of the last. */
  readonly [part: string]: number | undefined;
}

export interface Stopwatch {
  /** Starts a stage and ends the one before it. */
  begin(part: string): void;
  /** Ends the running stage, under this name if given. */
  end(part?: string): void;
  /** A step of sampling is done. */
  step(): void;
  timings(): Timings;
}

/** Starts the stopwatch; `now` gives milliseconds. */
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
