/** The pipeline run that makes some pictures: of one job of any kind, or of several text-to-image jobs with the same batch key. */

import type { Image } from '../../image/image.ts';
import type { Pipeline } from '../../pipelines/events.ts';
import type { ControlOptions } from '../../generation/control-inputs.ts';
import type { InpaintOptions, TaskOptions, TextToImageOptions } from '../../generation/inputs.ts';
import { generate } from '../../pipelines/generate.ts';
import type { Model } from '../../model/model.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { parseExtraNetworks } from '../extra-networks.ts';
import { type JobRequest, takenFields } from '../job.ts';
import { enlargedLatent, startsFromLatent } from './enlarged-latent.ts';
import { enlargeOffThread } from './picture-thread.ts';

/** A picture's index in its job. */
export interface PictureOf {
  readonly request: JobRequest;
  readonly index: number;
}

/** The operator's policy for all pictures. */
export interface PicturePolicy {
  /** Run the safety checker where a checkpoint has one. */
  readonly safety: boolean;
  /** Write the invisible watermark. */
  readonly watermark: boolean;
}

/** The loaded models of a run: the job's, and the one that ends it. */
export interface RunModels {
  readonly model: Model;
  readonly refiner?: Model | undefined;
}

/** A job's own pictures: the initial one at the job's size, and the mask. */
export interface JobImages {
  readonly image?: Image;
  readonly mask?: Image;
  readonly controls?: ControlOptions | undefined;
  readonly retouch?: TextToImageOptions['retouch'];
}

/** Fields that the request of a run takes from the first picture's job: a run is of jobs that have them in common. */
const shared = Object.keys(takenFields) as (keyof typeof takenFields)[];

function optionsOf(pictures: readonly PictureOf[], policy: PicturePolicy): Omit<TextToImageOptions, 'strength'> {
  const first = (pictures[0] as { readonly request: JobRequest }).request;
  // The noise conventions that draw for a whole batch take the first seed; their jobs never share a run.
  const perImage = first.noise !== 'compvis' && first.noise !== 'comfy';
  const seeds = pictures.map(({ request, index }) => request.seeds[index] ?? 0);
  const subseed = first.subseeds[pictures[0]?.index ?? 0] ?? 0;
  const { noiseSettings } = first;
  const {
    strength: _,
    strengthRule: __,
    initialNoise: ________,
    imageGuidanceScale: ___,
    refiner: ____,
    noiseLevel: _____,
    outpaint: ______,
    colorCorrection: _______,
    ...fields
  } = Object.fromEntries(shared.map((field) => [field, first[field]])) as Pick<JobRequest, keyof typeof takenFields>;
  return {
    ...fields,
    prompt: pictures.map(
      ({ request, index }) => parseExtraNetworks(request.prompts[index] ?? '', request.promptSyntax).text,
    ),
    negativePrompt: pictures.map(({ request }) => request.negativePrompt),
    promptSyntax: first.promptSyntax,
    seed: seeds[0] ?? 0,
    ...(perImage ? { seeds } : { batchSize: pictures.length }),
    noiseSettings: noiseSettings && { ...noiseSettings, ...(noiseSettings.subseedStrength ? { subseed } : {}) },
    safety: policy.safety,
    watermark: policy.watermark,
  };
}

/** A1111's treatment of a mask, for models that do not see it themselves. */
function maskSettings(
  { checkpoint }: Model,
  { noise, inpaint }: JobRequest,
): Pick<InpaintOptions, 'maskedContent' | 'keepRule'> {
  const { conditioning_key, cond_stage_config } = checkpoint.config;
  const seesMask =
    checkpoint.kind === 'inpaint' || (conditioning_key === 'concat' && cond_stage_config === 'first_stage');
  if (!inpaint || seesMask || !noise.startsWith('a1111')) return {};
  const { fill } = inpaint;
  return {
    keepRule: 'after',
    ...(fill === 'latent noise' || fill === 'latent nothing' ? { maskedContent: fill } : {}),
  };
}

/** Starts the run. Pictures come in the order given. */
export function pipelineOf(
  { model, refiner }: RunModels,
  pictures: readonly PictureOf[],
  { image, mask, controls, retouch }: JobImages,
  policy: PicturePolicy,
  signal: AbortSignal,
): Pipeline {
  const first = (pictures[0] as { readonly request: JobRequest }).request;
  const { task, width, height, strength, strengthRule, imageGuidanceScale, noiseLevel, inpaint } = first;
  const { outpaint, colorCorrection, initialNoise } = first;
  const options = {
    ...optionsOf(pictures, policy),
    task,
    width,
    height,
    refiner,
    retouch,
    signal,
    ...controls,
    ...(task === 'txt2img' ? {} : { strength, strengthRule, initialNoise, image, colorCorrection }),
    ...(task === 'img2img' ? { imageGuidanceScale, noiseLevel, outpaint } : {}),
    ...(task === 'inpaint'
      ? {
          mask,
          maskRule: inpaint?.round === false ? 'soft' : 'round',
          ...maskSettings(model, first),
          // The pipeline refuses it for models that see the mask.
          ...(inpaint?.soft ? { softInpainting: inpaint.soft } : {}),
        }
      : {}),
  };
  // The schema refuses a task without the pictures that it needs.
  return generate(model, options as TaskOptions);
}

/** What the second pass starts from. */
export interface FirstPass {
  readonly made: Image<3>;
  /** [1, c, h, w] */
  readonly latent: Tensor<'float32'>;
  readonly controls: ControlOptions | undefined;
  readonly retouch?: TextToImageOptions['retouch'];
}

/** A1111's "hires. fix": the enlarged picture, or the enlarged latent, is the start of a second pass, which may have another prompt and another sampler. */
export async function secondPass(
  model: Model,
  { request, index }: PictureOf,
  hires: NonNullable<JobRequest['hires']>,
  { made, latent, controls, retouch }: FirstPass,
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
  const { latentMode } = hires;
  const start =
    latentMode !== undefined && startsFromLatent(model)
      ? { latent: enlargedLatent(latent, hires, model, latentMode) }
      : { image: await enlargeOffThread(made, { width, height, crop, filter: upscaler }) };
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
    ...start,
    width,
    height,
    steps,
    strength,
    // As A1111's second pass: all its steps, from the strength's place in a longer schedule.
    strengthRule: 'all',
    ...controls,
    retouch,
    signal,
  });
}
