/** The settings of one picture of a job as A1111 writes them under it. */

import { a1111SamplerLabel, schedulerLabelOf } from '../../diffusion/sampler-labels.ts';
import { softInpaintingArguments, softInpaintingDefaults } from '../../diffusion/soft-inpainting.ts';
import { a1111Infotext } from '../../image/metadata/a1111-settings.ts';
import { type InfotextValue, pythonFloat } from '../../image/metadata/infotext.ts';
import { outpaintLines } from '../../generation/record-infotext.ts';
import type { NoiseConvention } from '../../random/noise-source.ts';
import { defaultRefinerSwitch } from '../../generation/second-model.ts';
import { controlLines } from '../controlnet/unit-text.ts';
import type { JobRequest } from '../job.ts';
import { defaultFaceRestorer } from '../models/face-networks.ts';

/** A1111's names of where noise comes from; our other conventions go by their own. */
const rngNames: Partial<Record<NoiseConvention, string>> = { 'a1111-gpu': 'GPU', 'a1111-cpu': 'CPU', 'a1111-nv': 'NV' };

const floats = new Set(['Denoising strength', 'Noise multiplier', 'Hires upscale', 'Refiner switch at']);

export interface PictureSettings {
  readonly request: JobRequest;
  readonly index: number;
  readonly model: string;
  readonly modelHash: string | null;
  readonly version: string;
}

/** The lines of hires. fix, in A1111's order: what the second pass has of its own. */
function hiresLines({ hires, prompts, negativePrompt }: JobRequest, index: number): Record<string, InfotextValue> {
  if (!hires) return {};
  const { asked, prompt, negativePrompt: negative, upscalerName } = hires;
  return {
    ...(hires.model === undefined ? {} : { 'Hires checkpoint': hires.model }),
    ...(hires.sampler === undefined ? {} : { 'Hires sampler': hires.sampler }),
    ...(prompt === undefined || prompt === prompts[index] ? {} : { 'Hires prompt': prompt }),
    ...(negative === undefined || negative === negativePrompt ? {} : { 'Hires negative prompt': negative }),
    ...(hires.scheduler === undefined ? {} : { 'Hires schedule type': hires.scheduler }),
    ...(asked && 'scale' in asked
      ? { 'Hires upscale': asked.scale }
      : { 'Hires resize': `${asked?.width ?? hires.width}x${asked?.height ?? hires.height}` }),
    ...(hires.steps === undefined ? {} : { 'Hires steps': hires.steps }),
    ...(upscalerName === undefined ? {} : { 'Hires upscaler': upscalerName }),
  };
}

type SoftSettings = NonNullable<NonNullable<JobRequest['inpaint']>['soft']>;

/** Soft inpainting's settings, by A1111's names. */
function softLines(given: SoftSettings | undefined): Record<string, InfotextValue> {
  if (!given) return {};
  const lines = softInpaintingArguments.map(
    ([label, field]) => [`Soft inpainting ${label}`, given[field] ?? softInpaintingDefaults[field]] as const,
  );
  return { 'Soft inpainting enabled': true, ...Object.fromEntries(lines) };
}

/** What modes and scripts add to A1111's settings (`extra_generation_params`). */
export function extraSettings(request: JobRequest, index: number): Record<string, InfotextValue> {
  const { strength, hires, inpaint } = request;
  const { emphasis = 'Original' } = request.promptSettings ?? {};
  const denoising = hires?.strength ?? strength;
  return {
    ...(emphasis === 'Original' || !/[([]/.test(`${request.prompts[index]}${request.negativePrompt}`)
      ? {}
      : { Emphasis: emphasis }),
    ...(denoising === undefined ? {} : { 'Denoising strength': denoising }),
    ...(request.refiner === undefined
      ? {}
      : { Refiner: request.refiner, 'Refiner switch at': request.refinerSwitchAt ?? defaultRefinerSwitch }),
    ...controlLines(request),
    ...(inpaint ? { 'Mask blur': inpaint.blurX } : {}),
    ...(inpaint?.onlyMaskedPadding === undefined
      ? {}
      : { 'Inpaint area': 'Only masked', 'Masked area padding': inpaint.onlyMaskedPadding }),
    ...(inpaint && inpaint.fill !== 'original' ? { 'Masked content': inpaint.fill } : {}),
    ...softLines(inpaint?.soft),
    ...(request.outpaint ? outpaintLines(request.outpaint) : {}),
    ...(request.initialNoise === undefined ? {} : { 'Noise multiplier': request.initialNoise }),
    ...(request.vae === undefined ? {} : { VAE: request.vae }),
    ...(request.colorCorrection ? { 'Color correction': true } : {}),
    ...hiresLines(request, index),
  };
}

/** Sampler and schedule: what an A1111 client called them; for a job of our own API A1111's labels, as far as it has them. */
function samplingNames({ sampler, schedule, scheduler }: JobRequest): {
  readonly sampler: string;
  readonly scheduler: string | undefined;
} {
  if (scheduler !== undefined) return { sampler, scheduler };
  return {
    sampler: a1111SamplerLabel(sampler) ?? sampler,
    scheduler: schedule === undefined ? undefined : (schedulerLabelOf(schedule) ?? schedule),
  };
}

export function settingsText({ request, index, model, modelHash, version }: PictureSettings): string {
  const { sampler, scheduler } = samplingNames(request);
  return a1111Infotext({
    prompt: request.prompts[index] ?? '',
    negativePrompt: request.negativePrompt,
    steps: request.steps,
    sampler,
    ...(scheduler === undefined ? {} : { scheduler }),
    cfgScale: request.guidanceScale,
    ...(request.imageGuidanceScale === undefined ? {} : { imageCfgScale: request.imageGuidanceScale }),
    seed: request.seeds[index] ?? 0,
    ...(request.restoreFaces ? { faceRestoration: request.restoreFaces.model ?? defaultFaceRestorer } : {}),
    width: request.width,
    height: request.height,
    modelHash: modelHash?.slice(0, 10) ?? null,
    model,
    variationSeed: request.subseeds[index] ?? 0,
    variationStrength: request.noiseSettings?.subseedStrength ?? 0,
    seedResizeFrom: request.noiseSettings?.seedResizeFrom,
    clipSkip: request.clipSkip,
    ensd: request.noiseSettings?.etaNoiseSeedDelta,
    rng: rngNames[request.noise] ?? request.noise,
    tiling: request.seamless !== undefined,
    tokenMergingRatio: request.tokenMerging,
    // Written as floats.
    extra: Object.fromEntries(
      Object.entries(extraSettings(request, index)).map(([key, value]) => [
        key,
        typeof value === 'number' && floats.has(key) ? pythonFloat(value) : value,
      ]),
    ),
    version,
  });
}
