/**
 * The request: the one description of a run. The library's options, the record in a picture, the options of the command line, jobs of the
 * server, the worker's messages and the page's settings are derived from it.
 * A request is plain JSON. Other inputs (a sampler object, a signal, tensors and pictures) are in `inputs.ts`.
 */

import * as z from 'zod';
import type { SamplerSettings } from '../diffusion/sampler.ts';
import { byteConventions } from '../image/image-tensor.ts';
import { noiseConventions } from '../random/noise-source.ts';
import { additionFields } from './addition-fields.ts';
import { bounds } from './bounds.ts';
import { controlFields } from './control-fields.ts';
import { maskFields } from './mask-fields.ts';
import { colorFields, outpaintFields } from './picture-fields.ts';
import { strengthRules } from './strength-steps.ts';
import { flag, list, oneOf, real, seedSchema, side, text, whole } from './fields.ts';
import { promptFields } from './prompt-fields.ts';
import { presetNames } from './presets.ts';
import { secondModelFields } from './second-model.ts';
import { stageFields } from './stage-fields.ts';

export const tasks = ['txt2img', 'img2img', 'inpaint'] as const;
export type Task = (typeof tasks)[number];

const { batchSize, iterations } = bounds;

const patchesSchema = z
  .strictObject(
    {
      /** Side of a patch, in elements of the latent. Default 128. */
      size: whole(bounds.patch).default(128),
      /** From one patch to the next. Default 64. */
      stride: whole(bounds.patch).default(64),
      /** Patches in the middle of the picture count more. Default false. */
      tieBreaker: flag().default(false),
    },
    { error: 'an object of size and stride' },
  )
  .readonly();

const restartSchema = z
  .strictObject(
    {
      minSigma: real(bounds.sigma),
      maxSigma: real(bounds.sigma),
      steps: whole(bounds.restartSteps),
      times: whole(bounds.restartTimes),
    },
    { error: 'an object of minSigma, maxSigma, steps and times' },
  )
  .readonly();

/** A sampler's own settings; see `SamplerSettings` for what each does. */
export const samplerSettingsFields = {
  eta: real(bounds.eta).optional(),
  sNoise: real(bounds.factor).optional(),
  sChurn: real(bounds.factor).optional(),
  sTmin: real(bounds.sigma).optional(),
  sTmax: real(bounds.sigma).optional(),
  order: whole(bounds.order).optional(),
  solverType: oneOf(['midpoint', 'heun']).optional(),
  method: oneOf(['multistep', 'singlestep', 'singlestep_fixed']).optional(),
  denoiseToZero: flag().optional(),
  thresholdAt: real(bounds.factor).optional(),
  variant: oneOf(['bh1', 'bh2']).optional(),
  predictX0: flag().optional(),
  lowerOrderFinal: flag().optional(),
  temperature: real(bounds.factor).optional(),
  clipDenoised: flag().optional(),
  r: real(bounds.factor).optional(),
  rtol: real(bounds.tolerance).optional(),
  atol: real(bounds.tolerance).optional(),
  hInit: real(bounds.factor).optional(),
  pcoeff: real(bounds.factor).optional(),
  icoeff: real(bounds.factor).optional(),
  dcoeff: real(bounds.factor).optional(),
  acceptSafety: real(bounds.factor).optional(),
  gamma: real(bounds.factor).optional(),
  restarts: list(restartSchema, 'restarts', bounds.restarts.min, bounds.restarts.max).optional(),
  timesteps: list(whole(bounds.timestep), 'timesteps', 1, bounds.steps.max).optional(),
  drawsOnlyUsed: flag().optional(),
  endsAtDenoised: flag().optional(),
  exactLevels: flag().optional(),
} satisfies { [K in keyof Required<SamplerSettings>]: z.ZodType };

const samplingFields = {
  /** Sampler, spacing, steps and guidance that belong together, for models made for few steps. What the caller gives replaces them. */
  preset: oneOf(presetNames).optional(),
  /** Steps of the whole schedule. Default 50. */
  steps: whole(bounds.steps).default(50),
  /**
   * Name of a sampler: this program's, CompVis's, A1111's or ComfyUI's; or a scheduler class of diffusers (`PNDMScheduler`), with the
   * settings in the model's folder if it has them. Default `ddim`; for a diffusers folder with `noise: 'diffusers'`, its scheduler.
   */
  sampler: text(200).optional(),
  /** Name of the spacing of the steps. Default: the sampler's own. */
  schedule: text(200).optional(),
  /** Ends and exponent of the spacing, for those that are formulas (karras, exponential, polyexponential, …). Default: the model's own levels. */
  scheduleSettings: z
    .strictObject(
      {
        sigmaMin: real(bounds.sigma).optional(),
        sigmaMax: real(bounds.sigma).optional(),
        rho: real(bounds.rho).optional(),
      },
      { error: 'an object of sigmaMin, sigmaMax and rho' },
    )
    .readonly()
    .optional(),
  /** Amount of fresh noise in each step. Default: the sampler's own. */
  eta: real(bounds.eta).optional(),
  /** VQ models: quantize each estimate of the clean latent, as CompVis's `quantize_denoised` and `quantize_x0`. Samplers of CompVis only. Default false. */
  quantizeDenoised: flag().default(false),
  /** Further settings of the sampler. */
  samplerSettings: z
    .strictObject(samplerSettingsFields, { error: 'an object of sampler settings' })
    .readonly()
    .optional(),
};

const guidanceFields = {
  /** Guidance rescale factor φ, 0 to 1 (Lin et al. 2023, equations 15 and 16). Default 0. */
  guidanceRescale: real(bounds.share).default(0),
};
/** Classifier-free guidance scale; 1 turns guidance off. */
const guidanceScale = (value: number) => real(bounds.guidance).default(value);

const noiseSettingsSchema = z
  .strictObject(
    {
      /** Seed of the variation; counts up over the batch. */
      subseed: seedSchema.optional(),
      /** Share of the variation's noise, 0 to 1. With a share above 0 all images of the batch start from the same `seed`. */
      subseedStrength: real(bounds.share).optional(),
      /** Size in pixels whose composition is kept. */
      seedResizeFrom: z
        .strictObject({ width: side(), height: side() }, { error: 'an object of width and height' })
        .readonly()
        .optional(),
      /** Added to the seeds for the noise of the steps. */
      etaNoiseSeedDelta: whole(bounds.seedDelta).optional(),
    },
    { error: 'an object of noise settings' },
  )
  .readonly();

const noiseFields = {
  /** Seed of the noise, -2^63 to 2^64 - 1. Default 42, as CompVis's scripts. */
  seed: seedSchema.default(42),
  /** A1111's and diffusers' conventions: one seed for each image, so that an image does not depend on the others of its batch. Then there is one iteration. */
  seeds: list(seedSchema, 'seeds', 1, batchSize.max).optional(),
  /** Program whose random numbers to reproduce (noise convention). Default `compvis`. */
  noise: oneOf(noiseConventions).default('compvis'),
  /** A1111's conventions: variation seed, size of the composition, and other seeds for the steps. */
  noiseSettings: noiseSettingsSchema.optional(),
  /** Images generated at once. Default 1, or as many as there are prompts, seeds or classes. */
  batchSize: whole(batchSize).optional(),
  /** Number of batches, each with further noise. Default 1. */
  iterations: whole(iterations).default(1),
  /** First iteration to generate (1-based). Earlier ones only advance the random stream. Used by `sd replay`. Default 1. */
  firstIteration: whole(iterations).optional(),
  /** Sizes of the batches before the first one that is generated, where they differ from `batchSize`. Used by `sd replay`. */
  earlierBatches: list(whole(batchSize), 'batch sizes', 1, iterations.max).optional(),
  /** Pictures in the largest batch of the run, for which the fixed start noise is drawn. Used by `sd replay`. Default: the largest that the request names. */
  largestBatch: whole(batchSize).optional(),
  /** Use the same start noise in every iteration. Default false. */
  fixedCode: flag().default(false),
};

const outputFields = {
  /** Width in pixels, a multiple of the model's unit (64 for Stable Diffusion v1). Default: the model's own size, or the initial image's. */
  width: side().optional(),
  /** Height in pixels. As `width`. */
  height: side().optional(),
  /** Run the networks on overlapping patches of large pictures, blended (latent-diffusion's `split_input_params`). Default: whole pictures. */
  patches: patchesSchema.optional(),
  /** Black out images that the safety checker flags, if the checkpoint has one. Default true. */
  safety: flag().default(true),
  /** Add the invisible watermark to images of at least 256 x 256 pixels. Default true. */
  watermark: flag().default(true),
  /** Conversion of decoded values to bytes. Default: as in the program of `noise`; `compvis` for all except diffusers. */
  bytes: oneOf(byteConventions).optional(),
  /** The decoder of the final latents: the model's own `autoencoder`, or the small `taesd`, which must be loaded too. Default `autoencoder`. */
  decoder: oneOf(['autoencoder', 'taesd']).optional(),
};

const commonFields = {
  ...promptFields,
  ...secondModelFields,
  ...stageFields,
  ...samplingFields,
  ...guidanceFields,
  ...additionFields,
  ...noiseFields,
  ...outputFields,
  ...controlFields,
};

const strengthFields = {
  /**
   * How `strength` is counted in steps: `compvis` runs int(strength * steps) of the schedule's steps; `a1111` one more with samplers in sigma
   * space; `all` runs all `steps`, as A1111's second pass. Default: `a1111` with A1111's noise, else `compvis`.
   */
  strengthRule: oneOf(strengthRules).optional(),
  /** Factor on the noise that the run starts from, A1111's `initial_noise_multiplier`: below 1 the result has less detail. Default 1. */
  initialNoise: real(bounds.noiseFactor).optional(),
};

export const textToImageRequest = z.strictObject({
  task: z.literal('txt2img'),
  ...commonFields,
  /** Classifier-free guidance scale; 1 turns guidance off. Default 7.5. */
  guidanceScale: guidanceScale(7.5),
});

export const imageToImageRequest = z.strictObject({
  task: z.literal('img2img'),
  ...commonFields,
  /** Classifier-free guidance scale; 1 turns guidance off. Default 5, as CompVis's img2img.py. */
  guidanceScale: guidanceScale(5),
  /** Share of the noise schedule that is run: 0 keeps the image, 1 starts from noise alone. Default 0.75. */
  strength: real(bounds.share).default(0.75),
  ...strengthFields,
  /** Upscaling and variation models of SD 2.x, and DeepFloyd IF's later stages: how much noise is put on the image that they look at. Default 20 for upscaling, 250 for DeepFloyd IF, 0 for variations. */
  noiseLevel: whole(bounds.noiseLevel).optional(),
  /** InstructPix2Pix models: how closely to follow the image. Default 1.5. */
  imageGuidanceScale: real(bounds.guidance).default(1.5),
  ...outpaintFields,
  ...colorFields,
});

export const inpaintRequest = z.strictObject({
  task: z.literal('inpaint'),
  ...commonFields,
  /** Classifier-free guidance scale; 1 turns guidance off. Default 7.5. */
  guidanceScale: guidanceScale(7.5),
  /** Share of the noise schedule that is run: below 1 the painted part starts from what is there. Default 1. */
  strength: real(bounds.share).default(1),
  ...strengthFields,
  /** Enlarging models: how much noise is put on the smaller picture. Default 0. */
  noiseLevel: whole(bounds.noiseLevel).optional(),
  ...maskFields,
  ...colorFields,
});

/** Every request, by its task. */
export const requestSchemas = {
  txt2img: textToImageRequest,
  img2img: imageToImageRequest,
  inpaint: inpaintRequest,
} as const satisfies { [T in Task]: z.ZodType };

export const requestSchema = z.discriminatedUnion('task', [textToImageRequest, imageToImageRequest, inpaintRequest], {
  error: `an object whose task is one of ${tasks.join(', ')}`,
});

/** A complete request: every default is filled in. */
export type GenerationRequest = Readonly<z.output<typeof requestSchema>>;
/** A request as a caller writes it. */
export type GenerationRequestInput = Readonly<z.input<typeof requestSchema>>;
/** The request of one task. */
export type RequestOf<T extends Task> = Extract<GenerationRequest, { readonly task: T }>;
/** The same as a caller writes it. */
export type RequestInputOf<T extends Task> = Extract<GenerationRequestInput, { readonly task: T }>;
