/** Arguments of a recorded run that its index does not state, from what was recorded. */

import type { Tensor } from '../../src/tensor/tensor.ts';

type Run = (values: readonly number[]) => Tensor | Promise<Tensor>;

/**
 * The arguments whose run comes closest to the recorded tensor, rounded to three digits: Gauss-Newton from `start`, which is kept where it fits. The
 * rounding leaves so few values that every other number of the run is still a comparison.
 */
export async function fittedArguments(start: readonly number[], run: Run, want: Tensor): Promise<readonly number[]> {
  const target = Array.from(want.data as ArrayLike<number>, Number);
  const largest = target.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
  const away = async (values: readonly number[]): Promise<number[]> => {
    const { data } = await run(values);
    return target.map((value, i) => value - Number(data[i]));
  };
  let values = [...start];
  let best = { values, error: Number.POSITIVE_INFINITY };
  for (let i = 0; i < 12; i++) {
    const rest = await away(values);
    const error = rest.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / largest;
    if (i === 0 && error <= 1e-5) return start;
    if (!(error < 0.7 * best.error)) break;
    best = { values, error };
    const slopes: number[][] = [];
    for (const [k, value] of values.entries()) {
      const width = 1e-3 * Math.max(Math.abs(value), 0.1);
      const moved = await away(values.with(k, value + width));
      slopes.push(rest.map((before, at) => (before - (moved[at] as number)) / width));
    }
    const change = solved(
      slopes.map((one) => slopes.map((other) => dot(one, other))),
      slopes.map((one) => dot(one, rest)),
    );
    values = values.map((value, k) => value + (change[k] as number));
  }
  return best.values.map((value) => Number(value.toPrecision(3)));
}

const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, value, i) => sum + value * (b[i] as number), 0);

/** x of m x = b: Gauss-Jordan without pivots; m is symmetric and positive. */
function solved(m: readonly number[][], b: readonly number[]): number[] {
  const rows = m.map((row, i) => [...row, b[i] as number]);
  for (const [i, row] of rows.entries()) {
    const pivot = row[i] as number;
    for (let k = 0; k < row.length; k++) row[k] = (row[k] as number) / pivot;
    for (const [j, other] of rows.entries()) {
      const factor = other[i] as number;
      if (j !== i) for (let k = 0; k < other.length; k++) other[k] = (other[k] as number) - factor * (row[k] as number);
    }
  }
  return rows.map((row) => row.at(-1) as number);
}

/** Every number in a text. */
export const numbersIn = (text: string): number[] =>
  Array.from(text.matchAll(/-?\d*\.?\d+/g), ([found]) => Number(found));
