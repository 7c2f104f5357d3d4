/**
 * A cascade: the picture of one model is enlarged by the next (Ho et al. 2021, arXiv 2106.15282), as DeepFloyd IF's stages are run one after the
 * other. The text is encoded once, and one stream of random numbers goes through all stages.
 */

import { StableDiffusionError } from '../errors.ts';
import { checkRequest } from '../generation/check-request.ts';
import { batchesOf } from '../generation/batches.ts';
import type { AnyInputs, EncodedPrompts } from '../generation/inputs.ts';
import type { GenerationRecord } from '../generation/record.ts';
import type { GenerationRequest } from '../generation/request.ts';
import type { SplitOptions } from '../generation/split-options.ts';
import { imagesToTensor } from '../image/image-tensor.ts';
import type { Model } from '../model/model.ts';
import { joinInputs, type NetworkInputs, takeInputs } from '../tensor/batches.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { GeneratedImage, Pipeline, PipelineEvent } from './events.ts';
import { requestNoise } from './noise-stream.ts';
import { isPixelStage } from './pixel-stage.ts';
import { runStage } from './run-stage.ts';
import { definedFields } from '../config/defined-fields.ts';

type Result = Extract<PipelineEvent, { readonly kind: 'result' }>;

function refuse(message: string): never {
  throw new StableDiffusionError('invalid-argument', message);
}

/** Throws `invalid-argument` for a request that is more than one batch, and for models that enlarge no picture. */
function checkCascade(
  { iterations, promptBatches, fixedCode, enlarge = [] }: GenerationRequest,
  stages: readonly Model[],
): void {
  if (stages.length !== enlarge.length)
    refuse('The stages of enlarge were not loaded. Load their models and give them as `enlarge`.');
  if (iterations !== 1 || promptBatches || fixedCode)
    refuse(
      'A cascade (enlarge) makes one batch: leave iterations, promptBatches and fixedCode out, and use batchSize.',
    );
  for (const { checkpoint, label } of stages)
    if (checkpoint.kind !== 'enlarge' && checkpoint.kind !== 'upscale')
      refuse(`${label} enlarges no pictures, so it cannot be a stage of enlarge.`);
}

/** What each text is for the network, a row for each. */
async function encodeTexts(
  model: Model,
  texts: readonly string[],
  styles: readonly string[] | undefined,
  { cleanCaption }: GenerationRequest,
  signal: AbortSignal | undefined,
): Promise<NetworkInputs> {
  const keys = texts.map((text, i) => JSON.stringify([text, styles?.[i]]));
  const distinct = [...new Set(keys)].map((key) => keys.indexOf(key));
  const given = {
    texts: distinct.map((i) => texts[i] as string),
    secondTexts: styles && distinct.map((i) => styles[i] as string),
  };
  const rows = await model.encode(given, { cleanCaption, signal });
  return joinInputs(
    keys.map((key) => {
      const row = distinct.findIndex((i) => keys[i] === key);
      return takeInputs(rows, row, row + 1);
    }),
  );
}

/** The prompts, for all stages with the same text encoder. Undefined where the first stage has none. */
async function encodeOnce(model: Model, { request, inputs }: SplitOptions): Promise<EncodedPrompts | undefined> {
  if (inputs.encoded) return inputs.encoded;
  if (!isPixelStage(model) || !model.conditioner.text) return undefined;
  const { prompts, negatives, secondPrompts, secondNegatives } = batchesOf(request).first;
  return {
    prompt: await encodeTexts(model, prompts, secondPrompts, request, inputs.signal),
    negative: await encodeTexts(model, negatives, secondNegatives, request, inputs.signal),
  };
}

/** Width of the text that a pixel stage takes. */
function textWidth({ checkpoint }: Model): number | undefined {
  const { unet_config: unet } = checkpoint.config;
  return unet.kind === 'if_unet' ? unet.encoder_dim : undefined;
}

/** The picture for the next stage in [-1, 1]: models of pixels hand it on without rounding, but one that the safety checker flags black. */
function handedOn(model: Model, { latents, images }: Result): Tensor<'float32'> {
  if (!isPixelStage(model)) return imagesToTensor(images.map(({ image }) => image));
  const size = latents.data.length / (latents.shape[0] ?? 1);
  const data = latents.data.slice();
  for (const [i, { flagged }] of images.entries()) if (flagged) data.fill(-1, i * size, (i + 1) * size);
  return { ...latents, data };
}

/** A picture of a later stage: black where a stage before it was flagged. */
function following(made: GeneratedImage, before: GeneratedImage | undefined, record: GenerationRecord): GeneratedImage {
  if (!before?.flagged) return { ...made, flagged: made.flagged ?? before?.flagged, record };
  return { ...made, image: { ...made.image, data: new Uint8Array(made.image.data.length) }, flagged: true, record };
}

interface StageOptions {
  readonly model: Model;
  readonly request: GenerationRequest;
  readonly inputs: AnyInputs;
  readonly small: Tensor<'float32'>;
  readonly settings: NonNullable<GenerationRequest['enlarge']>[number];
}

/** A stage's own request: the prompts of the first, and the picture or mask that it was made from. */
function stageOf({ model, request, inputs, small, settings }: StageOptions): SplitOptions {
  const { prompt, negativePrompt, secondPrompt, secondNegativePrompt, cleanCaption } = request;
  const { noise, bytes, watermark, safety } = request;
  const takesStyle = model.conditioner.readsSecondTexts === true;
  const { model: _, ...own } = settings;
  const isFrom = model.checkpoint.kind === 'enlarge' && inputs.image !== undefined;
  const fromImage = request.task !== 'txt2img' && isFrom ? request : undefined;
  const fields = {
    task: fromImage?.task ?? 'img2img',
    ...model.checkpoint.recommendation?.settings,
    ...{ prompt, negativePrompt, cleanCaption, noise, bytes, watermark, safety },
    ...(takesStyle ? { secondPrompt, secondNegativePrompt } : {}),
    ...(fromImage ? { strength: fromImage.strength, strengthRule: fromImage.strengthRule } : {}),
    batchSize: small.shape[0],
    seed: request.seed,
    seeds: request.seeds,
    ...own,
  };
  const { image, mask, noiseSource, signal, encoded } = inputs;
  const pictures = fromImage ? { image, mask, tensors: { small } } : { tensors: { pixels: small } };
  return { request: checkRequest(definedFields(fields)), inputs: { noiseSource, signal, encoded, ...pictures } };
}

/** The record of a picture of the cascade: the first stage's, with the others. */
function wholeRecord(
  first: GenerationRecord,
  { enlarge, watermark, safety }: GenerationRequest,
  isGiven: boolean,
): GenerationRecord {
  const { encoded, ...digests } = first.digests;
  return {
    ...first,
    enlarge,
    watermark,
    safety,
    digests: isGiven && encoded !== undefined ? { ...digests, encoded } : digests,
  };
}

/** Runs the first model and the stages after it. The pictures are the last one's. */
export async function* runCascade(model: Model, options: SplitOptions): Pipeline {
  const { request, inputs } = options;
  const stages = inputs.enlargers ?? [];
  const settings = request.enlarge ?? [];
  checkCascade(request, stages);
  const { enlarge: _, ...first } = request;
  const noiseSource = inputs.noiseSource ?? requestNoise(request);
  yield { kind: 'stage', stage: 'text' };
  const encoded = await encodeOnce(model, options);
  const shared = { ...inputs, noiseSource, encoded };
  const judge = [model, ...stages].findLastIndex(({ safety }) => safety !== undefined);
  // The mark goes into the last picture, and the last stage with a safety checker looks at its own.
  const inner = <R extends GenerationRequest>(own: R, index: number): R => ({
    ...own,
    watermark: request.watermark && index === stages.length,
    safety: request.safety && index === judge,
  });
  let before: { readonly model: Model; readonly result: Result } | undefined;
  for await (const event of runStage(model, { request: inner(first, 0), inputs: shared }))
    if (event.kind === 'result') before = { model, result: event };
    else if (event.kind !== 'images') yield event;
  const records = before?.result.images.map(({ record }) => wholeRecord(record, request, inputs.encoded !== undefined));
  for (const [i, stage] of stages.entries()) {
    if (!before || !records) return;
    const own = settings[i] ?? { model: stage.label };
    const small = handedOn(before.model, before.result);
    const given = textWidth(stage) !== undefined && textWidth(stage) === textWidth(model) ? encoded : undefined;
    const isLast = i === stages.length - 1;
    const earlier = before.result.images;
    const split = stageOf({ model: stage, request, inputs: { ...shared, encoded: given }, small, settings: own });
    const { startNoise } = before.result;
    for await (const event of runStage(stage, { ...split, request: inner(split.request, i + 1) })) {
      if (event.kind !== 'images' && event.kind !== 'result') yield event;
      else {
        const images = event.images.map((made, k) => following(made, earlier[k], records[k] ?? made.record));
        if (event.kind === 'result') before = { model: stage, result: { ...event, images, startNoise } };
        if (isLast) yield event.kind === 'result' ? { ...event, images, startNoise } : { ...event, images };
      }
    }
  }
}
