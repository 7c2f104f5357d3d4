/** The condition noised in training (`num_timesteps_cond`; `shorten_cond_schedule` of latent-diffusion's `LatentDiffusion.forward`). */

import type { LatentDiffusionConfig } from '../../config/latent-diffusion-config.ts';
import { configError } from '../../config/validate.ts';
import { scheduleOf } from '../../diffusion/model-schedule.ts';
import { conditionTimesteps } from '../../diffusion/noised-condition.ts';
import { add, mul, reshape } from '../../graph/functions.ts';
import type { Sym } from '../../graph/trace.ts';
import { atTimesteps } from '../objective/diffusion.ts';
import type { TracedCondition } from './conditioning.ts';

/** Input of the noise on the condition, where the condition is noised. */
export const conditionNoise = 'condition_noise';

/** `shorten_cond_schedule`: the condition at a timestep of its own, c_t = sqrt(alpha_bar) c + sqrt(1 - alpha_bar) noise. Throws `config-invalid` for conditions in two parts. */
export function noisedCondition(
  config: Pick<LatentDiffusionConfig, 'num_timesteps_cond' | 'timesteps'> & Parameters<typeof scheduleOf>[0],
  condition: TracedCondition,
  t: Sym,
): TracedCondition {
  const count = config.num_timesteps_cond;
  if (count === 1) return condition;
  const parts = Object.entries(condition).filter((part): part is [string, Sym] => part[1] !== undefined);
  const [[name, c] = []] = parts;
  if (parts.length !== 1 || name === undefined || c === undefined || name === 'y')
    throw configError(
      'num_timesteps_cond noises one condition, concatenated or for cross-attention. Leave it out for others.',
    );
  const { alphasCumprod } = scheduleOf(config);
  const at = conditionTimesteps(config.timesteps, count).map((timestep) => alphasCumprod[timestep] as number);
  const level = (of: (bar: number) => number): Sym =>
    reshape(atTimesteps(Float32Array.from(at, of), t), [c.shape[0] ?? 1, ...c.shape.slice(1).map(() => 1)]);
  const noise = c.builder.input(conditionNoise, 'float32', c.shape);
  return {
    [name]: add(
      mul(c, level(Math.sqrt)),
      mul(
        noise,
        level((bar) => Math.sqrt(1 - bar)),
      ),
    ),
  };
}
