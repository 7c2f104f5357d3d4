/**
 * Between images and the tensors of the networks: float32 [n, channels, height, width] in [-1, 1].
 *
 * Each convention is one arithmetic in single precision, rounding after every operation as NumPy and PyTorch do, because truncation makes a
 * difference in the last bit a difference of one level.
 */

import { StableDiffusionError } from '../errors.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';
import { type Channels, createImage, type Image } from './image.ts';
import { roundHalfEven } from '../tensor/round-half-even.ts';

/**
 * Conversion of a value in [-1, 1] to a byte.
 *
 * - `compvis`: scripts/txt2img.py when saving: `(255. * clamp((x + 1) / 2, 0, 1)).astype(uint8)`, so truncation.
 * - `compvis-safety-checker`: `numpy_to_pil` of the same script: `(255 * clamp((x + 1) / 2, 0, 1)).round()`.
 * - `adm`: guided-diffusion's scripts: `((x + 1) * 127.5).clamp(0, 255).to(uint8)`, so truncation.
 * - `diffusers`: `VaeImageProcessor.postprocess`: `(clamp(x * 0.5 + 0.5, 0, 1) * 255).round()`.
 *
 * Rounding is half to even; NaN becomes 0.
 */
export const byteConventions = ['compvis', 'compvis-safety-checker', 'diffusers', 'adm'] as const;
export type ByteConvention = (typeof byteConventions)[number];

const fround = Math.fround;

const clamp01 = (value: number): number => (value > 0 ? Math.min(value, 1) : 0); // NaN is 0

const toByte: { readonly [K in ByteConvention]: (x: number) => number } = {
  compvis: (x) => Math.trunc(fround(255 * clamp01(fround(fround(x + 1) / 2)))),
  'compvis-safety-checker': (x) => roundHalfEven(fround(255 * clamp01(fround(fround(x + 1) / 2)))),
  adm: (x) => Math.trunc(Math.min(Math.max(fround(fround(x + 1) * 127.5) || 0, 0), 255)),
  diffusers: (x) => roundHalfEven(fround(255 * clamp01(fround(fround(x * 0.5) + 0.5)))),
};

/** Bytes of float32 values in [-1, 1], element by element. */
export function floatsToBytes(values: Float32Array, convention: ByteConvention): Uint8Array {
  const convert = toByte[convention];
  const out = new Uint8Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = convert(values[i] as number);
  return out;
}

/** The images of a float32 tensor [n, 1 or 3 or 4, height, width] in [-1, 1]. Throws `shape-mismatch` for other shapes and element types. */
export function tensorToImages(batch: Tensor, convention: ByteConvention = 'compvis'): Image[] {
  const [count = 0, channels = 0, height = 0, width = 0] = batch.shape;
  if (batch.shape.length !== 4 || (channels !== 1 && channels !== 3 && channels !== 4) || batch.dtype !== 'float32') {
    throw new StableDiffusionError(
      'shape-mismatch',
      `Images are float32 tensors [n, 1 or 3 or 4, height, width]; ${batch.dtype} [${batch.shape.join(', ')}] was given.`,
    );
  }
  const values = batch.data as Float32Array;
  const convert = toByte[convention];
  const plane = height * width;
  return Array.from({ length: count }, (_, n) => {
    const image = createImage(width, height, channels);
    for (let c = 0; c < channels; c++) {
      const from = (n * channels + c) * plane;
      for (let i = 0; i < plane; i++) image.data[i * channels + c] = convert(values[from + i] as number);
    }
    return image;
  });
}

/**
 * Conversion of a byte to a value in [-1, 1].
 *
 * - `compvis`: `2 * (x / 255) - 1` (load_img of img2img.py; diffusers too).
 * - `compvis-inpaint-st`: `x / 127.5 - 1` (make_batch_sd of inpaint_st.py; the training sets).
 */
export type FloatConvention = 'compvis' | 'compvis-inpaint-st';

function floatTable(convention: FloatConvention): Float32Array {
  return Float32Array.from({ length: 256 }, (_, byte) =>
    convention === 'compvis' ? fround(2 * fround(byte / 255)) - 1 : fround(byte / 127.5) - 1,
  );
}

/** float32 [n, channels, height, width] in [-1, 1] of images that all have one size and number of channels. */
export function imagesToTensor(
  images: readonly Image<Channels>[],
  convention: FloatConvention = 'compvis',
): Tensor<'float32'> {
  const first = images[0];
  if (!first) throw new StableDiffusionError('invalid-argument', 'A tensor of images needs at least one image.');
  const { width, height, channels } = first;
  const plane = width * height;
  const out = new Float32Array(images.length * channels * plane);
  const table = floatTable(convention);
  for (const [n, image] of images.entries()) {
    if (image.width !== width || image.height !== height || image.channels !== channels) {
      throw new StableDiffusionError(
        'shape-mismatch',
        `The images of one tensor have one size: ${width}x${height}x${channels} and ${image.width}x${image.height}x${image.channels} were given.`,
      );
    }
    for (let c = 0; c < channels; c++) {
      const to = (n * channels + c) * plane;
      for (let i = 0; i < plane; i++) out[to + i] = table[image.data[i * channels + c] as number] as number;
    }
  }
  return tensor('float32', [images.length, channels, height, width], out);
}

/** Values from [-1, 1] in [0, 1]. */
export const inShares = (values: Tensor<'float32'>): Tensor<'float32'> => ({
  ...values,
  data: values.data.map((value) => (value + 1) / 2),
});

/** Rows of pictures uint8 [n, h, w, c] as float32 [rows, c, h, w]: `x / 127.5 - 1` in single precision. */
export function bytesToTensor(pictures: Tensor, rows: readonly number[]): Tensor<'float32'> {
  const [, height = 0, width = 0, channels = 0] = pictures.shape;
  const plane = height * width;
  const data = new Float32Array(rows.length * channels * plane);
  for (const [to, row] of rows.entries())
    for (let c = 0; c < channels; c++)
      for (let i = 0; i < plane; i++)
        data[(to * channels + c) * plane + i] =
          fround(Number(pictures.data[(row * plane + i) * channels + c]) / 127.5) - 1;
  return { dtype: 'float32', shape: [rows.length, channels, height, width], data };
}
