/** ComfyUI's `common_upscale`: resizing of [b, c, h, w] by the name of a method, of the whole or of what is left of a crop in the middle. */

import { StableDiffusionError } from '../errors.ts';
import { createImage } from '../image/image.ts';
import { resize } from '../image/resize.ts';
import { bislerp } from '../tensor/bislerp.ts';
import { resizeBilinear } from '../tensor/resize-bilinear.ts';
import { resizeTensor } from '../tensor/resize-tensor.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { byteOf, channelsFirst, channelsLast } from './pictures.ts';
import { toBatch } from './sampling/to-batch.ts';
import { roundHalfEven } from '../tensor/round-half-even.ts';
import { cropPlanes } from '../tensor/crop-planes.ts';

type Float32 = Tensor<'float32'>;

/** Larger sides than these are an accident: 2^28 numbers are a gigabyte. */
const mostNumbers = 2 ** 28;

/** Pillow's lanczos, through 8 bits. */
function lanczos(x: Float32, height: number, width: number): Float32 {
  const [batch = 1, channels = 3] = x.shape;
  const last = channelsLast(x);
  const size = last.data.length / batch;
  const data = new Float32Array(batch * channels * height * width);
  for (let b = 0; b < batch; b++) {
    const bytes = Uint8Array.from(last.data.subarray(b * size, (b + 1) * size), byteOf);
    const image = createImage(x.shape[3] ?? 1, x.shape[2] ?? 1, channels as 1 | 3 | 4, bytes);
    data.set(
      Float32Array.from(resize(image, width, height, 'lanczos').data, (byte) => byte / 255),
      b * channels * height * width,
    );
  }
  return channelsFirst({ dtype: 'float32', shape: [batch, height, width, channels], data });
}

const methods: Readonly<Record<string, (x: Float32, height: number, width: number) => Float32>> = {
  bilinear: resizeBilinear,
  bislerp,
  lanczos,
  'nearest-exact': (x, height, width) => resizeTensor(x, height, width, 'nearest-exact'),
  area: (x, height, width) => resizeTensor(x, height, width, 'area'),
  bicubic: (x, height, width) => resizeTensor(x, height, width, 'bicubic'),
};

/** The part in the middle that has the ratio of a size. */
function middle(x: Float32, height: number, width: number): Float32 {
  const [, , h = 1, w = 1] = x.shape;
  const [before, after] = [w / h, width / height];
  const left = before > after ? roundHalfEven((w - w * (after / before)) / 2) : 0;
  const top = before < after ? roundHalfEven((h - h * (before / after)) / 2) : 0;
  return cropPlanes(x, { left, top, width: w - 2 * left, height: h - 2 * top });
}

/** Throws `invalid-argument` for a size of 0, `too-large`. */
export function upscale(
  x: Float32,
  {
    width,
    height,
    method,
    crop = 'disabled',
  }: { readonly width: number; readonly height: number; readonly method: string; readonly crop?: string },
): Float32 {
  const [batch = 1, channels = 1] = x.shape;
  if (width < 1 || height < 1)
    throw new StableDiffusionError(
      'invalid-argument',
      `A size of ${width} by ${height} is too small. Give at least 1 by 1.`,
    );
  if (batch * channels * width * height > mostNumbers)
    throw new StableDiffusionError(
      'too-large',
      `A size of ${width} by ${height} is too large for a batch of ${batch}.`,
    );
  const run = methods[method];
  if (!run) throw new StableDiffusionError('invalid-argument', `There is no method of resizing ${method}.`);
  return run(crop === 'center' ? middle(x, height, width) : x, height, width);
}

/** `upscale` of IMAGE [b, h, w, c]. */
export const upscaleImage = (image: Float32, options: Parameters<typeof upscale>[1]): Float32 =>
  channelsLast(upscale(channelsFirst(image), options));

/** A latent in the size of another, cut in the middle to its ratio. */
export function sizedLike(x: Float32, shape: readonly number[], method: string): Float32 {
  const [, , height = 1, width = 1] = shape;
  if (x.shape[2] === height && x.shape[3] === width) return x;
  return upscale(x, { width, height, method, crop: 'center' });
}

/** A latent in the size, and where wanted the batch, of another. */
export function likeShape(x: Float32, shape: readonly number[], repeats = true): Float32 {
  const sized = sizedLike(x, shape, 'bilinear');
  return repeats ? toBatch(sized, shape[0] ?? 1) : sized;
}
