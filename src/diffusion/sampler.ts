/** Sampler: an async generator that turns noise into a latent and yields after every step. One file each in `samplers/`. */

import type { IntervalNoise, NoiseSource } from '../random/noise-source.ts';
import type { Denoiser, DiffusionModel, Latent } from './denoiser.ts';
import type { SoftInpainting } from './soft-inpainting.ts';
import type { SigmaScheduleOptions } from './sigma-schedules/sigma-schedule.ts';

export interface SamplerStep {
  /** 1 after the first step … `steps` after the last. */
  readonly step: number;
  readonly steps: number;
  /** Noise level before this step, as Karras's sigma = sqrt((1 - alphas_cumprod) / alphas_cumprod). */
  readonly sigma: number;
  /** The sampler's state after the step. */
  readonly latent: Latent;
  /** The model's current guess of the clean latent (for previews). */
  readonly denoised: Latent;
}

export type Sampling = AsyncGenerator<SamplerStep, Latent, void>;

/** Keeps a part of a known latent: CompVis's `mask` and `x0`. */
export interface Inpainting {
  /** float32 [n or 1, 1 or channels, height, width] in 0…1; 1 keeps `latent`, 0 is regenerated. */
  readonly mask: Latent;
  /** The clean latent that is kept. */
  readonly latent: Latent;
  /**
   * Samplers in sigma space: `seen` (default) also shows the model the kept part at each level (ComfyUI); `after` only restores it in each guess of the
   * clean latent, and in the result (A1111). diffusers' DDPMScheduler: `clean` leaves the kept part of the state as it is, without noise (DeepFloyd IF).
   */
  readonly rule?: 'seen' | 'after' | 'clean';
  /** With `after`: the mask is soft, and the result is left as it is (A1111's soft inpainting). */
  readonly soft?: SoftInpainting;
}

/** Settings of samplers, with the names of their originals; each sampler's docstring lists those it reads. */
export interface SamplerSettings {
  /** Amount of fresh noise: 0 deterministic, 1 as DDPM or ancestral sampling. Each sampler has its original's default. */
  readonly eta?: number;
  readonly sNoise?: number;
  readonly sChurn?: number;
  readonly sTmin?: number;
  readonly sTmax?: number;
  /** Order of a multistep or singlestep solver. */
  readonly order?: number;
  /** How a solver of the DPM family expands its integral: `heun` is CompVis's taylor. */
  readonly solverType?: 'midpoint' | 'heun';
  /** DPM-Solver: reuse the outputs of earlier steps (default), or start over at each step, with blocks of several orders or of one. */
  readonly method?: 'multistep' | 'singlestep' | 'singlestep_fixed';
  /** DPM-Solver: one more call at the end, whose clean latent is the result. Default false. */
  readonly denoiseToZero?: boolean;
  /** DPM-Solver: dynamic thresholding of each guess of the clean latent, by its 0.995 quantile but at least this (`max_val`). Default: none. */
  readonly thresholdAt?: number;
  /** UniPC: its B(h), h or e^h - 1. */
  readonly variant?: 'bh1' | 'bh2';
  /** DPM-Solver and UniPC: integrate the clean latent (default) or the noise. */
  readonly predictX0?: boolean;
  /** Multistep solvers: lower orders in the last of fewer than 15 steps. Default true. */
  readonly lowerOrderFinal?: boolean;
  /** Factor on the noise of DDPM-like steps (CompVis's `temperature`). */
  readonly temperature?: number;
  /** Clip each guess of the clean latent to [-1, 1] (CompVis's `clip_denoised`; for models of pixels). */
  readonly clipDenoised?: boolean;
  /** DPM++ SDE: where in the step its second model call is, above 0 to 1. */
  readonly r?: number;
  /** DPM adaptive: tolerances, first length in log sigma, the PID controller's coefficients, and its threshold to accept a step. */
  readonly rtol?: number;
  readonly atol?: number;
  readonly hInit?: number;
  readonly pcoeff?: number;
  readonly icoeff?: number;
  readonly dcoeff?: number;
  readonly acceptSafety?: number;
  /** Gradient estimation: how far the slope is extrapolated, 1 is not at all. Default 2. */
  readonly gamma?: number;
  /** Restart: where to go back up, and how often. Without it, the original's own choice. */
  readonly restarts?: readonly Restart[];
  /** Euler, Heun and DPM2 with churn: draw noise only at steps that use it, as ComfyUI; k-diffusion draws at every step. Default false. */
  readonly drawsOnlyUsed?: boolean;
  /** diffusers' DDIMScheduler and DDPMScheduler: the timesteps to visit, descending, in place of evenly spaced ones. As many as there are steps. */
  readonly timesteps?: readonly number[];
  /** LMS: a step to 0 takes the denoised latent, as ComfyUI; k-diffusion extrapolates. Default false. */
  readonly endsAtDenoised?: boolean;
  /** DPM++ SDE: sample the noise at the exact levels, as ComfyUI; k-diffusion passes them through their logarithm and back. Default false. */
  readonly exactLevels?: boolean;
}

/** Goes back from the level nearest to `minSigma` to the one nearest to `maxSigma`, `times` times, and down again over `steps` Karras levels, both ends counted. */
export interface Restart {
  readonly minSigma: number;
  readonly maxSigma: number;
  readonly steps: number;
  readonly times: number;
}

export interface SigmaSamplerOptions extends SamplerSettings {
  /** Noise of unit variance for the step from one sigma to the next. */
  readonly noise: IntervalNoise;
  readonly signal?: AbortSignal | undefined;
}

/** An algorithm in sigma space. `x` is at noise level `sigmas[0]`; `sigmas` descend, usually to 0, one more than there are steps. */
export type SigmaSampling = (
  denoise: Denoiser,
  x: Latent,
  sigmas: ArrayLike<number>,
  options: SigmaSamplerOptions,
) => Sampling;

/** The input of a sampler. The same request works for every sampler. */
export interface SamplingRequest {
  /** The guided model, with its schedule. */
  readonly model: DiffusionModel;
  /** Number of steps of the whole schedule, 1 or more. */
  readonly steps: number;
  /** Standard normal noise of the latent's shape; the sampler scales it to its first noise level. */
  readonly startNoise: Latent;
  /** Draws of noise for the steps. Needed by those samplers whose `usesStepNoise` is true. */
  readonly stepNoise?: NoiseSource;
  /** Noise of one path per image for the SDE samplers (a Brownian tree), from the first and the last nonzero sigma; without it they draw from `stepNoise`. */
  readonly intervalNoise?: (sigmaMin: number, sigmaMax: number) => IntervalNoise;
  /** Name of the spacing of the steps: a sigma schedule for samplers in sigma space, `uniform` or `quad` for CompVis's. Without it, the sampler's own. */
  readonly schedule?: string;
  /** Its knobs: the range of sigmas, rho, … (samplers in sigma space). */
  readonly scheduleOptions?: SigmaScheduleOptions;
  /** Request one more sigma and drop the last but one. Default: as the sampler's original. */
  readonly discardNextToLastSigma?: boolean;
  /**
   * Samplers in sigma space: `comfy` asks the model at whole timesteps only, and a start at the model's highest level is noise times
   * sqrt(1 + sigma²) ("max denoise"). `sgm` moves each sigma to the nearest of the table, and every start is noise times sqrt(1 + sigma²). Default `k-diffusion`: timesteps between whole ones, noise times sigma.
   */
  readonly sigmaConvention?: 'k-diffusion' | 'comfy' | 'sgm';
  /** Image-to-image: the clean latent to start from, noised to the level of the step that is run first. */
  readonly initial?: Latent;
  /** Number of steps left out at the start, for image-to-image: steps - int(strength · steps). */
  readonly startStep?: number;
  readonly inpainting?: Inpainting;
  readonly settings?: SamplerSettings;
  /** Replaces each guess of the clean latent, for models of VQ latents (CompVis's `quantize_denoised`). Timestep samplers only. */
  readonly quantize?: (denoised: Latent) => Promise<Latent>;
  readonly signal?: AbortSignal;
}

/** A row of the table of samplers. */
export interface Sampler {
  /** Kebab-case name, and the name that people see. */
  readonly name: string;
  readonly title: string;
  /** Names of the same sampler in CompVis, k-diffusion, A1111, ComfyUI and diffusers. Compared without case, spaces, `_`, `-`. */
  readonly aliases: readonly string[];
  /** Where its latents live: `timestep` variance preserving, `sigma` variance exploding. */
  readonly space: 'timestep' | 'sigma';
  /** Whether it draws noise while it samples (with its default settings). */
  readonly usesStepNoise: boolean;
  /**
   * Model calls in a step as A1111 counts them for prompt schedules (`second_order` there is 2). Default 1. Not every sampler that calls the
   * model twice in a step is of second order there.
   */
  readonly callsPerStep?: 1 | 2 | undefined;
  /** It chooses its own steps, by all pictures of the batch together: a picture is another one in another batch. Default false. */
  readonly choosesSteps?: boolean | undefined;
  /** Samplers in sigma space: name of the schedule if a request names none. */
  readonly schedule?: string | undefined;
  /** Samplers in timestep space: names of the spacings that a request may name. Default none: it has one of its own. */
  readonly spacings?: readonly string[] | undefined;
  /** It reads the setting `timesteps`. Default false. */
  readonly takesTimesteps?: boolean | undefined;
  /** It reads a request's `quantize`. Default false. */
  readonly quantizes?: boolean | undefined;
  /** It needs the unconditional prediction, also at guidance scale 1 (CFG++). Default false. */
  readonly needsUnconditional?: boolean | undefined;
  /** Samplers in sigma space: the algorithm alone, over sigmas that the caller made. */
  readonly sample?: SigmaSampling | undefined;
  /** It takes step noise from a Brownian tree if the run has one. Default false. */
  readonly usesIntervalNoise?: boolean | undefined;
  run(request: SamplingRequest): Sampling;
}
