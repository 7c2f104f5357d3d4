/**
 * The condition of 9-channel inpainting models: image, mask and masked image.
 *
 * `latent-diffusion` is `make_batch` of CompVis scripts/inpaint.py (the mask too is mapped to [-1, 1]); `stable-diffusion` is
 * `make_batch_sd` of runwayml's scripts/inpaint_st.py (the mask stays 0 and 1, and the hole is 0, mid grey, rather than -1, black).
 */

import { StableDiffusionError } from '../errors.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';
import { type Image, toGrey, toRgb } from './image.ts';
import { imagesToTensor } from './image-tensor.ts';
import { resize } from './resize.ts';

export interface InpaintBatch {
  /** float32 [1, 3, height, width] in [-1, 1]. */
  readonly image: Tensor<'float32'>;
  /** float32 [1, 1, height, width]: 1 where the picture is regenerated. */
  readonly mask: Tensor<'float32'>;
  /** float32 [1, 3, height, width]. */
  readonly maskedImage: Tensor<'float32'>;
}

export type InpaintConvention = 'latent-diffusion' | 'stable-diffusion';

/**
 * The mask counts as 1 from a luma of 128 (0.5 of x/255) on; with `soft`, as A1111's `mask_round: false`, it is luma / 255 and the image is
 * darkened by it. Throws `shape-mismatch` where mask and image have different sizes.
 */
export function inpaintBatch(
  picture: Image,
  maskPicture: Image,
  convention: InpaintConvention,
  { soft = false }: { readonly soft?: boolean } = {},
): InpaintBatch {
  const { width, height } = picture;
  if (maskPicture.width !== width || maskPicture.height !== height) {
    throw new StableDiffusionError(
      'shape-mismatch',
      `The mask is ${maskPicture.width}x${maskPicture.height} pixels and the image ${width}x${height}; they must be the same size. Resize one of them.`,
    );
  }
  const ldm = convention === 'latent-diffusion';
  const rgb = toRgb(picture);
  const grey = toGrey(maskPicture).data;
  const image = imagesToTensor([rgb], ldm ? 'compvis' : 'compvis-inpaint-st');
  const plane = width * height;
  const isSoft = soft && !ldm;
  const mask = Float32Array.from(grey, (value) => (isSoft ? value / 255 : value >= 128 ? 1 : ldm ? -1 : 0));
  const maskedImage = image.data.slice();
  for (let i = 0; i < maskedImage.length; i++) {
    if (isSoft) maskedImage[i] = (maskedImage[i] as number) * (1 - (mask[i % plane] as number));
    else if ((grey[i % plane] as number) >= 128) maskedImage[i] = ldm ? -1 : 0;
  }
  return {
    image,
    mask: tensor('float32', [1, 1, height, width], mask),
    maskedImage: tensor('float32', [1, 3, height, width], maskedImage),
  };
}

/** The rules by which a mask is brought to the latent's size. */
export const maskRules = ['threshold', 'round', 'soft'] as const;

/** A1111's mask of the latent, [1, 1, height, width]: resampled by Pillow's bicubic filter, then 0 or 1 (`round`), or as it is (`soft`). */
export function latentMask(
  mask: Image,
  height: number,
  width: number,
  rule: (typeof maskRules)[1 | 2],
): Tensor<'float32'> {
  const small = resize(toGrey(mask), width, height, 'bicubic').data;
  const values = Float32Array.from(small, (value) => (rule === 'soft' ? value / 255 : value >= 128 ? 1 : 0));
  return tensor('float32', [1, 1, height, width], values);
}

/** `torch.nn.functional.interpolate(mask, size=[height, width])` (nearest): source index `floor(i * in / out)` in single precision. */
export function interpolateMask(mask: Tensor<'float32'>, height: number, width: number): Tensor<'float32'> {
  const [count = 1, channels = 1, fromHeight = 1, fromWidth = 1] = mask.shape;
  const positions = (from: number, to: number): number[] => {
    const scale = Math.fround(from / to);
    return Array.from({ length: to }, (_, i) => Math.min(from - 1, Math.floor(Math.fround(i * scale))));
  };
  const xs = positions(fromWidth, width);
  const ys = positions(fromHeight, height);
  const out = new Float32Array(count * channels * height * width);
  let to = 0;
  for (let plane = 0; plane < count * channels; plane++) {
    for (const y of ys) for (const x of xs) out[to++] = mask.data[(plane * fromHeight + y) * fromWidth + x] as number;
  }
  return tensor('float32', [count, channels, height, width], out);
}
