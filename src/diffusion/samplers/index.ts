/** The samplers by name. A new one is one file in this folder and one line in this table. */

import { StableDiffusionError } from '../../errors.ts';
import type { Sampler } from '../sampler.ts';
import { ddim } from './ddim.ts';
import { ddpm } from './ddpm.ts';
import { dpmSolver } from './dpm-solver.ts';
import { plms } from './plms.ts';

export const samplers: readonly Sampler[] = [
  ddim,
  plms,
  ddpm,
  dpmSolver,
];

function normalise(name: string): string {
  return name.toLowerCase().replace(/\+/g, 'p').replace(/[^a-z0-9]/g, '');
}

/** A sampler by its name or an alias (CompVis's, k-diffusion's, A1111's, ComfyUI's or diffusers'), without regard to case, `-`, `_` and spaces. Throws `invalid-argument`. */
export function findSampler(name: string): Sampler {
  const wanted = normalise(name);
  const found = samplers.find((sampler) => [sampler.name, sampler.title, ...sampler.aliases].some((alias) => normalise(alias) === wanted));
  if (found) return found;
  throw new StableDiffusionError('invalid-argument', `There is no sampler ${JSON.stringify(name)}; there are ${samplers.map((sampler) => sampler.name).join(', ')}.`);
}
