/** The sampler of a request: by its name, or the object that the caller gave. */

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

/** The sampler of a scheduler class of diffusers; undefined for a name that is none. A page loads them with the first such name. */
async function schedulerOf(className: string, config: DiffusersSchedulerConfig): Promise<Sampler | undefined> {
  const { diffusersSampler } = await import('../diffusion/diffusers/scheduler.ts');
  const { diffusersSchedulerClasses } = await import('../diffusion/diffusers/scheduler-classes.ts');
  return diffusersSchedulerClasses.some((name) => name === className) ? diffusersSampler(className, config) : undefined;
}

/** Throws `invalid-argument` for an unknown name. */
export async function chooseSampler(
  model: Model,
  { sampler, schedule, noise }: Pick<GenerationRequest, 'sampler' | 'schedule' | 'noise'>,
  given: Sampler | undefined,
): Promise<ChosenSampler> {
  if (given) return { ...plain, schedule, sampler: given, label: given.name };
  const config = (model.checkpoint.scheduler ?? {}) as DiffusersSchedulerConfig & { readonly _class_name?: unknown };
  const label =
    sampler ?? (noise === 'diffusers' && typeof config._class_name === 'string' ? config._class_name : 'ddim');
  const scheduler = label.endsWith('Scheduler') ? await schedulerOf(label, config) : undefined;
  if (scheduler) return { ...plain, schedule, sampler: scheduler, label };
  const named = namedSampling(label, { schedule, peer: samplerPeerOf(noise) });
  // DDPM clips its guesses of pixels in ancestral sampling; LatentDiffusion never does.
  const { target, clip_denoised } = model.checkpoint.config;
  const clips = target === 'DDPM' && clip_denoised && named.sampler.name === 'ddpm';
  return { ...named, settings: { ...named.settings, ...(clips ? { clipDenoised: true } : {}) }, label };
}
