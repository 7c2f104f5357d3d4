/** Products of small-rank matrices on the host: what a merge of adapters consists of. */

import { StableDiffusionError } from '../../errors.ts';
import type { Tensor } from '../../tensor/tensor.ts';

/** A matrix in row-major order; of tensors with more axes, all but the first are columns. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float32Array | Float64Array;
}

/** A tensor as a matrix: [first axis, all others]. */
export function asMatrix({ shape, data }: Tensor<'float32'>): Matrix {
  const rows = shape[0] ?? 1;
  return { rows, columns: rows === 0 ? 0 : data.length / rows, data };
}

/** aᵀ. */
export function transposed({ rows, columns, data }: Matrix): Matrix {
  const turned = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) turned[j * rows + i] = data[i * columns + j] as number;
  return { rows: columns, columns: rows, data: turned };
}

/** a · b, each sum taken in float64 and rounded once. Tiles of four by four keep the sums in registers. Throws `shape-mismatch`. */
export function product(a: Matrix, b: Matrix): Matrix {
  if (a.columns !== b.rows)
    throw new StableDiffusionError(
      'shape-mismatch',
      `Matrices of ${a.rows} x ${a.columns} and ${b.rows} x ${b.columns} cannot be multiplied.`,
    );
  const [m, k, n] = [a.rows, a.columns, b.columns];
  // Rows and columns padded to a multiple of four, so that every tile is whole.
  const [height, width] = [4 * Math.ceil(m / 4), 4 * Math.ceil(n / 4)];
  const out = new Float32Array(height * width);
  const left = new Float64Array(height * k);
  left.set(a.data);
  const right = new Float64Array(width * k);
  right.set(transposed(b).data);
  for (let i = 0; i < m; i += 4) for (let j = 0; j < n; j += 4) writeTile({ left, right, k, i, j }, out, width);
  return { rows: m, columns: n, data: width === n ? out.subarray(0, m * n) : withoutPadding(out, m, n, width) };
}

/** A tile of the product: rows i to i + 3 of `left` with rows j to j + 3 of `right`, each of k values. */
interface Tile {
  readonly left: Float64Array;
  readonly right: Float64Array;
  readonly k: number;
  readonly i: number;
  readonly j: number;
}

function writeTile({ left, right, k, i, j }: Tile, out: Float32Array, width: number): void {
  const [a0, a1, a2, a3] = [i * k, (i + 1) * k, (i + 2) * k, (i + 3) * k];
  const [b0, b1, b2, b3] = [j * k, (j + 1) * k, (j + 2) * k, (j + 3) * k];
  let s00 = 0,
    s01 = 0,
    s02 = 0,
    s03 = 0,
    s10 = 0,
    s11 = 0,
    s12 = 0,
    s13 = 0;
  let s20 = 0,
    s21 = 0,
    s22 = 0,
    s23 = 0,
    s30 = 0,
    s31 = 0,
    s32 = 0,
    s33 = 0;
  for (let l = 0; l < k; l++) {
    const x0 = left[a0 + l] as number,
      x1 = left[a1 + l] as number,
      x2 = left[a2 + l] as number,
      x3 = left[a3 + l] as number;
    const y0 = right[b0 + l] as number,
      y1 = right[b1 + l] as number,
      y2 = right[b2 + l] as number,
      y3 = right[b3 + l] as number;
    s00 += x0 * y0;
    s01 += x0 * y1;
    s02 += x0 * y2;
    s03 += x0 * y3;
    s10 += x1 * y0;
    s11 += x1 * y1;
    s12 += x1 * y2;
    s13 += x1 * y3;
    s20 += x2 * y0;
    s21 += x2 * y1;
    s22 += x2 * y2;
    s23 += x2 * y3;
    s30 += x3 * y0;
    s31 += x3 * y1;
    s32 += x3 * y2;
    s33 += x3 * y3;
  }
  const [r0, r1, r2, r3] = [i * width + j, (i + 1) * width + j, (i + 2) * width + j, (i + 3) * width + j];
  out[r0] = s00;
  out[r0 + 1] = s01;
  out[r0 + 2] = s02;
  out[r0 + 3] = s03;
  out[r1] = s10;
  out[r1 + 1] = s11;
  out[r1 + 2] = s12;
  out[r1 + 3] = s13;
  out[r2] = s20;
  out[r2 + 1] = s21;
  out[r2 + 2] = s22;
  out[r2 + 3] = s23;
  out[r3] = s30;
  out[r3 + 1] = s31;
  out[r3 + 2] = s32;
  out[r3 + 3] = s33;
}

function withoutPadding(padded: Float32Array, rows: number, columns: number, width: number): Float32Array {
  const out = new Float32Array(rows * columns);
  for (let i = 0; i < rows; i++) out.set(padded.subarray(i * width, i * width + columns), i * columns);
  return out;
}

/** Kronecker product: a[i, j] · b as the block (i, j). */
export function kronecker(a: Matrix, b: Matrix): Matrix {
  const columns = a.columns * b.columns;
  const data = new Float32Array(a.rows * b.rows * columns);
  for (let i = 0; i < a.rows; i++) {
    for (let j = 0; j < a.columns; j++) {
      const factor = a.data[i * a.columns + j] as number;
      for (let r = 0; r < b.rows; r++) {
        const at = (i * b.rows + r) * columns + j * b.columns;
        for (let c = 0; c < b.columns; c++) data[at + c] = factor * (b.data[r * b.columns + c] as number);
      }
    }
  }
  return { rows: a.rows * b.rows, columns, data };
}

/** a⁻¹ of a square matrix, by elimination with pivots in float64. Throws `shape-mismatch` for one that has none. */
export function inverse({ rows, columns, data }: Matrix): Matrix {
  if (rows !== columns)
    throw new StableDiffusionError('shape-mismatch', `A matrix of ${rows} x ${columns} has no inverse.`);
  const size = rows;
  const wide = 2 * size;
  const work: Float64Array[] = Array.from({ length: size }, (_, i) => {
    const row = new Float64Array(wide);
    row.set(data.subarray(i * size, (i + 1) * size));
    row[size + i] = 1;
    return row;
  });
  for (let at = 0; at < size; at++) {
    let best = at;
    for (let i = at + 1; i < size; i++)
      if (Math.abs(work[i]?.[at] as number) > Math.abs(work[best]?.[at] as number)) best = i;
    const pivot = work[best] as Float64Array;
    const value = pivot[at] as number;
    if (!(Math.abs(value) > 0))
      throw new StableDiffusionError('shape-mismatch', `A matrix of ${rows} x ${columns} has no inverse.`);
    work[best] = work[at] as Float64Array;
    work[at] = pivot;
    for (let j = at; j < wide; j++) pivot[j] = (pivot[j] as number) / value;
    for (const [i, row] of work.entries()) {
      const factor = row[at] as number;
      if (i === at || factor === 0) continue;
      for (let j = at; j < wide; j++) row[j] = (row[j] as number) - factor * (pivot[j] as number);
    }
  }
  const out = new Float64Array(size * size);
  for (const [i, row] of work.entries()) out.set(row.subarray(size), i * size);
  return { rows, columns, data: out };
}
