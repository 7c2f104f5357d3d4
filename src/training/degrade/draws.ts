/**
 * The draws of image degradation: from one seeded generator, or as the original takes them, from Python's `random` and numpy's global
 * generator, number for number.
 */

import { NumpyRandomState } from '../../random/numpy-random-state.ts';
import { poisson } from '../../random/poisson.ts';
import { PythonRandom } from '../../random/python-random.ts';
import type { TorchGenerator } from '../../random/torch-generator.ts';

export interface DegradationDraws {
  /** float64 in [0, 1): Python's `random.random()`. */
  share(): number;
  /** A whole number from low to high, both included: `random.randint`. */
  whole(low: number, high: number): number;
  /** The numbers below `count` in random order: `random.sample`. */
  order(count: number): number[];
  /** float64 in [0, 1): numpy's `rand`. */
  otherShare(): number;
  otherShares(count: number): Float64Array;
  /** Standard normals: numpy's `normal`, without its scale. */
  normals(count: number): ArrayLike<number>;
  /** One count of Poisson's distribution for each mean: numpy's `poisson`. */
  poisson(means: ArrayLike<number>): ArrayLike<number>;
}

export const uniformOf = (draws: DegradationDraws, low: number, high: number): number =>
  low + (high - low) * draws.share();

/** All from one generator. */
export const generatorDraws = (generator: TorchGenerator): DegradationDraws => ({
  share: () => generator.uniformFloat64(),
  whole: (low, high) => generator.integer(low, high + 1),
  order: (count) => Array.from(generator.randperm(count)),
  otherShare: () => generator.uniformFloat64(),
  otherShares: (count) => Float64Array.from(generator.randFloat64([count]).data),
  normals: (count) => generator.randn([count]).data,
  poisson: (means) => Float64Array.from(means, (mean) => poisson(() => generator.uniformFloat64(), mean)),
});

/** Python's and numpy's generators, both of this seed, from 0 to 2^32 - 1. */
export function pythonDraws(seed: number): DegradationDraws {
  const [python, numpy] = [new PythonRandom(seed), new NumpyRandomState(seed)];
  return {
    share: () => python.random(),
    whole: (low, high) => python.randint(low, high),
    order(count) {
      // The form of `random.sample` for whole populations: from a pool that shrinks at its end.
      const pool = Array.from({ length: count }, (_, i) => i);
      return pool.map((_, i) => {
        const at = python.randint(0, count - i - 1);
        const drawn = pool[at] as number;
        pool[at] = pool[count - i - 1] as number;
        return drawn;
      });
    },
    otherShare: () => numpy.random(),
    otherShares: (count) => numpy.rand([count]).data,
    normals: (count) => numpy.randn([count]).data,
    poisson: (means) => Float64Array.from(means, (mean) => poisson(() => numpy.random(), mean)),
  };
}
