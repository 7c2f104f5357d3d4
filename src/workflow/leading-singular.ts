/**
 * The leading singular triplets of a matrix: Golub and Kahan's bidiagonalisation with full reorthogonalisation (Golub and Van Loan, Matrix
 * Computations, 10.4), and one-sided Jacobi on the small bidiagonal matrix (8.6.3). Exact to rounding where it ends with all rows or columns.
 */

import { TorchGenerator } from '../random/torch-generator.ts';

/** Rows of float32, row-major. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float32Array;
}

export interface Triplets {
  /** The largest first. */
  readonly values: readonly number[];
  /** Of length `rows`, one for each value. */
  readonly left: readonly Float64Array[];
  /** Of length `columns`. */
  readonly right: readonly Float64Array[];
}

/** Residuals of a triplet relative to the largest value, far below float16's rounding. */
const tolerance = 1e-9;

const dot = (a: Float64Array, b: Float64Array): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
};

function addScaled(to: Float64Array, factor: number, from: Float64Array): void {
  for (let i = 0; i < to.length; i++) to[i] = (to[i] as number) + factor * (from[i] as number);
}

/** Takes out what lies along the others, twice, and makes the length 1; returns the length. */
function orthonormalise(vector: Float64Array, others: readonly Float64Array[]): number {
  for (let pass = 0; pass < 2; pass++) for (const other of others) addScaled(vector, -dot(vector, other), other);
  const length = Math.sqrt(dot(vector, vector));
  if (length > 0) for (let i = 0; i < vector.length; i++) vector[i] = (vector[i] as number) / length;
  return length;
}

/** Four sums at a time: one alone waits for itself. */
function times({ rows, columns, data }: Matrix, vector: Float64Array): Float64Array {
  const out = new Float64Array(rows);
  for (let r = 0; r < rows; r++) {
    const row = data.subarray(r * columns, (r + 1) * columns);
    let [a, b, c, d] = [0, 0, 0, 0];
    let at = 0;
    for (; at + 3 < columns; at += 4) {
      a += (row[at] as number) * (vector[at] as number);
      b += (row[at + 1] as number) * (vector[at + 1] as number);
      c += (row[at + 2] as number) * (vector[at + 2] as number);
      d += (row[at + 3] as number) * (vector[at + 3] as number);
    }
    for (; at < columns; at++) a += (row[at] as number) * (vector[at] as number);
    out[r] = a + b + (c + d);
  }
  return out;
}

/** Two rows at a time. */
function transposedTimes({ rows, columns, data }: Matrix, vector: Float64Array): Float64Array {
  const out = new Float64Array(columns);
  for (let r = 0; r < rows; r += 2) {
    const one = data.subarray(r * columns, (r + 1) * columns);
    const other = r + 1 < rows ? data.subarray((r + 1) * columns, (r + 2) * columns) : one;
    const [first, second] = [vector[r] as number, vector[r + 1] ?? 0];
    for (let c = 0; c < columns; c++)
      out[c] = (out[c] as number) + first * (one[c] as number) + second * (other[c] as number);
  }
  return out;
}

/** Turns two columns, and the same of `v`, so that they stand at right angles; false where they do. */
function rotate(columns: readonly Float64Array[], v: readonly Float64Array[], p: number, q: number): boolean {
  const [a, b] = [columns[p], columns[q]] as [Float64Array, Float64Array];
  const [aa, bb, ab] = [dot(a, a), dot(b, b), dot(a, b)];
  if (Math.abs(ab) <= 1e-15 * Math.sqrt(aa * bb) || ab === 0) return false;
  const zeta = (bb - aa) / (2 * ab);
  const t = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
  const cosine = 1 / Math.sqrt(1 + t * t);
  for (const [x, y] of [[a, b] as const, [v[p], v[q]] as [Float64Array, Float64Array]])
    for (let i = 0; i < x.length; i++) {
      const [one, other] = [x[i] as number, y[i] as number];
      x[i] = cosine * (one - t * other);
      y[i] = cosine * (t * one + other);
    }
  return true;
}

/** All triplets of a small square matrix, given by its columns, which are changed; the largest first. */
function jacobi(columns: readonly Float64Array[]): Triplets {
  const size = columns.length;
  const v = columns.map((_, i) => Float64Array.from({ length: size }, (__, j) => (i === j ? 1 : 0)));
  for (let sweep = 0; sweep < 60; sweep++) {
    let turned = false;
    for (let p = 0; p < size; p++) for (let q = p + 1; q < size; q++) turned = rotate(columns, v, p, q) || turned;
    if (!turned) break;
  }
  const lengths = columns.map((column) => Math.sqrt(dot(column, column)));
  const order = lengths.map((_, i) => i).sort((a, b) => (lengths[b] as number) - (lengths[a] as number));
  const left: Float64Array[] = [];
  for (const i of order) {
    const column = Float64Array.from(columns[i] as Float64Array);
    // A column of zeros has no direction of its own.
    if (orthonormalise(column, left) < 1e-300) column.fill(0);
    left.push(column);
  }
  return { values: order.map((i) => lengths[i] as number), left, right: order.map((i) => v[i] as Float64Array) };
}

function combined(basis: readonly Float64Array[], weights: Float64Array): Float64Array {
  const out = new Float64Array(basis[0]?.length ?? 0);
  for (const [i, vector] of basis.entries()) addScaled(out, weights[i] as number, vector);
  return out;
}

/** A vector of length 1 at right angles to the others; there are fewer of them than its length. */
function fresh(length: number, others: readonly Float64Array[], random: TorchGenerator): Float64Array {
  for (;;) {
    const vector = Float64Array.from(random.randn([length]).data);
    if (orthonormalise(vector, others) > 1e-8) return vector;
  }
}

/** The bidiagonalisation as far as it is: A V = U B. */
class Bidiagonal {
  readonly u: Float64Array[] = [];
  readonly v: Float64Array[] = [];
  readonly diagonal: number[] = [];
  readonly above: number[] = [];
  /** It met a part that A maps to itself: equal values may be missing. */
  hasBroken = false;
  readonly #matrix: Matrix;
  readonly #random = new TorchGenerator(0);
  readonly #least: number;
  readonly #square: number;

  constructor(matrix: Matrix) {
    this.#matrix = matrix;
    this.#square = matrix.data.reduce((sum, value) => sum + value * value, 0);
    this.#least = 1e-12 * Math.sqrt(this.#square);
  }

  /** Whether nothing of the matrix is left. */
  get isWhole(): boolean {
    const held = [...this.diagonal, ...this.above].reduce((sum, value) => sum + value * value, 0);
    return this.#square - held <= 1e-12 * this.#square;
  }

  /** One vector more on both sides. */
  grow(): void {
    const { u, v } = this;
    const last = u.at(-1);
    let next = last
      ? transposedTimes(this.#matrix, last)
      : Float64Array.from(this.#random.randn([this.#matrix.columns]).data);
    let length = orthonormalise(next, v);
    if (length <= this.#least) {
      next = fresh(this.#matrix.columns, v, this.#random);
      length = 0;
      this.hasBroken = true;
    }
    if (last) this.above.push(length);
    v.push(next);
    let image = times(this.#matrix, next);
    let size = orthonormalise(image, u);
    if (size <= this.#least) {
      image = fresh(this.#matrix.rows, u, this.#random);
      size = 0;
    }
    u.push(image);
    this.diagonal.push(size);
  }

  small(): Triplets {
    const size = this.u.length;
    return jacobi(
      Array.from({ length: size }, (_, j) => {
        const column = new Float64Array(size);
        column[j] = this.diagonal[j] as number;
        if (j > 0) column[j - 1] = this.above[j - 1] as number;
        return column;
      }),
    );
  }

  /** The length of what is left of A's transpose times the last vector. */
  rest(): number {
    return orthonormalise(transposedTimes(this.#matrix, this.u.at(-1) as Float64Array), this.v);
  }
}

/** The first `count` triplets, at most as many as there are rows or columns. `turn` is called between products, to let others have theirs. */
export async function leadingTriplets(matrix: Matrix, count: number, turn: () => Promise<void>): Promise<Triplets> {
  const most = Math.min(matrix.rows, matrix.columns);
  const wanted = Math.min(count, most);
  const found = new Bidiagonal(matrix);
  for (let size = Math.min(most, 2 * wanted + 16); ; size = Math.min(most, Math.ceil(size * 1.5))) {
    while (found.u.length < size && !(found.isWhole && found.u.length >= wanted)) {
      found.grow();
      await turn();
    }
    const { values, left, right } = found.small();
    const rest = found.hasBroken ? Number.POSITIVE_INFINITY : found.rest();
    const isExact = found.u.length >= most || found.isWhole;
    const last = found.u.length - 1;
    const isGood = left
      .slice(0, wanted)
      .every((one) => Math.abs(one[last] as number) * rest <= tolerance * (values[0] ?? 0));
    if (!isExact && !isGood) continue;
    return {
      values: values.slice(0, wanted),
      left: left.slice(0, wanted).map((weights) => combined(found.u, weights)),
      right: right.slice(0, wanted).map((weights) => combined(found.v, weights)),
    };
  }
}
