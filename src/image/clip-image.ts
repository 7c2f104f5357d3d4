/**
 * Preprocessing for CLIP's vision model: Hugging Face `CLIPImageProcessor` with the settings of openai/clip-vit-large-patch14, which
 * the safety checker uses too. Shortest edge to 224 pixels by Pillow's bicubic, centre crop, mean and standard deviation of CLIP's training set.
 */

import { type Tensor, tensor } from '../tensor/tensor.ts';
import { crop, type Image, toRgb } from './image.ts';
import { resize } from './resize.ts';

export const clipImageMean = [0.48145466, 0.4578275, 0.40821073] as const;
export const clipImageStd = [0.26862954, 0.26130258, 0.27577711] as const;

export interface ClipImageOptions {
  /** Side of the square the model takes, in pixels. Default 224. */
  readonly size?: number;
}

/** The square that the model sees: the shortest edge at `size` pixels, the centre. Alpha is dropped. */
export function clipSquare(image: Image, size: number): Image<3> {
  const short = Math.min(image.width, image.height);
  const long = Math.trunc((size * Math.max(image.width, image.height)) / short);
  const portrait = image.width <= image.height;
  const resized = resize(toRgb(image), portrait ? size : long, portrait ? long : size, 'bicubic');
  const [left, top] = [Math.floor((resized.width - size) / 2), Math.floor((resized.height - size) / 2)];
  return crop(resized, left, top, size, size);
}

/** float32 [n, 3, size, size], normalised. */
export function clipImageTensor(images: readonly Image[], options: ClipImageOptions = {}): Tensor<'float32'> {
  const { size = 224 } = options;
  return clipTensor(
    images.map((image) => clipSquare(image, size)),
    size,
  );
}

/** Squares of one size → float32 [n, 3, size, size], with CLIP's mean and deviation. */
export function clipTensor(squares: readonly Image<3>[], size: number): Tensor<'float32'> {
  const plane = size * size;
  const out = new Float32Array(squares.length * 3 * plane);
  for (const [n, square] of squares.entries()) {
    for (let c = 0; c < 3; c++) {
      // Scaled by 1/255 in double precision; then, in single, subtract the mean, then divide.
      const mean = Math.fround(clipImageMean[c] as number);
      const std = Math.fround(clipImageStd[c] as number);
      const table = Float32Array.from(
        { length: 256 },
        (_, byte) => Math.fround(Math.fround(byte * (1 / 255)) - mean) / std,
      );
      for (let i = 0; i < plane; i++) out[(n * 3 + c) * plane + i] = table[square.data[3 * i + c] as number] as number;
    }
  }
  return tensor('float32', [squares.length, 3, size, size], out);
}
