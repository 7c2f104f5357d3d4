/** Latents for inpainting: what is masked is grey before the picture is encoded, and the mask travels with the latent. */

import { float32, type Tensor } from '../tensor/tensor.ts';
import type { NodeContext } from './context-in-run.ts';
import { croppedToUnits, encodePixels } from './first-stage.ts';
import { fitSize } from './sampling/entry-inputs.ts';
import { roundHalfEven } from '../tensor/round-half-even.ts';
import type { LatentValue } from './values.ts';
import { type ConditioningValue, withFields } from './values/conditioning.ts';
import type { VaeValue } from './values/vae.ts';

type Float32 = Tensor<'float32'>;

/** A mask as [b, 1, h, w] in the size of pictures [b, h, w, c]. */
function maskFor(mask: Float32, pixels: Float32): Float32 {
  const [h = 1, w = 1] = mask.shape.slice(-2);
  return fitSize({ ...mask, shape: [mask.data.length / (h * w), 1, h, w] }, pixels.shape[1] ?? 1, pixels.shape[2] ?? 1);
}

/** A part [b, 1, height, width] of a mask [b, 1, h, w]. */
function cropMask(mask: Float32, { top, left, height, width }: Crop): Float32 {
  const [batch = 1, , h = 1, w = 1] = mask.shape;
  const data = new Float32Array(batch * height * width);
  for (let b = 0; b < batch; b++)
    for (let y = 0; y < height; y++)
      data.set(
        mask.data.subarray((b * h + top + y) * w + left, (b * h + top + y) * w + left + width),
        (b * height + y) * width,
      );
  return float32([batch, 1, height, width], data);
}

interface Crop {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
}

/** Pictures whose masked pixels are 0.5. */
function greyed(pixels: Float32, mask: Float32): Float32 {
  const [batch = 1, height = 1, width = 1, channels = 3] = pixels.shape;
  const plane = height * width;
  const masks = mask.shape[0] ?? 1;
  const data = pixels.data.slice();
  for (let b = 0; b < batch; b++)
    for (let i = 0; i < plane; i++) {
      const keep = 1 - roundHalfEven(mask.data[(b % masks) * plane + i] as number);
      for (let c = 0; c < channels; c++) {
        const at = (b * plane + i) * channels + c;
        data[at] = Math.fround(Math.fround((data[at] as number) - 0.5) * keep) + 0.5;
      }
    }
  return { ...pixels, data };
}

/** A mask grown by a box of `grow` pixels and rounded. */
function grown(mask: Float32, grow: number): Float32 {
  const [batch = 1, , height = 1, width = 1] = mask.shape;
  const rounded = mask.data.map(roundHalfEven);
  if (grow === 0) return { ...mask, data: rounded };
  const [before, after] = [Math.ceil((grow - 1) / 2), grow - 1 - Math.ceil((grow - 1) / 2)];
  const spread = (
    data: Float32Array,
    step: number,
    length: number,
    lines: (line: number) => number,
    count: number,
  ): Float32Array => {
    const out = new Float32Array(data.length);
    for (let line = 0; line < count; line++) {
      const start = lines(line);
      for (let i = 0; i < length; i++) {
        let sum = 0;
        for (let j = Math.max(0, i - before); j <= Math.min(length - 1, i + after); j++)
          sum += data[start + j * step] as number;
        out[start + i * step] = Math.min(1, Math.max(0, sum));
      }
    }
    return out;
  };
  const plane = height * width;
  const rows = spread(rounded, 1, width, (line) => line * width, batch * height);
  const both = spread(rows, width, height, (line) => Math.floor(line / width) * plane + (line % width), batch * width);
  return { ...mask, data: both.map(roundHalfEven) };
}

/** The latent of pictures whose masked pixels are grey, with the grown mask. */
export async function inpaintLatent(
  {
    pixels,
    vae,
    mask,
    grow,
  }: { readonly pixels: Float32; readonly vae: VaeValue; readonly mask: Float32; readonly grow: number },
  context: NodeContext,
): Promise<LatentValue> {
  const { picture, crop } = croppedToUnits(vae, pixels);
  const own = cropMask(maskFor(mask, pixels), crop);
  const samples = await encodePixels(vae, greyed(picture, own), context);
  return { samples, noiseMask: grown(own, grow) };
}

/** Conditionings and the latent for models that take a mask and what is kept as further channels. */
export async function inpaintConditioning(
  options: {
    readonly prompts: readonly [positive: ConditioningValue, negative: ConditioningValue];
    readonly vae: VaeValue;
    readonly pixels: Float32;
    readonly mask: Float32;
    readonly keepsMask: boolean;
  },
  context: NodeContext,
): Promise<readonly [ConditioningValue, ConditioningValue, LatentValue]> {
  const { prompts, vae, pixels, mask, keepsMask } = options;
  const { picture, crop } = croppedToUnits(vae, pixels);
  const own = cropMask(maskFor(mask, pixels), crop);
  const kept = await encodePixels(vae, greyed(picture, own), context);
  const samples = await encodePixels(vae, picture, context);
  const fields = { concat_latent_image: kept, concat_mask: own };
  return [
    withFields(prompts[0], fields),
    withFields(prompts[1], fields),
    { samples, ...(keepsMask && { noiseMask: own }) },
  ];
}
