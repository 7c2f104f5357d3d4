/**
 * Self-attention guidance (Hong et al. 2023, arXiv 2210.00939): what the network attends to is blurred in its guess of the clean latent, and the
 * prediction moves away from the one for that. As diffusers' StableDiffusionSAGPipeline.
 */

import { StableDiffusionError } from '../errors.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import type { Latent } from './denoiser.ts';
import { denoiserInputs, type GuidanceTerm } from './guidance.ts';
import { addDifference } from './guidance-term.ts';
import { toEps, toX0 } from './parameterization.ts';

const reach = 4;

/** Weights of a Gaussian of 9 elements. */
function gaussian(sigma: number): number[] {
  const raw = Array.from({ length: 2 * reach + 1 }, (_, i) => Math.exp(-(((i - reach) / sigma) ** 2) / 2));
  const total = raw.reduce((sum, weight) => sum + weight, 0);
  return raw.map((weight) => weight / total);
}

function blurAlong(data: Float32Array, window: readonly number[], length: number, inner: number): Float32Array {
  const place = (i: number): number => (i < 0 ? -i : i >= length ? 2 * (length - 1) - i : i);
  return Float32Array.from(data, (_, i) => {
    const position = Math.floor(i / inner) % length;
    const base = i - position * inner;
    return window.reduce(
      (sum, weight, k) => sum + weight * (data[base + place(position + k - reach) * inner] as number),
      0,
    );
  });
}

/** Gaussian of 9 elements over [n, c, h, w], edges reflected. Throws `invalid-argument` for sides below 5. */
export function blurLatent(latent: Latent, sigma = 1): Latent {
  const [, , height = 0, width = 0] = latent.shape;
  if (Math.min(height, width) <= reach)
    throw new StableDiffusionError(
      'invalid-argument',
      `Self-attention guidance needs latents of at least ${reach + 1}x${reach + 1}, got ${width}x${height}. Use a larger picture.`,
    );
  const window = gaussian(sigma);
  const rows = blurAlong(latent.data as Float32Array, window, width, 1);
  return { ...latent, data: blurAlong(rows, window, height, width) as Latent['data'] };
}

/** The place of a smaller axis that a place of a larger one takes: `nearest` of PyTorch, whose factor is a float32. */
const nearest = (at: number, from: number, to: number): number =>
  Math.min(from - 1, Math.floor(Math.fround(at * Math.fround(from / to))));

/**
 * The latent blurred at the places that receive an attention [n, tokens] above 1. The image of the tokens is a power of two times smaller than
 * the latent. Throws `invalid-argument` where it is not.
 */
export function blurAttended(latent: Latent, attention: Tensor<'float32'>, sigma?: number): Latent {
  const [, c = 1, height = 1, width = 1] = latent.shape;
  const [, tokens = 1] = attention.shape;
  const factor = 2 ** Math.ceil(Math.log2(Math.ceil(Math.sqrt((height * width) / tokens))));
  const [rows, columns] = [Math.ceil(height / factor), Math.ceil(width / factor)];
  if (rows * columns !== tokens)
    throw new StableDiffusionError(
      'invalid-argument',
      `Self-attention guidance needs the attention of the whole picture: ${width}x${height} latents do not have ${tokens} places. Leave areas of prompts out.`,
    );
  const blurred = blurLatent(latent, sigma);
  const plane = height * width;
  const data = latent.data.map((value, i) => {
    const [item, y, x] = [Math.floor(i / (c * plane)), Math.floor((i % plane) / width), i % width];
    const place = nearest(y, rows, height) * columns + nearest(x, columns, width);
    return (attention.data[item * tokens + place] as number) > 1 ? (blurred.data[i] as number) : value;
  });
  return { ...latent, data };
}

/**
 * guided + scale · (prediction - prediction of what is blurred where the network looked), by the pass with the negative prompt, or with the prompt
 * where there is no guidance. `attention` gives what the last pass of those inputs looked at: float32 [n, tokens].
 */
export function selfAttentionGuidance(
  scale: number,
  attention: (negative: boolean) => Tensor<'float32'>,
): GuidanceTerm {
  return async (
    guided,
    { x, timestep, network, schedule, parameterization, conditional, prompted, unconditional, negative, signal },
  ) => {
    if (scale === 0) return guided;
    const own = negative ?? prompted;
    const { x: _, timesteps: __, ...condition } = unconditional ?? conditional;
    const level = schedule.alphaBarAt(timestep);
    const clean = toX0(parameterization, own, x, level);
    const eps = toEps(parameterization, own, x, level);
    const degraded = blurAttended(clean, attention(negative !== undefined));
    const [keep, add] = [Math.fround(Math.sqrt(level)), Math.fround(Math.sqrt(1 - level))];
    const noised = float32(
      x.shape,
      degraded.data.map((value, i) => Math.fround(keep * value) + Math.fround(add * (eps.data[i] as number))),
    );
    const inputs = denoiserInputs(noised, timestep, condition);
    return addDifference(guided, scale, own, await network(inputs, signal));
  };
}
