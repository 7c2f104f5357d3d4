/** Outpainting: a picture grows beyond its edges by inpainting, part after part. Each picture of a request has its own parts and its own seed. */

import { definedFields } from '../../config/defined-fields.ts';
import { StableDiffusionError, throwIfAborted } from '../../errors.ts';
import { type Batch, batchesOf, promptsOfPicture } from '../../generation/batches.ts';
import { checkRequest } from '../../generation/check-request.ts';
import type { GenerationRecord } from '../../generation/record.ts';
import type { RequestOf } from '../../generation/request.ts';
import type { SplitOptions } from '../../generation/split-options.ts';
import { flatten, type Image } from '../../image/image.ts';
import { composeInpainted } from '../../image/inpaint-region.ts';
import { blurMask } from '../../image/mask-blur.ts';
import { fillHole } from '../../image/mask-fill.ts';
import type { Model } from '../../model/model.ts';
import { plainSeed, seedOf } from '../../random/plain-seed.ts';
import { joinBatches } from '../../tensor/batches.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { digest } from '../digest.ts';
import type { GeneratedImage, Pipeline, PipelineEvent } from '../events.ts';
import { marked } from '../finish-pictures.ts';
import { isPixelStage } from '../pixel-stage.ts';
import { runStage } from '../run-stage.ts';
import { blendsMask } from '../start-from-mask.ts';
import { type Frame, outpaintSizes } from './geometry.ts';
import { type Part, sideParts, tileParts } from './parts.ts';

type Request = RequestOf<'img2img'> & { readonly outpaint: NonNullable<RequestOf<'img2img'>['outpaint']> };
type Result = Extract<PipelineEvent, { readonly kind: 'result' }>;

function refuse(message: string): never {
  throw new StableDiffusionError('invalid-argument', message);
}

/** Most pixels of a result (16384 x 4096): a larger request is a mistake. */
const mostPixels = 2 ** 26;

/** The picture and the sizes of the run. Throws `invalid-argument`, `too-large`. */
function frameOf(model: Model, { request, inputs }: SplitOptions, { outpaint }: Request): Frame & { image: Image<3> } {
  if (!inputs.image) refuse('Outpainting extends an image. Give it as image, not as a latent or a tensor.');
  if (isPixelStage(model)) refuse(`${model.label} works on pixels; outpainting is for models of latents.`);
  if (inputs.startNoise || inputs.noiseSource)
    refuse('Outpainting draws its noise from the seed. Leave startNoise and noiseSource out.');
  const image = flatten(inputs.image);
  const { unit, nativeSize } = model;
  const { width = nativeSize, height = nativeSize } = request;
  const frame = { picture: image, part: { width, height }, unit };
  const { result } = outpaintSizes(frame, outpaint);
  if (result.width * result.height > mostPixels)
    throw new StableDiffusionError(
      'too-large',
      `The picture would have ${result.width} x ${result.height} pixels, more than the ${mostPixels} allowed. Add less, or take a smaller picture.`,
    );
  return { ...frame, image };
}

/** The request of one picture: its own prompt and seed, and no other batch. */
function requestOfPicture(request: Request, batch: Batch, index: number): Request {
  const {
    promptBatches: _,
    seeds: __,
    firstIteration: ___,
    earlierBatches: ____,
    largestBatch: _____,
    ...rest
  } = request;
  const place = BigInt(batch.picturesBefore + index);
  return {
    ...rest,
    ...promptsOfPicture(batch, index),
    seed: batch.seeds?.[index] ?? plainSeed(BigInt(seedOf(request.seed)) + place),
    batchSize: 1,
    iterations: 1,
    fixedCode: false,
  };
}

/** The options that paint one part. */
function partOptions(
  model: Model,
  request: Request,
  { image, mask, fill, seedOffset }: Part,
  inputs: SplitOptions['inputs'],
): SplitOptions {
  const { outpaint: _, imageGuidanceScale: __, noiseLevel: ___, ...rest } = request;
  const hole = fill === 'original' || fill === 'fill' ? undefined : fill;
  const isA1111 = request.noise.startsWith('a1111');
  const fields = {
    ...rest,
    task: 'inpaint',
    width: image.width,
    height: image.height,
    seed: plainSeed(BigInt(seedOf(request.seed)) + BigInt(seedOffset)),
    maskRule: 'round',
    watermark: false,
    ...(blendsMask(model) ? { maskedContent: hole, keepRule: isA1111 ? 'after' : undefined } : {}),
  };
  return {
    request: checkRequest(definedFields(fields)),
    inputs: { ...inputs, image: fill === 'fill' ? fillHole(image, mask) : image, mask, tensors: {} },
  };
}

/** The painted part with the old picture over it, as A1111 lays it. */
function withOriginal({ image, mask, shown, blur, fill }: Part, made: Image<3>): Image<3> {
  const soft = blur > 0 ? blurMask(shown, blur, blur) : shown;
  const original = fill === 'fill' ? fillHole(image, mask) : image;
  const sharper = { ...soft, data: soft.data.map((value) => Math.min(255, 2 * value)) };
  return composeInpainted({ original, mask: sharper, region: undefined }, made);
}

/** The record of the whole picture from that of a part. */
async function recordOf(
  part: GenerationRecord,
  request: Request,
  frame: Frame & { image: Image<3> },
  source: Image,
): Promise<GenerationRecord> {
  const {
    maskRule: _,
    maskedContent: __,
    keepRule: ___,
    softInpainting: ____,
    ...rest
  } = part as Extract<GenerationRecord, { task: 'inpaint' }>;
  const { width, height } = frame.part;
  const { outpaint, imageGuidanceScale, seed, watermark, noiseLevel } = request;
  const { mask: _____, ...digests } = part.digests;
  return {
    ...rest,
    task: 'img2img',
    ...{ outpaint, imageGuidanceScale, seed, watermark, width, height },
    ...(noiseLevel === undefined ? {} : { noiseLevel }),
    digests: { ...digests, image: await digest(source) },
    index: 0,
    iteration: 1,
  };
}

interface Painted {
  readonly image: GeneratedImage;
  readonly last: Result;
}

/** One picture, part after part. */
async function* paintPicture(
  model: Model,
  request: Request,
  inputs: SplitOptions['inputs'],
  frame: Frame & { image: Image<3> },
  iterationOf: (part: number) => { readonly iteration: number; readonly iterations: number },
): AsyncGenerator<PipelineEvent, Painted | undefined, void> {
  const method = request.outpaint.method === 'poor-mans' ? tileParts : sideParts;
  const parts = method(frame.image, frame, request.outpaint);
  let last: Result | undefined;
  let flagged = false;
  let step = parts.next();
  for (let i = 0; !step.done; i++) {
    throwIfAborted(inputs.signal);
    const part = step.value;
    for await (const event of runStage(model, partOptions(model, request, part, inputs)))
      if (event.kind === 'result') last = event;
      else if (event.kind === 'step') yield { ...event, ...iterationOf(i) };
      else if (event.kind === 'stage') yield event;
    const made = last?.images[0];
    if (!made) return undefined;
    flagged ||= made.flagged ?? false;
    step = parts.next(withOriginal(part, made.image));
  }
  const [first] = last?.images ?? [];
  if (!last || !first || !inputs.image) return undefined;
  const mark = request.watermark ? await model.visibleMark?.() : undefined;
  const whole = request.watermark ? marked(step.value, mark, model.nativeSize) : step.value;
  return {
    image: {
      image: flagged ? { ...whole, data: new Uint8Array(whole.data.length) } : whole,
      index: 0,
      record: await recordOf(first.record, request, frame, inputs.image),
      ...(first.flagged === undefined ? {} : { flagged }),
    },
    last,
  };
}

/** Runs a request with `outpaint`. Its steps count over the parts, as iterations. */
export async function* runOutpaint(model: Model, options: SplitOptions): Pipeline {
  const request = options.request as Request;
  const frame = frameOf(model, options, request);
  const { parts } = outpaintSizes(frame, request.outpaint);
  const pictures = [...batchesOf(request)].flatMap((batch) =>
    batch.isMade ? Array.from({ length: batch.batch }, (_, index) => requestOfPicture(request, batch, index)) : [],
  );
  const iterations = pictures.length * parts.length;
  const made: GeneratedImage[] = [];
  const latents: Tensor<'float32'>[] = [];
  let startNoise: Tensor<'float32'> | undefined;
  for (const [k, one] of pictures.entries()) {
    const iterationOf = (part: number) => ({ iteration: k * parts.length + part + 1, iterations });
    const painted = yield* paintPicture(model, one, options.inputs, frame, iterationOf);
    if (!painted) return;
    const { image, last } = painted;
    made.push(image);
    latents.push(last.latents);
    startNoise ??= last.startNoise;
    yield { kind: 'images', iteration: k + 1, images: [image], latents: last.latents };
  }
  if (startNoise) yield { kind: 'result', images: made, latents: joinBatches(latents), startNoise };
}
