/** Maps of classes as pictures: the grey value of a pixel is the number of its class. */

import { StableDiffusionError } from '../errors.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import type { Image } from './image.ts';

/** One-hot classes [1, count, h, w] of a map whose pixels are class numbers. Throws `invalid-argument`. */
export function mapTensor({ width, height, channels, data }: Image, count: number): Tensor<'float32'> {
  const plane = width * height;
  const out = new Float32Array(count * plane);
  for (let i = 0; i < plane; i++) {
    const value = data[i * channels] as number;
    const isGrey = channels < 3 || (data[i * channels + 1] === value && data[i * channels + 2] === value);
    if (!isGrey)
      throw new StableDiffusionError(
        'invalid-argument',
        `The map has colours, the first at ${i % width}, ${Math.floor(i / width)}. Give a grey picture whose values are the numbers of the classes.`,
      );
    if (value >= count)
      throw new StableDiffusionError(
        'invalid-argument',
        `The map has class ${value} at ${i % width}, ${Math.floor(i / width)}; the model has the classes 0 to ${count - 1}.`,
      );
    out[value * plane + i] = 1;
  }
  return float32([1, count, height, width], out);
}
