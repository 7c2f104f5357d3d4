/**
 * Models with EDM's continuous noise levels (Playground v2.5, CosXL) as models of DDPM's kind: a table of levels for samplers, and a network that
 * says the clean latent. Samplers, guidance and pipelines do not see the difference.
 */

import { addScaled, concatenate, scale } from '../tensor/arithmetic.ts';
import { joinBatches, takeBatch } from '../tensor/batches.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import type { Network } from './guidance.ts';
import { type NoiseSchedule, noiseScheduleOfSigmas } from './noise-schedule.ts';
import { type ScalingName, scalings } from './scalings.ts';

export interface ContinuousLevels {
  readonly scaling: Extract<ScalingName, 'EDMScaling' | 'VScalingWithEDMcNoise'>;
  readonly sigma_min: number;
  readonly sigma_max: number;
  readonly sigma_data: number;
}

const count = 1000;

/** A thousand levels, evenly in their logarithm, between the ends; others lie between them. */
export function continuousSchedule({ sigma_min: min, sigma_max: max }: ContinuousLevels): NoiseSchedule {
  const [low, high] = [Math.log(min), Math.log(max)];
  return noiseScheduleOfSigmas(
    Float32Array.from({ length: count }, (_, i) => Math.exp(low + ((high - low) * i) / (count - 1))),
  );
}

/** Channels [from, to) of a latent. */
function channels(x: Tensor<'float32'>, from: number, to: number): Tensor<'float32'> {
  const [b = 1, c = 1, h = 1, w = 1] = x.shape;
  const plane = h * w;
  const parts = Array.from({ length: b }, (_, n) => x.data.slice((n * c + from) * plane, (n * c + to) * plane));
  const data = new Float32Array(b * (to - from) * plane);
  for (const [n, part] of parts.entries()) data.set(part, n * part.length);
  return float32([b, to - from, h, w], data);
}

/** The network with its factors around it: x_t in the variance-preserving space and a timestep of `schedule` in, the clean latent out. */
export function preconditionedNetwork(
  network: Network,
  levels: ContinuousLevels,
  schedule: NoiseSchedule,
  /** Channels of the latent: what a condition appends has no noise and is not scaled. */
  latentChannels: number,
): Network {
  const factors = scalings[levels.scaling];
  return async (inputs, signal) => {
    const { x, timesteps } = inputs;
    const [items = 1, all = 1] = x.shape;
    const sigmas = Array.from(timesteps.data, (timestep) => schedule.sigmaOfTimestep(timestep));
    const at = sigmas.map((sigma) => factors(sigma, levels.sigma_data));
    const rows = Array.from({ length: items }, (_, i) => takeBatch(x, i, i + 1));
    const own = rows.map((item, i) =>
      scale(channels(item, 0, latentChannels), Math.sqrt((sigmas[i] as number) ** 2 + 1)),
    );
    const scaled = own.map((item, i) => {
      const made = scale(item, at[i]?.in ?? 1);
      return all === latentChannels
        ? made
        : concatenate([made, channels(rows[i] as typeof item, latentChannels, all)], 1);
    });
    const output = await network(
      {
        ...inputs,
        x: joinBatches(scaled),
        timesteps: float32(
          [items],
          at.map(({ noise }) => noise),
        ),
      },
      signal,
    );
    return joinBatches(
      own.map((item, i) => addScaled(scale(item, at[i]?.skip ?? 1), at[i]?.out ?? 1, takeBatch(output, i, i + 1))),
    );
  };
}

/** Wraps a network with DDPM's levels that receives sigma itself, not its index (sgm's `quantize_c_noise: false`). */
export function withSigma(network: Network, schedule: NoiseSchedule): Network {
  return (inputs, signal) =>
    network(
      {
        ...inputs,
        timesteps: float32(
          inputs.timesteps.shape,
          inputs.timesteps.data.map((t) => schedule.sigmaOfTimestep(t)),
        ),
      },
      signal,
    );
}
