/** The `info` of A1111's answers. */

import type { JobResult, PictureJob } from '../../job.ts';
import { defaultFaceRestorer } from '../../models/face-networks.ts';
import { extraSettings } from '../../run/settings-text.ts';
import type { SharedFields } from './generation-fields.ts';

/** A1111's `Processed.js()`: all facts about the result, as JSON in a string. */
export function infoOf(
  job: PictureJob,
  result: JobResult,
  body: SharedFields,
  modelName: string,
  warnings: readonly string[],
): string {
  const { request } = job;
  const all = <T>(pick: (image: JobResult['images'][number]) => T): T[] => result.images.map(pick);
  return JSON.stringify({
    prompt: request.prompts[0] ?? '',
    all_prompts: all((image) => image.prompt),
    negative_prompt: request.negativePrompt,
    all_negative_prompts: all(() => request.negativePrompt),
    seed: request.seeds[0],
    all_seeds: all((image) => image.seed),
    subseed: request.subseeds[0],
    all_subseeds: all((image) => image.subseed),
    subseed_strength: request.noiseSettings?.subseedStrength ?? 0,
    width: request.width,
    height: request.height,
    sampler_name: request.sampler,
    cfg_scale: request.guidanceScale,
    steps: request.steps,
    batch_size: request.batchSize,
    restore_faces: request.restoreFaces !== undefined || (body.restore_faces ?? false),
    face_restoration_model: request.restoreFaces ? (request.restoreFaces.model ?? defaultFaceRestorer) : null,
    sd_model_name: modelName,
    sd_model_hash: result.modelHash?.slice(0, 10) ?? null,
    sd_vae_name: request.vae ?? null,
    sd_vae_hash: null,
    seed_resize_from_w: request.noiseSettings?.seedResizeFrom?.width ?? -1,
    seed_resize_from_h: request.noiseSettings?.seedResizeFrom?.height ?? -1,
    denoising_strength: request.hires?.strength ?? request.strength ?? null,
    extra_generation_params: {
      ...(request.scheduler === undefined || request.scheduler === 'Automatic'
        ? {}
        : { 'Schedule type': request.scheduler }),
      ...extraSettings(request, 0),
    },
    index_of_first_image: 0,
    infotexts: all((image) => image.infotext),
    styles: body.styles ?? [],
    job_timestamp: timestamp(job.startedAt ?? job.createdAt),
    clip_skip: request.clipSkip,
    is_using_inpainting_conditioning: false,
    version: 'v1.10.1',
    // Fields that A1111 lacks.
    job_id: job.id,
    warnings,
    interrupted: result.interrupted,
    flagged: all((image) => image.flagged ?? false),
  });
}

/** A1111's form of a moment: 20240131235959. */
export const timestamp = (moment: number): string => new Date(moment).toISOString().replace(/[-:T]/g, '').slice(0, 14);
