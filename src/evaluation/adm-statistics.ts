/** Statistics of a set for FID and sFID: gathered a few pictures at a time, and stored as guided-diffusion stores them (`mu`, `sigma`, `mu_s`, `sigma_s`). */

import { StableDiffusionError } from '../errors.ts';
import type { Npz } from '../formats/npz.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { FeatureStatistics } from './frechet-distance.ts';

export interface AdmStatistics {
  /** Of `pool_3`. */
  readonly pool: FeatureStatistics;
  /** Of the spatial features. */
  readonly spatial: FeatureStatistics;
}

/** Mean and covariance of rows that come in parts. */
export interface RunningStatistics {
  /** Rows [n, d]. */
  add(rows: Tensor<'float32'>): void;
  /** Throws `invalid-argument` for fewer than two rows. */
  result(): FeatureStatistics;
}

/** Sums about the first row, so that no digits are lost where the mean is far from zero. */
export function runningStatistics(columns: number): RunningStatistics {
  const sum = new Float64Array(columns);
  const products = new Float64Array(columns * columns);
  let shift: Float64Array | undefined;
  let count = 0;
  return {
    add({ shape, data }) {
      const [n = 0] = shape;
      shift ??= Float64Array.from(data.subarray(0, columns));
      const row = new Float64Array(columns);
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < columns; j++) {
          row[j] = (data[i * columns + j] as number) - (shift[j] as number);
          sum[j] = (sum[j] as number) + (row[j] as number);
        }
        for (let a = 0; a < columns; a++) {
          const value = row[a] as number;
          if (value === 0) continue;
          const base = a * columns;
          for (let b = a; b < columns; b++)
            products[base + b] = (products[base + b] as number) + value * (row[b] as number);
        }
      }
      count += n;
    },
    result() {
      if (count < 2)
        throw new StableDiffusionError(
          'invalid-argument',
          `Statistics need at least 2 pictures, and ${count} were given.`,
        );
      const data = new Float64Array(columns * columns);
      for (let a = 0; a < columns; a++)
        for (let b = a; b < columns; b++) {
          const value =
            ((products[a * columns + b] as number) - ((sum[a] as number) * (sum[b] as number)) / count) / (count - 1);
          data[a * columns + b] = value;
          data[b * columns + a] = value;
        }
      const mean = sum.map((value, j) => value / count + (shift?.[j] ?? 0));
      return { count, mean, covariance: { rows: columns, columns, data } };
    },
  };
}

const names = { pool: ['mu', 'sigma'], spatial: ['mu_s', 'sigma_s'] } as const;

/** Whether an archive holds statistics. */
export const hasStatistics = ({ names: there }: Pick<Npz, 'names'>): boolean =>
  Object.values(names)
    .flat()
    .every((name) => there.includes(name));

/** Reads `mu`, `sigma`, `mu_s` and `sigma_s`. Throws `shape-mismatch` for a covariance that is not square or not of the mean's size. */
export async function readStatistics(archive: Npz, label: string): Promise<AdmStatistics> {
  const read = async ([mu, sigma]: readonly [string, string]): Promise<FeatureStatistics> => {
    const [mean, covariance] = [await archive.read(mu), await archive.read(sigma)];
    const d = mean.data.length;
    if (covariance.shape.length !== 2 || covariance.shape[0] !== d || covariance.shape[1] !== d)
      throw new StableDiffusionError(
        'shape-mismatch',
        `${label}: ${sigma} is [${covariance.shape.join(', ')}], and ${mu} has ${d} numbers.`,
      );
    return {
      count: 0,
      mean: Float64Array.from(mean.data, Number),
      covariance: { rows: d, columns: d, data: Float64Array.from(covariance.data, Number) },
    };
  };
  return { pool: await read(names.pool), spatial: await read(names.spatial) };
}

/** The arrays of an archive, for `writeNpz`. */
export function statisticsArrays({ pool, spatial }: AdmStatistics): Readonly<Record<string, Tensor>> {
  const of = ([mu, sigma]: readonly [string, string], { mean, covariance }: FeatureStatistics) => ({
    [mu]: { dtype: 'float64' as const, shape: [mean.length], data: Float64Array.from(mean) },
    [sigma]: {
      dtype: 'float64' as const,
      shape: [covariance.rows, covariance.columns],
      data: Float64Array.from(covariance.data),
    },
  });
  return { ...of(names.pool, pool), ...of(names.spatial, spatial) };
}
