/** Runs a sampler of sigma space on the analytic model and keeps what it gave the model and what it drew. */

import { type DenoisedParts, type Denoiser, denoiser, type Latent } from '../../src/diffusion/denoiser.ts';
import { stableDiffusionSchedule } from '../../src/diffusion/noise-schedule.ts';
import type { Parameterization } from '../../src/diffusion/parameterization.ts';
import type { Sampling } from '../../src/diffusion/sampler.ts';
import type { IntervalNoise } from '../../src/random/noise-source.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { type AnalyticSet, entry } from './analytic-model.ts';

const schedule = stableDiffusionSchedule();

export interface GuidedDenoiser {
  readonly denoise: Denoiser;
  /** Number of evaluations, each with and without the condition. */
  readonly evaluations: () => number;
}

/** Guidance on the denoised latents, in float32, as A1111's and ComfyUI's CFG; the recorded runs were guided there. With scale 1 only the condition counts. */
export function guidedDenoiser(
  analytic: AnalyticSet,
  parameterization: Parameterization,
  guidance: number,
  quantize: boolean,
): GuidedDenoiser {
  const denoiserOf = (conditionOf: (item: number) => number): Denoiser => {
    const predict = async (x: Latent, t: number): Promise<Latent> => {
      const conditions = Array.from({ length: x.shape[0] as number }, (_, i) => conditionOf(i));
      return analytic.output(schedule, parameterization, x, t, conditions);
    };
    return denoiser({ schedule, parameterization, predict }, { quantize });
  };
  const conditional = denoiserOf((item) => item + 1);
  const unconditional = denoiserOf(() => 0);
  let evaluations = 0;
  const both = async (x: Latent, sigma: number): Promise<DenoisedParts> => {
    evaluations++;
    const c = await conditional(x, sigma);
    const u = await unconditional(x, sigma);
    if (guidance === 1) return { denoised: c, unconditional: u };
    const guided = c.data.map((value, i) => {
      const base = u.data[i] as number;
      return base + Math.fround(guidance * Math.fround(value - base));
    });
    return { denoised: { ...c, data: guided }, unconditional: u };
  };
  return {
    evaluations: () => evaluations,
    denoise: Object.assign(async (x: Latent, sigma: number) => (await both(x, sigma)).denoised, { parts: both }),
  };
}

export interface Trajectory {
  /** What the model was given at the first call of each step. */
  readonly x: Latent[];
  readonly denoised: Latent[];
  readonly latents: Latent[];
  readonly result: Latent;
}

export async function traceSampler(denoise: Denoiser, run: (denoise: Denoiser) => Sampling): Promise<Trajectory> {
  const x: Latent[] = [];
  const denoised: Latent[] = [];
  const latents: Latent[] = [];
  let newStep = true;
  const seen = (latent: Latent): void => {
    if (newStep) x.push(latent);
    newStep = false;
  };
  const traced = async (latent: Latent, sigma: number, signal?: AbortSignal): Promise<Latent> => {
    seen(latent);
    return denoise(latent, sigma, signal);
  };
  const parts = async (latent: Latent, sigma: number, signal?: AbortSignal): Promise<DenoisedParts> => {
    seen(latent);
    if (!denoise.parts) throw new Error('the denoiser has no parts');
    return denoise.parts(latent, sigma, signal);
  };
  const sampling = run(Object.assign(traced, { parts }));
  for (;;) {
    const { done, value } = await sampling.next();
    if (done) return { x, denoised, latents, result: value };
    denoised.push(value.denoised);
    latents.push(value.latent);
    newStep = true;
    if (value.step !== denoised.length) throw new Error(`step ${denoised.length} says that it is step ${value.step}`);
  }
}

/** The bank's draws, or recorded increments; keeps the intervals that were drawn for. */
export function recordingNoise(
  analytic: AnalyticSet,
  increments?: Tensor,
): { readonly noise: IntervalNoise; readonly queries: [number, number][] } {
  const bank = analytic.bankNoise();
  const queries: [number, number][] = [];
  const noise: IntervalNoise = (sigma, next) => {
    queries.push([sigma, next]);
    return increments ? entry(increments, queries.length - 1) : bank.normal(analytic.noiseBank.shape.slice(1));
  };
  return { noise, queries };
}
