/**
 * The Haar wavelet in two dimensions, one level, as PyWavelets' `dwt2`/`idwt2(…, 'haar')`: the same double-precision operations in the same
 * order (columns first forwards, rows first backwards), because the watermark truncates its result.
 */

/** The four half-size bands, row-major. */
export interface HaarBands {
  readonly rows: number;
  readonly columns: number;
  /** cA. */
  readonly approximation: Float64Array;
  /** cH: differences down the columns. */
  readonly horizontal: Float64Array;
  /** cV: differences along the rows. */
  readonly vertical: Float64Array;
  /** cD. */
  readonly diagonal: Float64Array;
}

const s = Math.SQRT1_2;

/** Decomposes `height` x `width` values, both even. */
export function haarForward(values: ArrayLike<number>, height: number, width: number): HaarBands {
  const rows = height / 2;
  const columns = width / 2;
  const make = () => new Float64Array(rows * columns);
  const bands = { rows, columns, approximation: make(), horizontal: make(), vertical: make(), diagonal: make() };
  for (let y = 0, to = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++, to++) {
      const top = 2 * y * width + 2 * x;
      const a = values[top] as number;
      const b = values[top + 1] as number;
      const c = values[top + width] as number;
      const d = values[top + width + 1] as number;
      const leftLow = s * c + s * a;
      const rightLow = s * d + s * b;
      const leftHigh = -s * c + s * a;
      const rightHigh = -s * d + s * b;
      bands.approximation[to] = s * rightLow + s * leftLow;
      bands.vertical[to] = -s * rightLow + s * leftLow;
      bands.horizontal[to] = s * rightHigh + s * leftHigh;
      bands.diagonal[to] = -s * rightHigh + s * leftHigh;
    }
  }
  return bands;
}

/** Recomposes 2 `rows` x 2 `columns` values. */
export function haarInverse({ rows, columns, approximation, horizontal, vertical, diagonal }: HaarBands): Float64Array {
  const width = 2 * columns;
  const out = new Float64Array(2 * rows * width);
  for (let y = 0, from = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++, from++) {
      const a = approximation[from] as number;
      const v = vertical[from] as number;
      const h = horizontal[from] as number;
      const d = diagonal[from] as number;
      const leftLow = s * a + s * v;
      const rightLow = s * a + -s * v;
      const leftHigh = s * h + s * d;
      const rightHigh = s * h + -s * d;
      const top = 2 * y * width + 2 * x;
      out[top] = s * leftLow + s * leftHigh;
      out[top + 1] = s * rightLow + s * rightHigh;
      out[top + width] = s * leftLow + -s * leftHigh;
      out[top + width + 1] = s * rightLow + -s * rightHigh;
    }
  }
  return out;
}
