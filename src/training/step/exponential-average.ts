/** The decay of LitEma's exponential averages (`ldm.modules.ema.LitEma`): low at first, so that the average forgets the start. */

export interface AverageConfig {
  /** Default 0.9999. */
  readonly decay?: number;
  /** Limit the decay to (1 + n) / (10 + n) at the n-th update. Default true. */
  readonly useNumUpdates?: boolean;
}

/** 1 - decay at update n = 1, 2, …: the factor in average -= factor · (average - parameter). The original keeps the decay as float32. */
export function averageRate({ decay = 0.9999, useNumUpdates = true }: AverageConfig, n: number): number {
  const longRun = Math.fround(decay);
  const warming = (1 + n) / (10 + n);
  return useNumUpdates && warming < longRun ? 1 - warming : Math.fround(1 - longRun);
}
