/**
 * Immiscible noise: the draws of a batch go to the pictures that they are near to (Li et al. 2024, "Immiscible Diffusion", arXiv 2406.12303).
 * The assignment of least total distance, by the Hungarian method (Kuhn 1955, in the form of Jonker and Volgenant).
 */

import type { Tensor } from '../../tensor/tensor.ts';

/** For each row of a square matrix of costs its column, so that the sum is least. */
export function leastAssignment(costs: readonly (readonly number[])[]): number[] {
  const n = costs.length;
  const rowPrice = new Float64Array(n + 1);
  const columnPrice = new Float64Array(n + 1);
  const rowOf = new Int32Array(n + 1); // of each column, from 1; 0 is none
  for (let row = 1; row <= n; row++) {
    const from = new Int32Array(n + 1);
    const least = new Float64Array(n + 1).fill(Number.POSITIVE_INFINITY);
    const used = new Uint8Array(n + 1);
    rowOf[0] = row;
    let column = 0;
    do {
      used[column] = 1;
      const current = rowOf[column] as number;
      let [step, next] = [Number.POSITIVE_INFINITY, 0];
      for (let j = 1; j <= n; j++) {
        if (used[j]) continue;
        const reduced = (costs[current - 1]?.[j - 1] ?? 0) - (rowPrice[current] as number) - (columnPrice[j] as number);
        if (reduced < (least[j] as number)) {
          least[j] = reduced;
          from[j] = column;
        }
        if ((least[j] as number) < step) [step, next] = [least[j] as number, j];
      }
      for (let j = 0; j <= n; j++) {
        if (used[j]) {
          rowPrice[rowOf[j] as number] = (rowPrice[rowOf[j] as number] as number) + step;
          columnPrice[j] = (columnPrice[j] as number) - step;
        } else least[j] = (least[j] as number) - step;
      }
      column = next;
    } while (rowOf[column] !== 0);
    while (column !== 0) {
      const before = from[column] as number;
      rowOf[column] = rowOf[before] as number;
      column = before;
    }
  }
  const columns = new Array<number>(n).fill(0);
  for (let j = 1; j <= n; j++) columns[(rowOf[j] as number) - 1] = j - 1;
  return columns;
}

/** Which draw each picture gets: the least sum of Euclidean distances over the batch. */
export function immiscibleAssignment(pictures: Tensor<'float32'>, noise: Tensor<'float32'>): number[] {
  const items = pictures.shape[0] ?? 0;
  const size = pictures.data.length / Math.max(items, 1);
  const distance = (a: number, b: number): number => {
    let sum = 0;
    for (let i = 0; i < size; i++)
      sum += ((pictures.data[a * size + i] as number) - (noise.data[b * size + i] as number)) ** 2;
    return Math.sqrt(sum);
  };
  return leastAssignment(
    Array.from({ length: items }, (_, a) => Array.from({ length: items }, (_, b) => distance(a, b))),
  );
}
