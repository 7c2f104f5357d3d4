/** Spherical interpolation between two noises (A1111 `modules/rng.py slerp`), for variations of a seed. */

import { StableDiffusionError } from '../errors.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';

const f = Math.fround;

/**
 * The noise a share `amount` (0 … 1) of the way from `low` to `high`, both [C, H, W]; the vectors turned are those along H, one for
 * every channel and column, as in the original. Where the two nearly coincide (mean cosine above 0.9995) the original
 * interpolates linearly with its ends swapped, and so does this.
 */
export function slerp(amount: number, low: Tensor<'float32'>, high: Tensor<'float32'>): Tensor<'float32'> {
  const [channels, height, width] = low.shape;
  if (
    channels === undefined ||
    height === undefined ||
    width === undefined ||
    low.shape.length !== 3 ||
    low.shape.join() !== high.shape.join()
  ) {
    throw new StableDiffusionError(
      'shape-mismatch',
      `slerp needs two noises of one shape [C, H, W], and got [${low.shape.join(', ')}] and [${high.shape.join(', ')}].`,
    );
  }
  const columns = channels * width;
  const dots = new Float32Array(columns);
  for (let column = 0; column < columns; column++) {
    const first = Math.floor(column / width) * height * width + (column % width);
    let lowSquares = 0;
    let highSquares = 0;
    for (let row = 0, i = first; row < height; row++, i += width) {
      lowSquares += (low.data[i] as number) ** 2;
      highSquares += (high.data[i] as number) ** 2;
    }
    const lowNorm = f(Math.sqrt(lowSquares));
    const highNorm = f(Math.sqrt(highSquares));
    let dot = 0;
    for (let row = 0, i = first; row < height; row++, i += width) {
      dot += f(f((low.data[i] as number) / lowNorm) * f((high.data[i] as number) / highNorm));
    }
    dots[column] = dot;
  }

  const out = new Float32Array(low.data.length);
  let sum = 0;
  for (const dot of dots) sum += dot;
  if (sum / columns > 0.9995) {
    for (let i = 0; i < out.length; i++)
      out[i] = f((low.data[i] as number) * f(amount)) + f((high.data[i] as number) * f(1 - amount));
    return tensor('float32', low.shape, out);
  }
  for (let column = 0; column < columns; column++) {
    const omega = f(Math.acos(Math.max(-1, Math.min(1, dots[column] as number))));
    const sine = f(Math.sin(omega));
    // Two parallel columns among others that are not: the limit of the formula, where the original divides 0 by 0.
    const lowWeight = sine === 0 ? f(1 - amount) : f(f(Math.sin(f(f(1 - amount) * omega))) / sine);
    const highWeight = sine === 0 ? f(amount) : f(f(Math.sin(f(f(amount) * omega))) / sine);
    const first = Math.floor(column / width) * height * width + (column % width);
    for (let row = 0, i = first; row < height; row++, i += width) {
      out[i] = f(lowWeight * (low.data[i] as number)) + f(highWeight * (high.data[i] as number));
    }
  }
  return tensor('float32', low.shape, out);
}
