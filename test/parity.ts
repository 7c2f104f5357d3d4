/**
 * Comparison with the reference, and the record from which docs/parity.md is made.
 *
 * `recordParity` asserts that the measured error is within the tolerance and appends one row to build/parity/, one file a process.
 */

import assert from 'node:assert/strict';
import { appendFileSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Tensor } from '../src/tensor/tensor.ts';

export interface ParityRow {
  /** Folder of the reference set: networks, diffusion/samplers, files/ckpt, … */
  readonly part: string;
  readonly case: string;
  /** What was compared, e.g. the tensor's name. */
  readonly output: string;
  readonly reference?: string;
  /** Largest absolute difference, or the number of rows that differ. */
  readonly error: number;
  readonly tolerance: number;
  /** A reason, for a case that is skipped or known to differ. */
  readonly note?: string;
}

const folder = join(import.meta.dirname, '../build/parity');

export function recordParity(row: ParityRow): void {
  mkdirSync(folder, { recursive: true });
  appendFileSync(join(folder, `${process.pid}.jsonl`), `${JSON.stringify(row)}\n`);
  assert.ok(
    row.error <= row.tolerance,
    `${row.part} ${row.case} ${row.output}: error ${row.error} is above the tolerance ${row.tolerance}`,
  );
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

/** Compares a tensor with the recorded one, records the error and asserts the tolerance. */
export function compareTensor(row: Omit<ParityRow, 'error'>, got: Tensor, want: Tensor): void {
  recordParity({ ...row, error: maxDifference(got, want) });
}

/** The first of these paths that exists. */
export function existingFile(paths: readonly string[]): string {
  const found = paths.find(existsSync);
  if (found === undefined) throw new Error(`none of ${paths.join(', ')} exists`);
  return found;
}
