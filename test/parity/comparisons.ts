/** Comparisons gathered one by one, for readers that compare in several functions. */

import { maxDifference } from '../parity.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { type Comparison, compareExactly, compareTensors, type Reader, type RecordedCase } from './reader.ts';

type More = Pick<Comparison, 'item' | 'note'>;

export interface Comparisons {
  /** Largest difference of a tensor from the recorded one. */
  tensor(output: string, got: Tensor | undefined, want: Tensor, tolerance: number, more?: More): void;
  /** An error that the reader measured itself. */
  error(output: string, error: number, tolerance: number, more?: More): void;
  /** Values that must be the same. */
  exact(output: string, got: unknown, want: unknown, more?: More): void;
  /** A recorded output that is not compared, with the reason. */
  skip(output: string, reason: string): void;
}

/** `compare` of a reader from a function that adds its comparisons. */
export function collecting(
  body: (recorded: RecordedCase, compare: Comparisons) => void | Promise<void>,
): Reader['compare'] {
  return async function* (recorded) {
    const all: Comparison[] = [];
    await body(recorded, {
      tensor: (output, got, want, tolerance, more) => void all.push(compareTensors(output, got, want, tolerance, more)),
      error: (output, error, tolerance, more) => void all.push({ output, error, tolerance, ...more }),
      exact: (output, got, want, more) => void all.push(compareExactly(output, got, want, more)),
      skip: (output, skipped) => void all.push({ output, error: 0, tolerance: 0, skipped }),
    });
    yield* all;
  };
}

/** Largest absolute difference of two lists of numbers; Infinity where lengths differ. */
export function listDifference(got: ArrayLike<number>, want: ArrayLike<number>): number {
  const tensorOf = (list: ArrayLike<number>): Tensor => ({
    dtype: 'float64',
    shape: [list.length],
    data: Float64Array.from(list),
  });
  return maxDifference(tensorOf(got), tensorOf(want));
}

/** 0 where the action throws an error of the library with this code, else 1. */
export function throwsWith(code: string, action: () => unknown): number {
  try {
    action();
    return 1;
  } catch (cause) {
    return cause instanceof Error && 'code' in cause && cause.code === code ? 0 : 1;
  }
}
