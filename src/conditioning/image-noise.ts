/**
 * Noise on the image that a model looks at (Ho et al. 2021, "Cascaded Diffusion Models", arXiv 2106.15282): SD 2.x's upscaler noises the small
 * picture, its variation models the image's embedding, and both receive the noise level as an input. As `ImageConcatWithNoiseAugmentation` and
 * `CLIPEmbeddingNoiseAugmentation` of Stability-AI/stablediffusion.
 */

import type { ImageConditionOf } from '../config/image-condition.ts';
import { betaSchedule } from '../diffusion/beta-schedule.ts';
import { alphasCumprodOf } from '../diffusion/noise-schedule.ts';
import { linearCombination } from '../tensor/arithmetic.ts';
import { repeatBatch } from '../tensor/batches.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import { sinusoids } from './sizes.ts';

type Float32 = Tensor<'float32'>;
type Schedule = Pick<ImageConditionOf<'low_scale'>, 'timesteps' | 'beta_schedule' | 'linear_start' | 'linear_end'>;

/** float32 [timesteps]: alphas_cumprod of the noise on the image. */
export function imageNoiseTable(config: Schedule): Float32Array {
  const { timesteps, linear_start: linearStart, linear_end: linearEnd } = config;
  const name = config.beta_schedule === 'squaredcos_cap_v2' ? 'cosine' : config.beta_schedule;
  return Float32Array.from(alphasCumprodOf(betaSchedule(name, timesteps, { linearStart, linearEnd })));
}

/** The image, or its embedding, noised to a level: sqrt(a) x + sqrt(1 - a) noise. */
export function noisedImage(table: Float32Array, x: Float32, noise: Float32, level: number): Float32 {
  const alphaBar = table[level] ?? 1;
  return linearCombination(
    [Math.fround(Math.sqrt(alphaBar)), x],
    [Math.fround(Math.sqrt(Math.fround(1 - alphaBar))), noise],
  );
}

/** Mean and deviation of embeddings, float32 [width] each. */
export interface EmbeddingStatistics {
  readonly mean: Float32;
  readonly std: Float32;
}

/** Embeddings [n, width] less their mean, over their deviation; or back. */
export function scaledEmbedding(
  { shape, data }: Float32,
  statistics: EmbeddingStatistics | undefined,
  back = false,
): Float32 {
  if (!statistics) return { dtype: 'float32', shape, data };
  const { mean, std } = statistics;
  const width = shape.at(-1) ?? 1;
  return float32(
    shape,
    data.map((value, i) => {
      const [m, s] = [mean.data[i % width] as number, std.data[i % width] as number];
      return back ? Math.fround(value * s) + m : Math.fround(value - m) / s;
    }),
  );
}

/** The sinusoids of a noise level, [n, width]: cos first. */
export function levelEmbedding(level: number, width: number, count: number): Float32 {
  return float32([count, width], Array.from({ length: count }, () => sinusoids(level, width)).flat());
}

/** The vector of a variation model: the noised embedding [n, width] with its level, [n, 2 width]. */
export function imageVector(
  config: ImageConditionOf<'image_embedding'>,
  embedding: Float32,
  noise: Float32,
  level: number,
  statistics?: EmbeddingStatistics,
): Float32 {
  const [count = 1, width = 1] = noise.shape;
  const scaled = scaledEmbedding(repeatBatch(embedding, count, 'image embedding'), statistics);
  const noised = scaledEmbedding(noisedImage(imageNoiseTable(config), scaled, noise, level), statistics, true);
  const embedded = levelEmbedding(level, config.width, count);
  const rows = Array.from({ length: count }, (_, i) => [
    ...noised.data.subarray(i * width, (i + 1) * width),
    ...embedded.data.subarray(i * config.width, (i + 1) * config.width),
  ]);
  return float32([count, width + config.width], rows.flat());
}
