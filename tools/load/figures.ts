/** Figures of a load test. */

/** The value below which a share of the values lies; NaN for none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

/** Jain's index (Jain, Chiu, Hawe 1984): 1 where all receive alike, 1 / n where one receives all. */
export function jainsIndex(amounts: readonly number[]): number {
  const sum = amounts.reduce((total, amount) => total + amount, 0);
  const squares = amounts.reduce((total, amount) => total + amount ** 2, 0);
  return squares === 0 ? 1 : sum ** 2 / (amounts.length * squares);
}

/** A finished job: whose, how much work, when (milliseconds). */
export interface Finished {
  readonly owner: string;
  readonly work: number;
  readonly at: number;
}

/** Work of each caller up to the moment when the first of them had no job left: until then all of them wanted more. */
export function contestedWork(finished: readonly Finished[]): readonly number[] {
  const ends = new Map<string, number>();
  for (const { owner, at } of finished) ends.set(owner, Math.max(at, ends.get(owner) ?? 0));
  const until = Math.min(...ends.values());
  return [...ends.keys()].map((owner) =>
    finished.reduce((sum, job) => (job.owner === owner && job.at <= until ? sum + job.work : sum), 0),
  );
}
