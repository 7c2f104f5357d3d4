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
const window = ((): number[] => {
  const raw = Array.from({ length: 2 * reach + 1 }, (_, i) => Math.exp(-((i - reach) ** 2) / 2));
  const total = raw.reduce((sum, weight) => sum + weight, 0);
  return raw.map((weight) => weight / total);
})();

function blurAlong(data: Float32Array, length: number, inner: number): Float32Array {
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

/** Gaussian of 9 elements and sigma 1 over [n, c, h, w], edges reflected. Throws `invalid-argument` for sides below 5. */
export function blurLatent(latent: Latent): Latent {
  const [, , height = 0, width = 0] = latent.shape;
  if (Math.min(height, width) <= reach)
    throw new StableDiffusionError(
      'invalid-argument',
      `Self-attention guidance needs latents of at least ${reach + 1}x${reach + 1}, got ${width}x${height}. Use a larger picture.`,
    );
  const rows = blurAlong(latent.data as Float32Array, width, 1);
  return { ...latent, data: blurAlong(rows, height, width) as Latent['data'] };
}

/** a where the attention [n, tokens] that a place receives is above 1, else b; the map's image is 2^k times smaller than the latent. */
function whereAttended(attention: Tensor<'float32'>, a: Latent, b: Latent): Latent {
  const [, c = 1, height = 1, width = 1] = b.shape;
  const [, tokens = 1] = attention.shape;
  const factor = Math.ceil(Math.sqrt((height * width) / tokens));
  const [rows, columns] = [Math.ceil(height / factor), Math.ceil(width / factor)];
  const plane = height * width;
  const data = b.data.map((value, i) => {
    const [item, y, x] = [Math.floor(i / (c * plane)), Math.floor((i % plane) / width), i % width];
    const place = Math.floor((y * rows) / height) * columns + Math.floor((x * columns) / width);
    return (attention.data[item * tokens + place] as number) > 1 ? (a.data[i] as number) : value;
  });
  return { ...b, data };
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
    const degraded = whereAttended(attention(negative !== undefined), blurLatent(clean), clean);
    const [keep, add] = [Math.fround(Math.sqrt(level)), Math.fround(Math.sqrt(1 - level))];
    const noised = float32(
      x.shape,
      degraded.data.map((value, i) => Math.fround(keep * value) + Math.fround(add * (eps.data[i] as number))),
    );
    const inputs = denoiserInputs(noised, timestep, condition);
    return addDifference(guided, scale, own, await network(inputs, signal));
  };
}
