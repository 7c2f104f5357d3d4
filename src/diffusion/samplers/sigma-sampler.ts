/**
 * A sampler in sigma space (k-diffusion's form) as a row of the table: this file prepares what all of those have in common, the
 * sigmas, the start, the denoiser and inpainting, so that a sampler's own file is its algorithm only.
 */

import { addScaled, scale } from '../../tensor/arithmetic.ts';
import { denoiser, type Latent } from '../denoiser.ts';
import { keepAtEnd, keepDenoised } from '../inpainting.ts';
import type { Sampler, SamplingRequest, SigmaSampling } from '../sampler.ts';
import { type SigmaScheduleName, sigmaSchedule } from '../sigma-schedules/index.ts';
import { checkRequest, stepNoiseOf } from './request.ts';

export type { SigmaSamplerOptions, SigmaSampling } from '../sampler.ts';

export interface SigmaSamplerRow extends Omit<Sampler, 'space' | 'run' | 'schedule'> {
  readonly sample: SigmaSampling;
  /** Sigma schedule where a request names none. Default `normal`, the model's own levels at even timesteps. */
  readonly schedule?: SigmaScheduleName;
  /** A1111 and ComfyUI leave the last but one sigma out for this sampler (DPM2, DPM2 a, UniPC, DPM++ 3M SDE in A1111). */
  readonly discardsNextToLastSigma?: boolean;
  /** Takes the Brownian tree of the request, where it has one. */
  readonly usesIntervalNoise?: boolean;
}

/** Descending sigmas for a request, without those of the steps skipped at the start. */
export function sigmasOf(
  row: Pick<SigmaSamplerRow, 'schedule' | 'discardsNextToLastSigma'>,
  request: SamplingRequest,
): Float32Array {
  const schedule = sigmaSchedule(request.schedule ?? row.schedule ?? 'normal');
  const discards = request.discardNextToLastSigma ?? row.discardsNextToLastSigma ?? false;
  const sigmas = schedule(request.steps + (discards ? 1 : 0), request.model.schedule, request.scheduleOptions);
  const last = sigmas.length - 1;
  const kept = discards ? sigmas.filter((_, i) => i !== last - 1) : sigmas;
  return kept.slice(request.startStep ?? 0);
}

/** Start noise scaled to the first sigma, added to the initial latent if there is one. */
export function startAt(request: SamplingRequest, sigma: number): Latent {
  const highest = request.model.schedule.sigmas.at(-1) as number;
  const isMaximum = request.sigmaConvention === 'comfy' && sigma >= highest * (1 - 1e-5);
  const isWhole = isMaximum || (request.sigmaConvention === 'sgm' && !request.initial);
  const deviation = isWhole ? Math.sqrt(1 + sigma ** 2) : sigma;
  return request.initial
    ? addScaled(request.initial, deviation, request.startNoise)
    : scale(request.startNoise, deviation);
}

/** Makes the table's row of an algorithm. */
export function sigmaSampler(row: SigmaSamplerRow): Sampler {
  const { sample, name, title, aliases, usesStepNoise, callsPerStep, choosesSteps, needsUnconditional } = row;
  return {
    name,
    title,
    aliases,
    usesStepNoise,
    callsPerStep,
    choosesSteps,
    needsUnconditional,
    sample,
    usesIntervalNoise: row.usesIntervalNoise,
    schedule: row.schedule ?? 'normal',
    space: 'sigma',
    run(request) {
      checkRequest(request, usesStepNoise);
      const sigmas = sigmasOf(row, request);
      const noise =
        row.usesIntervalNoise && request.intervalNoise && sigmas.length > 1
          ? request.intervalNoise(sigmas.findLast((sigma) => sigma > 0) as number, sigmas[0] as number)
          : stepNoiseOf(request, name);
      const plain = denoiser(request.model, {
        quantize: request.sigmaConvention === 'comfy',
        onTable: request.sigmaConvention === 'sgm',
      });
      const denoise = request.inpainting ? keepDenoised(plain, request.inpainting, request.startNoise) : plain;
      const sampling = sample(denoise, startAt(request, sigmas[0] as number), sigmas, {
        ...request.settings,
        noise,
        signal: request.signal,
      });
      const { inpainting } = request;
      return inpainting?.rule === 'after' && !inpainting.soft ? keepAtEnd(sampling, inpainting) : sampling;
    },
  };
}
