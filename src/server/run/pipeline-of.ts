/** The pipeline run that makes some pictures: of one job of any kind, or of several text-to-image jobs with the same batch key. */

import type { Image } from '../../image/image.ts';
import type { Pipeline } from '../../pipelines/events.ts';
import type { GenerateOptions, TaskOptions } from '../../generation/inputs.ts';
import { generate } from '../../pipelines/generate.ts';
import type { Model } from '../../model/model.ts';
import { parseExtraNetworks } from '../extra-networks.ts';
import type { JobRequest } from '../job.ts';
import { enlargeOffThread } from './picture-thread.ts';

/** Which picture of which job. */
export interface PictureOf {
  readonly request: JobRequest;
  readonly index: number;
}

/** What an operator decides for all pictures. */
export interface PicturePolicy {
  /** Run the safety checker where a checkpoint has one. */
  readonly safety: boolean;
  /** Write the invisible watermark. */
  readonly watermark: boolean;
}

/** A job's own pictures: the initial one at the job's size, and the mask. */
export interface JobImages {
  readonly image?: Image;
  readonly mask?: Image;
}

function optionsOf(pictures: readonly PictureOf[], policy: PicturePolicy): GenerateOptions {
  const first = (pictures[0] as { readonly request: JobRequest }).request;
  // The noise conventions that draw for a whole batch get the first seed; their jobs are never mixed.
  const perImage = first.noise !== 'compvis' && first.noise !== 'comfy';
  const seeds = pictures.map(({ request, index }) => request.seeds[index] ?? 0);
  const subseed = first.subseeds[pictures[0]?.index ?? 0] ?? 0;
  return {
    prompt: pictures.map(
      ({ request, index }) => parseExtraNetworks(request.prompts[index] ?? '', request.promptSyntax).text,
    ),
    negativePrompt: pictures.map(({ request }) => request.negativePrompt),
    steps: first.steps,
    sampler: first.sampler,
    guidanceScale: first.guidanceScale,
    seed: seeds[0] ?? 0,
    noise: first.noise,
    clipSkip: first.clipSkip,
    safety: policy.safety,
    watermark: policy.watermark,
    ...(perImage ? { seeds } : { batchSize: pictures.length }),
    ...(first.promptSyntax ? { promptSyntax: first.promptSyntax } : {}),
    ...(first.promptSettings ? { promptSettings: first.promptSettings } : {}),
    schedule: first.schedule,
    eta: first.eta,
    ...(first.churn
      ? {
          samplerSettings: {
            sChurn: first.churn.sChurn,
            sTmin: first.churn.sTmin,
            sNoise: first.churn.sNoise,
            sTmax: first.churn.sTmax,
          },
        }
      : {}),
    noiseSettings: {
      ...(first.subseedStrength > 0 ? { subseed, subseedStrength: first.subseedStrength } : {}),
      ...(first.seedResizeFrom ? { seedResizeFrom: first.seedResizeFrom } : {}),
      etaNoiseSeedDelta: first.seedDelta,
    },
  };
}

/** Starts the run. Pictures come in the order given. */
export function pipelineOf(
  model: Model,
  pictures: readonly PictureOf[],
  { image, mask }: JobImages,
  policy: PicturePolicy,
  signal: AbortSignal,
): Pipeline {
  const { kind, width, height, strength, imageGuidanceScale } = (pictures[0] as { readonly request: JobRequest })
    .request;
  const options = { ...optionsOf(pictures, policy), width, height, signal };
  const task = {
    task: kind,
    ...options,
    ...(kind === 'txt2img' ? {} : { strength, image }),
    ...(kind === 'img2img' ? { imageGuidanceScale } : {}),
    ...(kind === 'inpaint' ? { mask } : {}),
  };
  // The schema refuses a task without the pictures that it needs.
  return generate(model, task as TaskOptions);
}

/** A1111's "hires. fix": the picture is enlarged and made anew with less noise, by a prompt and a sampler of its own where it has them. */
export async function secondPass(
  model: Model,
  { request, index }: PictureOf,
  hires: NonNullable<JobRequest['hires']>,
  made: Image<3>,
  policy: PicturePolicy,
  signal: AbortSignal,
): Promise<Pipeline> {
  const {
    width,
    height,
    strength,
    upscaler,
    crop = false,
    steps = request.steps,
    sampler = request.sampler,
    negativePrompt = request.negativePrompt,
  } = hires;
  const image = await enlargeOffThread(made, { width, height, crop, filter: upscaler });
  const { schedule: firstSchedule, ...first } = request;
  const schedule = hires.sampler === undefined ? (hires.schedule ?? firstSchedule) : hires.schedule;
  const second: JobRequest = {
    ...first,
    ...(hires.prompt === undefined ? {} : { prompts: request.prompts.map(() => hires.prompt ?? '') }),
    negativePrompt,
    sampler,
    ...(schedule === undefined ? {} : { schedule }),
  };
  const { promptSyntax, ...options } = optionsOf([{ request: second, index }], policy);
  const promptSettings = { ...options.promptSettings, firstPassSteps: request.steps };
  return generate(model, {
    task: 'img2img',
    ...options,
    ...(promptSyntax && model.clipTokenizer ? { promptSyntax } : {}),
    promptSettings,
    image,
    width,
    height,
    steps,
    strength,
    signal,
  });
}
