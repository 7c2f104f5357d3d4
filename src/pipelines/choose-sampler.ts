/** The sampler of a request: by its name, or the object that the caller gave. */

import { diffusersSampler } from '../diffusion/diffusers/scheduler.ts';
import { diffusersSchedulerClasses } from '../diffusion/diffusers/scheduler-classes.ts';
import type { DiffusersSchedulerConfig } from '../diffusion/diffusers/scheduler-config.ts';
import { type NamedSampling, namedSampling, samplerPeerOf } from '../diffusion/sampler-names.ts';
import type { Sampler } from '../diffusion/sampler.ts';
import type { GenerationRequest } from '../generation/request.ts';
import type { Model } from '../model/model.ts';

export interface ChosenSampler extends Omit<NamedSampling, 'peer'> {
  /** The name for records. */
  readonly label: string;
}

const plain = { discardNextToLastSigma: undefined, settings: {}, sigmaConvention: 'k-diffusion' } as const;

/** Throws `invalid-argument` for an unknown name. */
export function chooseSampler(
  model: Model,
  { sampler, schedule, noise }: Pick<GenerationRequest, 'sampler' | 'schedule' | 'noise'>,
  given: Sampler | undefined,
): ChosenSampler {
  if (given) return { ...plain, schedule, sampler: given, label: given.name };
  const config = (model.checkpoint.scheduler ?? {}) as DiffusersSchedulerConfig & { readonly _class_name?: unknown };
  const label =
    sampler ?? (noise === 'diffusers' && typeof config._class_name === 'string' ? config._class_name : 'ddim');
  const scheduler = diffusersSchedulerClasses.find((className) => className === label);
  if (scheduler) return { ...plain, schedule, sampler: diffusersSampler(scheduler, config), label };
  const named = namedSampling(label, { schedule, peer: samplerPeerOf(noise) });
  // DDPM clips its guesses of pixels in ancestral sampling; LatentDiffusion never does.
  const { target, clip_denoised } = model.checkpoint.config;
  const clips = target === 'DDPM' && clip_denoised && named.sampler.name === 'ddpm';
  return { ...named, settings: { ...named.settings, ...(clips ? { clipDenoised: true } : {}) }, label };
}
