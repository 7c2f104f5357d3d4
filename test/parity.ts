/** Comparison of tensors and measures with given values, within a tolerance. Recorded cases of whole sets have readers (test/parity). */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import type { Tensor } from '../src/tensor/tensor.ts';

export interface MeasuredError {
  /** What the test is about: a folder of fixtures, a command, … */
  readonly part: string;
  readonly case: string;
  /** What was compared, e.g. the tensor's name. */
  readonly output: string;
  readonly reference?: string;
  /** Largest absolute difference, or the number of rows that differ. */
  readonly error: number;
  readonly tolerance: number;
  readonly note?: string | undefined;
}

export function assertWithin(row: MeasuredError): void {
  const { part, case: name, output, error, tolerance } = row;
  assert.ok(error <= tolerance, `${part} ${name} ${output}: error ${error} is above the tolerance ${tolerance}`);
}

/** Largest absolute difference of two tensors of numbers; Infinity where shapes differ or exactly one of two values is NaN. */
export function maxDifference(got: Tensor, want: Tensor): number {
  if (got.shape.join() !== want.shape.join()) return Number.POSITIVE_INFINITY;
  let largest = 0;
  for (let i = 0; i < want.data.length; i++) {
    const a = Number(got.data[i]);
    const b = Number(want.data[i]);
    if (Object.is(a, b) || a === b) continue;
    const difference = Math.abs(a - b);
    if (!(difference <= largest)) largest = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
  }
  return largest;
}

/** Root mean square of the difference, over that of the values wanted. */
export function relativeError(got: Tensor | undefined, want: Tensor | undefined): number {
  assert.ok(got && want && got.shape.join() === want.shape.join(), `${got?.shape.join()} is not ${want?.shape.join()}`);
  let [difference, whole] = [0, 0];
  want.data.forEach((value: number | bigint, i: number) => {
    difference += (Number(got.data[i]) - Number(value)) ** 2;
    whole += Number(value) ** 2;
  });
  return Math.sqrt(difference / whole);
}

/** Compares a tensor with the wanted one and asserts the tolerance. */
export function compareTensor(row: Omit<MeasuredError, 'error'>, got: Tensor, want: Tensor): void {
  assertWithin({ ...row, error: maxDifference(got, want) });
}

/** The first of these paths that exists. */
export function existingFile(paths: readonly string[]): string {
  const found = paths.find(existsSync);
  if (found === undefined) throw new Error(`none of ${paths.join(', ')} exists`);
  return found;
}
