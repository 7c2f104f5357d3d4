/**
 * Eigenvalues and eigenvectors of a real symmetric matrix, in float64: Householder's reduction to tridiagonal form, then implicit QL with
 * Wilkinson's shift (Golub & Van Loan, Matrix Computations, 8.3; EISPACK tred1, tql1, tql2 and trbak1). Every inner loop runs along rows.
 */

import { StableDiffusionError } from '../errors.ts';
import type { Matrix } from './matrix.ts';

export interface SymmetricEigen {
  /** In ascending order. */
  readonly values: Float64Array;
  /** Row i is the unit eigenvector of `values[i]`. */
  readonly vectors: Matrix;
}

/** In ascending order. Only the lower triangle is read. Throws `shape-mismatch` unless square, `not-finite` where the iteration does not settle. */
export function symmetricEigenvalues(matrix: Matrix): Float64Array {
  const { diagonal, below } = tridiagonal(matrix);
  implicitQl(diagonal, below, undefined);
  return diagonal.sort();
}

/** Like `symmetricEigenvalues`, with the eigenvectors; about five times the work. */
export function symmetricEigen(matrix: Matrix): SymmetricEigen {
  const n = matrix.rows;
  const { diagonal, below, reflections, sizes } = tridiagonal(matrix);
  const vectors = new Float64Array(n * n);
  for (let i = 0; i < n; i++) vectors[i * n + i] = 1;
  implicitQl(diagonal, below, vectors);
  for (let i = 0; i < n; i++) {
    const vector = vectors.subarray(i * n, (i + 1) * n);
    for (let k = 1; k < n; k++) {
      const h = sizes[k] as number;
      if (h === 0) continue;
      const at = k * n;
      let sum = 0;
      for (let j = 0; j < k; j++) sum += (reflections[at + j] as number) * (vector[j] as number);
      sum /= h;
      for (let j = 0; j < k; j++) vector[j] = (vector[j] as number) - sum * (reflections[at + j] as number);
    }
  }
  const order = Array.from({ length: n }, (_, i) => i).sort(
    (a, b) => (diagonal[a] as number) - (diagonal[b] as number),
  );
  const sorted = new Float64Array(n * n);
  for (const [to, from] of order.entries()) sorted.set(vectors.subarray(from * n, (from + 1) * n), to * n);
  return {
    values: Float64Array.from(order, (i) => diagonal[i] as number),
    vectors: { rows: n, columns: n, data: sorted },
  };
}

interface Tridiagonal {
  readonly diagonal: Float64Array;
  /** `below[i]` lies between `diagonal[i]` and `diagonal[i + 1]`; the last element is 0. */
  readonly below: Float64Array;
  /** Row k holds, in its first k elements, the direction of the reflection that cleared row k; half its squared length is `sizes[k]`, 0 where there was none. */
  readonly reflections: Float64Array;
  readonly sizes: Float64Array;
}

function tridiagonal(matrix: Matrix): Tridiagonal {
  if (matrix.rows !== matrix.columns)
    throw new StableDiffusionError(
      'shape-mismatch',
      `A matrix of ${matrix.rows} x ${matrix.columns} has no eigenvalues: it must be square.`,
    );
  const n = matrix.rows;
  const sizes = new Float64Array(n);
  const a = matrix.data.slice();
  const diagonal = new Float64Array(n);
  const below = new Float64Array(n);
  const p = new Float64Array(n);
  for (let k = n - 1; k > 0; k--) {
    // Row k, left of the diagonal, becomes (0, …, 0, beta) by a reflection along v, which is kept in its place.
    const v = a.subarray(k * n, k * n + k);
    diagonal[k] = a[k * n + k] as number;
    let scale = 0;
    for (let i = 0; i < k; i++) scale = Math.max(scale, Math.abs(v[i] as number));
    let rest = 0;
    for (let i = 0; i < k - 1; i++) rest = Math.max(rest, Math.abs(v[i] as number));
    if (rest === 0) {
      below[k - 1] = v[k - 1] as number;
      continue;
    }
    let norm = 0;
    for (let i = 0; i < k; i++) {
      v[i] = (v[i] as number) / scale;
      norm += (v[i] as number) ** 2;
    }
    const last = v[k - 1] as number;
    const beta = last > 0 ? -Math.sqrt(norm) : Math.sqrt(norm);
    below[k - 1] = beta * scale;
    v[k - 1] = last - beta;
    const h = norm - last * beta; // half of |v|^2
    sizes[k] = h;

    // p = A v / h over the lower triangle of the leading k x k block.
    p.fill(0, 0, k);
    for (let i = 0; i < k; i++) {
      const at = i * n;
      const vi = v[i] as number;
      let sum = 0;
      for (let j = 0; j < i; j++) {
        const value = a[at + j] as number;
        sum += value * (v[j] as number);
        p[j] = (p[j] as number) + value * vi;
      }
      p[i] = (p[i] as number) + sum + (a[at + i] as number) * vi;
    }
    let product = 0;
    for (let i = 0; i < k; i++) {
      p[i] = (p[i] as number) / h;
      product += (p[i] as number) * (v[i] as number);
    }
    const half = product / (2 * h);
    for (let i = 0; i < k; i++) p[i] = (p[i] as number) - half * (v[i] as number);
    for (let i = 0; i < k; i++) {
      const at = i * n;
      const vi = v[i] as number;
      const pi = p[i] as number;
      for (let j = 0; j <= i; j++) a[at + j] = (a[at + j] as number) - vi * (p[j] as number) - pi * (v[j] as number);
    }
  }
  if (n > 0) diagonal[0] = a[0] as number;
  return { diagonal, below, reflections: a, sizes };
}

/** Changes its arguments: `d` becomes the eigenvalues, the rows of `z` (if given, the unit matrix) the eigenvectors of the tridiagonal matrix. */
function implicitQl(d: Float64Array, e: Float64Array, z: Float64Array | undefined): void {
  const n = d.length;
  const at = (array: Float64Array, i: number): number => array[i] as number;
  for (let l = 0; l < n; l++) {
    for (let iteration = 0; ; iteration++) {
      let m = l;
      for (; m < n - 1; m++) {
        const size = Math.abs(at(d, m)) + Math.abs(at(d, m + 1));
        if (Math.abs(at(e, m)) <= Number.EPSILON * size) break;
      }
      if (m === l) break;
      if (iteration === 60)
        throw new StableDiffusionError(
          'not-finite',
          'The eigenvalues of a covariance did not settle: it holds values that are not finite.',
        );
      let g = (at(d, l + 1) - at(d, l)) / (2 * at(e, l));
      let r = Math.hypot(g, 1);
      g = at(d, m) - at(d, l) + at(e, l) / (g + (g >= 0 ? r : -r));
      let s = 1;
      let c = 1;
      let p = 0;
      let i = m - 1;
      for (; i >= l; i--) {
        const f = s * at(e, i);
        const b = c * at(e, i);
        r = Math.hypot(f, g);
        e[i + 1] = r;
        if (r === 0) {
          d[i + 1] = at(d, i + 1) - p;
          e[m] = 0;
          break;
        }
        s = f / r;
        c = g / r;
        g = at(d, i + 1) - p;
        r = (at(d, i) - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        if (z) rotateRows(z, i * n, n, c, s);
      }
      if (r === 0 && i >= l) continue;
      d[l] = at(d, l) - p;
      e[l] = g;
      e[m] = 0;
    }
  }
}

/** Turns the rows of `n` elements at `from` and after it by the angle whose cosine and sine are given. */
function rotateRows(z: Float64Array, from: number, n: number, c: number, s: number): void {
  for (let j = from, k = from + n; j < from + n; j++, k++) {
    const upper = z[j] as number;
    const lower = z[k] as number;
    z[k] = s * upper + c * lower;
    z[j] = c * upper - s * lower;
  }
}
