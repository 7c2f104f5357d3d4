/**
 * What a checkpoint of denoising-diffusion-pytorch does not hold: arguments of its `GaussianDiffusion`, `ElucidatedDiffusion` and
 * `ContinuousTimeGaussianDiffusion`, by their names there.
 */

import * as z from 'zod';
import { flagPairs, flagValue } from './flag-pairs.ts';
import { configError, validated } from './validate.ts';

const level = z.number().positive().optional();

const flagsSchema = z.strictObject({
  /** Which of its classes trained the network, where names do not tell. */
  process: z.enum(['gaussian', 'elucidated', 'continuous']).optional(),
  objective: z.enum(['pred_noise', 'pred_x0', 'pred_v']).optional(),
  beta_schedule: z.enum(['linear', 'cosine', 'sigmoid']).optional(),
  /** T of `beta_schedule`. */
  timesteps: z.int().positive().max(100_000).optional(),
  /** Of continuous time. */
  noise_schedule: z.enum(['linear', 'cosine']).optional(),
  /** Whether the network sees pictures in [-1, 1], not in [0, 1]. */
  auto_normalize: z.boolean().default(true),
  sigma_min: level,
  sigma_max: level,
  sigma_data: level,
  rho: level,
  S_churn: z.number().min(0).optional(),
  S_tmin: z.number().min(0).optional(),
  S_tmax: z.number().min(0).optional(),
  S_noise: z.number().min(0).optional(),
});
export type LucidFlags = Readonly<z.output<typeof flagsSchema>>;

const texts: readonly string[] = ['process', 'objective', 'beta_schedule', 'noise_schedule'];

/** `--objective pred_v --beta_schedule sigmoid`. Throws `config-invalid`. */
export function parseLucidFlags(text: string): LucidFlags {
  const program = 'denoising-diffusion-pytorch';
  const known = Object.keys(flagsSchema.shape);
  const given: Record<string, unknown> = {};
  for (const [name, value] of flagPairs(text, program)) {
    if (!known.includes(name))
      throw configError(`There is no flag --${name} for ${program}. Known are ${known.join(', ')}.`);
    given[name] = texts.includes(name) ? value : flagValue(value);
  }
  return validated(flagsSchema, given, `The flags for ${program}`);
}
