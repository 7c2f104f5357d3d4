/** The sigma schedules by name. The names are ComfyUI's and A1111's; where these differ in what a name does, there are two entries. */

import { StableDiffusionError } from '../../errors.ts';
import { alignYourSteps, alignYourStepsXl } from './align-your-steps.ts';
import { beta, betaContinuous } from './beta.ts';
import { ddimUniform } from './ddim-uniform.ts';
import { exponential } from './exponential.ts';
import { karras } from './karras.ts';
import { klOptimal, klOptimalToMin } from './kl-optimal.ts';
import { legacyDdpm } from './legacy-ddpm.ts';
import { linearQuadratic } from './linear-quadratic.ts';
import { normal } from './normal.ts';
import { polyexponential } from './polyexponential.ts';
import { sgmUniform } from './sgm-uniform.ts';
import type { SigmaSchedule } from './sigma-schedule.ts';
import { simple } from './simple.ts';
import { turbo } from './turbo.ts';
import { vp } from './vp.ts';

export type SigmaScheduleName =
  | 'normal'
  | 'karras'
  | 'exponential'
  | 'polyexponential'
  | 'sgm_uniform'
  | 'simple'
  | 'ddim_uniform'
  | 'beta'
  | 'beta_continuous'
  | 'linear_quadratic'
  | 'kl_optimal'
  | 'kl_optimal_to_min'
  | 'align_your_steps'
  | 'align_your_steps_xl'
  | 'vp'
  | 'turbo'
  | 'legacy_ddpm';

export const sigmaSchedules: { readonly [Name in SigmaScheduleName]: SigmaSchedule } = {
  normal,
  karras,
  exponential,
  polyexponential,
  sgm_uniform: sgmUniform,
  simple,
  ddim_uniform: ddimUniform,
  beta,
  beta_continuous: betaContinuous,
  linear_quadratic: linearQuadratic,
  kl_optimal: klOptimal,
  kl_optimal_to_min: klOptimalToMin,
  align_your_steps: alignYourSteps,
  align_your_steps_xl: alignYourStepsXl,
  vp,
  turbo,
  legacy_ddpm: legacyDdpm,
};

/** Other names of the same schedules, normalised as `normaliseName` does. */
const aliases: Readonly<Record<string, SigmaScheduleName>> = {
  default: 'normal',
  uniform: 'normal',
  ddim: 'ddim_uniform',
  ays: 'align_your_steps',
  aysxl: 'align_your_steps_xl',
  alignyourstepssdxl: 'align_your_steps_xl',
  sdturbo: 'turbo',
};

/** Lower case, without spaces, `_` and `-`: how names of samplers and schedules are compared. */
export function normaliseName(name: string): string {
  return name.toLowerCase().replace(/[\s_-]+/g, '');
}

const byName: ReadonlyMap<string, SigmaScheduleName> = new Map([
  ...(Object.keys(sigmaSchedules) as SigmaScheduleName[]).map((name) => [normaliseName(name), name] as const),
  ...Object.entries(aliases),
]);

/** The schedule's own name for a name people use, such as `Karras`, `SGM Uniform` or `default`; undefined for an unknown name. */
export function findSigmaSchedule(name: string): SigmaScheduleName | undefined {
  return byName.get(normaliseName(name));
}

/** The schedule of a name, ignoring case, spaces, `_` and `-`. Throws `invalid-argument` with the list of names. */
export function sigmaSchedule(name: string): SigmaSchedule {
  const found = findSigmaSchedule(name);
  if (found) return sigmaSchedules[found];
  throw new StableDiffusionError(
    'invalid-argument',
    `Unknown sigma schedule ${JSON.stringify(name)}. Available: default, ${Object.keys(sigmaSchedules).join(', ')}.`,
  );
}
