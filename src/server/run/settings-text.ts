/** The settings of one picture of a job as A1111 writes them under it. */

import { a1111Infotext } from '../../image/a1111-settings.ts';
import type { NoiseConvention } from '../../random/noise-source.ts';
import type { JobRequest } from '../job.ts';

/** A1111's names of where noise comes from; our other conventions go by their own. */
const rngNames: Partial<Record<NoiseConvention, string>> = { 'a1111-gpu': 'GPU', 'a1111-cpu': 'CPU', 'a1111-nv': 'NV' };

export interface PictureSettings {
  readonly request: JobRequest;
  readonly index: number;
  readonly model: string;
  readonly modelHash: string | null;
  readonly version: string;
}

export function settingsText({ request, index, model, modelHash, version }: PictureSettings): string {
  const { strength, hires, inpaint } = request;
  const { emphasis = 'Original' } = request.promptSettings ?? {};
  const denoising = hires?.strength ?? strength;
  // What an A1111 client called it, else the schedule of a job of our own API.
  const scheduler = request.scheduler ?? request.schedule;
  return a1111Infotext({
    prompt: request.prompts[index] ?? '',
    negativePrompt: request.negativePrompt,
    steps: request.steps,
    sampler: request.sampler,
    ...(scheduler === undefined ? {} : { scheduler }),
    cfgScale: request.guidanceScale,
    ...(request.imageGuidanceScale === undefined ? {} : { imageCfgScale: request.imageGuidanceScale }),
    seed: request.seeds[index] ?? 0,
    width: request.width,
    height: request.height,
    modelHash: modelHash?.slice(0, 10) ?? null,
    model,
    variationSeed: request.subseeds[index] ?? 0,
    variationStrength: request.subseedStrength,
    ...(request.seedResizeFrom ? { seedResizeFrom: request.seedResizeFrom } : {}),
    clipSkip: request.clipSkip,
    ...(request.seedDelta === undefined ? {} : { ensd: request.seedDelta }),
    rng: rngNames[request.noise] ?? request.noise,
    extra: {
      ...(emphasis === 'Original' || !/[([]/.test(`${request.prompts[index]}${request.negativePrompt}`) ? {} : { Emphasis: emphasis }),
      ...(denoising === undefined ? {} : { 'Denoising strength': denoising }),
      ...(inpaint ? { 'Mask blur': inpaint.blurX } : {}),
      ...(inpaint?.onlyMaskedPadding === undefined ? {} : { 'Inpaint area': 'Only masked', 'Masked area padding': inpaint.onlyMaskedPadding }),
      ...(hires ? { 'Hires resize': `${hires.width}x${hires.height}`, 'Hires steps': hires.steps, 'Hires upscaler': hires.upscalerName } : {}),
    },
    version,
  });
}
