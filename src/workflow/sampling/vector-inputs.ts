/**
 * The vector that a UNet gets for one entry of a conditioning: SDXL's pooled text with the picture's sizes, or pictures seen by CLIP, noised
 * (`unclip_adm`, `sdxl_pooled` of ComfyUI's model_base.py).
 */

import { sizes } from '../../conditioning/sizes.ts';
import { imageVector } from '../../conditioning/image-noise.ts';
import { type ImageConditionOf, imageConditionSchema } from '../../config/image-condition.ts';
import { StableDiffusionError } from '../../errors.ts';
import { offsetSeed, type Seed } from '../../random/seed.ts';
import { TorchGenerator } from '../../random/torch-generator.ts';
import { concatenate } from '../../tensor/arithmetic.ts';
import { roundHalfEven } from '../../tensor/round-half-even.ts';
import { float32, type Tensor, zeros } from '../../tensor/tensor.ts';
import type { ConditioningEntry, SeenPrompt } from '../values/conditioning.ts';
import type { ModelValue } from '../values/model.ts';
import type { RunShape } from './run-shape.ts';

type Float32 = Tensor<'float32'>;

/** Pixels along each axis of one latent element, as SDXL's sizes count them. */
const pixels = 8;
/** SDXL's sizes: numbers of 256 values each. */
const sizeWidth = 256;
/** The noise of a picture comes from the run's seed less this. */
const seedOffset = -10;
/** Noise on the sum of several pictures, as a share of the levels: variation models have some, SDXL none. */
const mergeNoise = 0.05;

type Noising = ImageConditionOf<'image_embedding'>;

/** The noised pictures with their levels, weighted, [1, 2 width]. Several are added, and the sum is noised once more. */
function noisedPictures(seen: readonly SeenPrompt[], config: Noising, seed: Seed, merge: number): Float32 | undefined {
  const levelOf = (share: number): number => roundHalfEven((config.timesteps - 1) * share);
  let generator = new TorchGenerator(offsetSeed(seed, seedOffset));
  let sum: Float32 | undefined;
  let count = 0;
  for (const { pictures, strength, noise } of seen) {
    const [rows = 0, width = 1] = pictures.shape;
    for (let i = 0; i < rows; i++) {
      generator = new TorchGenerator(offsetSeed(seed, seedOffset));
      const one = float32([1, width], pictures.data.subarray(i * width, (i + 1) * width));
      const made = imageVector(config, one, generator.randn([1, width]), levelOf(noise));
      const before = sum?.data;
      const data = made.data.map((value, at) => Math.fround(value * Math.fround(strength)) + (before?.[at] ?? 0));
      sum = { ...made, data };
      count++;
    }
  }
  if (!sum || count < 2) return sum;
  const width = (sum.shape[1] ?? 0) - config.width;
  const whole = float32([1, width], sum.data.subarray(0, width));
  return imageVector(config, whole, generator.randn([1, width]), levelOf(merge));
}

/** A variation model's vector; zeros for a text alone. */
function seenVector(model: ModelValue, entry: ConditioningEntry, width: number, seed: Seed): Float32 {
  const seen = entry.unclip_conditioning;
  if (!seen) return zeros('float32', [1, width]);
  const merge = entry.unclip_noise_augment_merge ?? mergeNoise;
  const made = noisedPictures(seen, model.config.image_condition as Noising, seed, merge);
  if (made?.shape[1] === width) return made;
  throw new StableDiffusionError(
    'shape-mismatch',
    `${model.label} takes pictures of another image encoder. Give the CLIP vision model that came with it.`,
  );
}

/** The pooled text; with unCLIPConditioning the pictures in its place, without their levels. */
function pooledOf(entry: ConditioningEntry, seed: Seed): Float32 | undefined {
  const seen = entry.unclip_conditioning;
  const width = seen?.[0]?.pictures.shape[1];
  if (!seen || width === undefined) return entry.pooled_output;
  const config = imageConditionSchema.parse({ kind: 'image_embedding', width, beta_schedule: 'squaredcos_cap_v2' });
  const made = noisedPictures(seen, config as Noising, seed, 0);
  return made && float32([1, width], made.data.subarray(0, width));
}

/** The vector of an entry: SDXL's pooled text and sizes, or the picture that a variation model (unCLIP) sees. */
export async function vectorOf(
  model: ModelValue,
  entry: ConditioningEntry,
  { shape, seed }: RunShape,
): Promise<Float32 | undefined> {
  const width = model.network.config.adm_in_channels;
  if (typeof width !== 'number') return undefined;
  if (model.config.image_condition?.kind === 'image_embedding') return seenVector(model, entry, width, seed);
  const pooled = pooledOf(entry, seed);
  if (!pooled)
    throw new StableDiffusionError(
      'invalid-argument',
      `${model.label} takes a pooled text, and this conditioning has none. Encode the text with this model's CLIP.`,
    );
  const numbers = (width - (pooled.shape[1] ?? 0)) / sizeWidth;
  const { width: w = (shape[3] ?? 0) * pixels, height: h = (shape[2] ?? 0) * pixels } = entry;
  const isRefiner = numbers === 5;
  const own = sizes.create(
    { kind: 'sizes', fields: ['original', 'crop', isRefiner ? 'aesthetic' : 'target'], width: sizeWidth },
    '',
    {
      label: model.label,
      run: () => Promise.reject(new Error('sizes run no network')),
      tokenizers: new Map(),
      maxLength: 0,
    },
  );
  const { y } = await own.encode({
    sizes: [
      {
        original: [h, w],
        crop: [entry.crop_h ?? 0, entry.crop_w ?? 0],
        target: [entry.target_height ?? h, entry.target_width ?? w],
        aesthetic: entry.aesthetic_score ?? 6,
      },
    ],
  });
  return concatenate([pooled, y as Float32], 1);
}
