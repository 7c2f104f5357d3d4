/** Discrete Fourier transforms of any size in double precision, as numpy's `fft.fft2` with `norm="ortho"` (Cooley and Tukey 1965, mixed radix). */

/** Complex values: real and imaginary parts. */
export interface Complex {
  readonly re: Float64Array;
  readonly im: Float64Array;
}

export const complex = (length: number): Complex => ({ re: new Float64Array(length), im: new Float64Array(length) });

const smallestFactor = (n: number): number => {
  for (const factor of [4, 2, 3, 5]) if (n % factor === 0) return factor;
  for (let factor = 7; factor * factor <= n; factor += 2) if (n % factor === 0) return factor;
  return n;
};

/** exp(-2 pi i k / n) of every k below n. */
function rootsOf(n: number): Complex {
  const roots = complex(n);
  for (let k = 0; k < n; k++) {
    roots.re[k] = Math.cos((2 * Math.PI * k) / n);
    roots.im[k] = -Math.sin((2 * Math.PI * k) / n);
  }
  return roots;
}

interface Part {
  readonly from: number;
  readonly stride: number;
  readonly length: number;
  readonly to: number;
}

/** Transforms `length` values of `input`, which are `stride` apart, into `output` at `to`. `scratch` is as long as the whole. */
function transform(input: Complex, output: Complex, scratch: Complex, roots: Complex, part: Part): void {
  const { from, stride, length, to } = part;
  if (length === 1) {
    output.re[to] = input.re[from] as number;
    output.im[to] = input.im[from] as number;
    return;
  }
  const radix = smallestFactor(length);
  const size = length / radix;
  for (let r = 0; r < radix; r++)
    transform(input, output, scratch, roots, {
      from: from + r * stride,
      stride: stride * radix,
      length: size,
      to: to + r * size,
    });
  const whole = roots.re.length;
  const turn = whole / length;
  for (let k = 0; k < length; k++) {
    let [re, im] = [0, 0];
    for (let r = 0; r < radix; r++) {
      const at = to + r * size + (k % size);
      const root = (k * r * turn) % whole;
      const [a, b] = [output.re[at] as number, output.im[at] as number];
      const [c, d] = [roots.re[root] as number, roots.im[root] as number];
      re += a * c - b * d;
      im += a * d + b * c;
    }
    scratch.re[k] = re;
    scratch.im[k] = im;
  }
  output.re.set(scratch.re.subarray(0, length), to);
  output.im.set(scratch.im.subarray(0, length), to);
}

/** Transforms every line of `values`: `count` lines of `length` values. */
function transformLines(
  values: Complex,
  length: number,
  lines: Iterable<readonly [from: number, stride: number]>,
): void {
  const roots = rootsOf(length);
  const [output, scratch] = [complex(length), complex(length)];
  for (const [from, stride] of lines) {
    transform(values, output, scratch, roots, { from, stride, length, to: 0 });
    for (let i = 0; i < length; i++) {
      values.re[from + i * stride] = output.re[i] as number;
      values.im[from + i * stride] = output.im[i] as number;
    }
  }
}

/** The transform of `rows` x `columns` values, in place, divided by the root of their number. Twice in a row it is the inverse but for the signs. */
function transform2(values: Complex, rows: number, columns: number): void {
  transformLines(
    values,
    columns,
    Array.from({ length: rows }, (_, y) => [y * columns, 1] as const),
  );
  transformLines(
    values,
    rows,
    Array.from({ length: columns }, (_, x) => [x, columns] as const),
  );
  const scale = 1 / Math.sqrt(rows * columns);
  for (let i = 0; i < values.re.length; i++) {
    values.re[i] = (values.re[i] as number) * scale;
    values.im[i] = (values.im[i] as number) * scale;
  }
}

/** Moves every value by half the size: numpy's `fftshift`, or `ifftshift` for `inverse`. */
function shifted(values: Float64Array, rows: number, columns: number, inverse: boolean): Float64Array {
  const half = (n: number): number => (inverse ? n - Math.floor(n / 2) : Math.floor(n / 2));
  const out = new Float64Array(values.length);
  const right = half(columns);
  for (let y = 0; y < rows; y++) {
    const to = ((y + half(rows)) % rows) * columns;
    const from = y * columns;
    out.set(values.subarray(from, from + columns - right), to + right);
    out.set(values.subarray(from + columns - right, from + columns), to);
  }
  return out;
}

/** `ifftshift(fft2(fftshift(values), norm="ortho"))`, with the lowest frequency in the middle; `inverse` takes ifft2. */
export function centredTransform({ re, im }: Complex, rows: number, columns: number, inverse = false): Complex {
  const sign = inverse ? -1 : 1;
  const values = {
    re: shifted(re, rows, columns, false),
    im: shifted(im, rows, columns, false).map((value) => sign * value),
  };
  transform2(values, rows, columns);
  return {
    re: shifted(values.re, rows, columns, true),
    im: shifted(values.im, rows, columns, true).map((value) => sign * value),
  };
}
