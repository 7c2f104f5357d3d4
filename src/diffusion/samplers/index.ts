/** The samplers by name. A new one is one file in this folder and one line in this table. */

import { StableDiffusionError } from '../../errors.ts';
import type { Sampler } from '../sampler.ts';
import { ddim } from './ddim.ts';
import { ddimCfgPp } from './ddim-cfg-pp.ts';
import { deis } from './deis.ts';
import { ddpm } from './ddpm.ts';
import { dpmSolver, dpmSolverAdaptive } from './dpm-solver.ts';
import { ddpmAncestral } from './ddpm-ancestral.ts';
import { dpm2 } from './dpm2.ts';
import { dpm2Ancestral } from './dpm2-ancestral.ts';
import { dpmAdaptive } from './dpm-adaptive.ts';
import { dpmFast } from './dpm-fast.ts';
import { dpmpp2m } from './dpmpp-2m.ts';
import { dpmpp2mSde, dpmpp2mSdeHeun } from './dpmpp-2m-sde.ts';
import { dpmpp2sAncestral } from './dpmpp-2s-ancestral.ts';
import { dpmpp3mSde } from './dpmpp-3m-sde.ts';
import { dpmppSde } from './dpmpp-sde.ts';
import { euler } from './euler.ts';
import { eulerAncestral } from './euler-ancestral.ts';
import { heun } from './heun.ts';
import { lms } from './lms.ts';
import { restart } from './restart.ts';
import { lcm, lcmSigma } from './lcm.ts';
import { plms } from './plms.ts';
import { tcd } from './tcd.ts';
import { dpmpp2mCfgPp, dpmpp2sAncestralCfgPp, eulerAncestralCfgPp, eulerCfgPp } from './cfg-pp.ts';
import { erSde } from './er-sde.ts';
import { gradientEstimation, gradientEstimationCfgPp } from './gradient-estimation.ts';
import { heunpp2 } from './heunpp2.ts';
import { ipndm, ipndmV } from './ipndm.ts';
import { resMultistep, resMultistepAncestral, resMultistepAncestralCfgPp, resMultistepCfgPp } from './res-multistep.ts';
import { saSolver, saSolverPece } from './sa-solver.ts';
import { expHeun2X0, expHeun2X0Sde, seeds2, seeds3 } from './seeds.ts';
import { uniPc, uniPcBh2Sigma, uniPcSigma } from './unipc.ts';

export const samplers: readonly Sampler[] = [
  ddim,
  ddimCfgPp,
  plms,
  ddpm,
  dpmSolver,
  dpmSolverAdaptive,
  uniPc,
  uniPcSigma,
  uniPcBh2Sigma,
  deis,
  lcm,
  lcmSigma,
  tcd,
  euler,
  eulerAncestral,
  heun,
  dpm2,
  dpm2Ancestral,
  lms,
  dpmFast,
  dpmAdaptive,
  dpmpp2sAncestral,
  dpmppSde,
  dpmpp2m,
  dpmpp2mSde,
  dpmpp2mSdeHeun,
  dpmpp3mSde,
  restart,
  ddpmAncestral,
  heunpp2,
  ipndm,
  ipndmV,
  resMultistep,
  resMultistepAncestral,
  gradientEstimation,
  erSde,
  seeds2,
  seeds3,
  expHeun2X0,
  expHeun2X0Sde,
  saSolver,
  saSolverPece,
  eulerCfgPp,
  eulerAncestralCfgPp,
  dpmpp2sAncestralCfgPp,
  dpmpp2mCfgPp,
  resMultistepCfgPp,
  resMultistepAncestralCfgPp,
  gradientEstimationCfgPp,
];

function normalise(name: string): string {
  return name
    .toLowerCase()
    .replace(/\+/g, 'p')
    .replace(/[^a-z0-9]/g, '');
}

/** A sampler by its name or an alias (CompVis's, k-diffusion's, A1111's, ComfyUI's or diffusers'), without regard to case, `-`, `_` and spaces. Throws `invalid-argument`. */
export function findSampler(name: string): Sampler {
  const wanted = normalise(name);
  const found = samplers.find((sampler) =>
    [sampler.name, sampler.title, ...sampler.aliases].some((alias) => normalise(alias) === wanted),
  );
  if (found) return found;
  throw new StableDiffusionError(
    'invalid-argument',
    `Unknown sampler ${JSON.stringify(name)}. Available: ${samplers.map((sampler) => sampler.name).join(', ')}.`,
  );
}
