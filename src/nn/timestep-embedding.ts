/** Sinusoidal embedding of timesteps (Ho et al. 2020; `ldm.modules.diffusionmodules.util.timestep_embedding`) and the layers after it. */

import { concat, constant, cos, mul, pad, reshape, silu, sin } from '../graph/functions.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { float32 } from '../tensor/tensor.ts';
import { linearLayer } from './linear.ts';

const maxPeriod = 10000;

/** exp(-ln(10000) · i / half) for i < half, each step rounded to float32 as PyTorch does. */
function frequencies(half: number): number[] {
  const rate = Math.fround(-Math.log(maxPeriod));
  return Array.from({ length: half }, (_, i) => Math.exp(Math.fround(Math.fround(rate * i) / half)));
}

/** timesteps float32 [b], possibly fractional → [b, width]: cosines first, then sines, then a zero where the width is odd. */
export function timestepEmbedding(timesteps: Sym, width: number): Sym {
  const half = width >> 1;
  const [batch] = timesteps.shape;
  const angles = mul(reshape(timesteps, [batch ?? 1, 1]), constant(timesteps, float32([1, half], frequencies(half))));
  const waves = concat([cos(angles), sin(angles)], 1);
  return width % 2 === 0 ? waves : pad(waves, [0, 0], [0, 1]);
}

/**
 * The same as DDPM's own network and denoising-diffusion-pytorch have it: sines first, then cosines, frequencies over half - 1; a zero at the
 * end where the width is odd.
 */
export function sinesFirstEmbedding(timesteps: Sym, width: number, theta = 10000): Sym {
  const half = width >> 1;
  const [batch] = timesteps.shape;
  const rate = Math.log(theta) / (half - 1);
  const waves = Array.from({ length: half }, (_, i) => Math.exp(Math.fround(i * Math.fround(-rate))));
  const angles = mul(reshape(timesteps, [batch ?? 1, 1]), constant(timesteps, float32([1, half], waves)));
  const joined = concat([sin(angles), cos(angles)], 1);
  return width % 2 === 0 ? joined : pad(joined, [0, 0], [0, 1]);
}

/** `time_embed`: the sinusoids of width `channels` through two linear layers: [b] → [b, 4 · channels]. */
export function timeEmbed(p: Params, timesteps: Sym, channels: number): Sym {
  return p.module(() => {
    const hidden = linearLayer(p.at(0), timestepEmbedding(timesteps, channels), 4 * channels);
    return linearLayer(p.at(2), silu(hidden), 4 * channels);
  });
}
