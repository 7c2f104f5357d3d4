/** From the final latents of a batch to its pictures: decoding, the safety checker, the watermark, the record. */

import { StableDiffusionError } from '../errors.ts';
import type { Batch } from '../generation/batches.ts';
import type { EncodedPrompts } from '../generation/inputs.ts';
import { recordedModel } from '../generation/model-name.ts';
import { programName, type RecordFacts, recordOf } from '../generation/record.ts';
import { clipImageTensor } from '../image/clip-image.ts';
import { correctColors } from '../image/color-correction.ts';
import type { Image } from '../image/image.ts';
import { tensorToImages } from '../image/image-tensor.ts';
import { withVisibleMark } from '../image/visible-mark.ts';
import { canWatermark, embedWatermark } from '../image/watermark.ts';
import { concatenate } from '../tensor/arithmetic.ts';
import { takeBatch } from '../tensor/batches.ts';
import { bytesOf, type Tensor } from '../tensor/tensor.ts';
import { digestBytes } from './digest.ts';
import type { GeneratedImage } from './events.ts';
import type { RunPlan } from './plan-run.ts';

/** Decodes one image at a time, so that the memory needed does not grow with the batch. */
async function decodeBatch(
  { model, request, inputs: { signal } }: RunPlan,
  latent: Tensor<'float32'>,
): Promise<Tensor<'float32'>> {
  const [batch = 1] = latent.shape;
  const images: Tensor<'float32'>[] = [];
  for (let i = 0; i < batch; i++) {
    const one = takeBatch(latent, i, i + 1);
    images.push(
      request.decoder === 'taesd'
        ? await model.decodePreview(one, signal)
        : await model.decodeLatent(one, signal, request),
    );
  }
  const [first, ...rest] = images;
  if (!first) throw new StableDiffusionError('shape-mismatch', 'Expected at least one latent to decode.');
  return concatenate([first, ...rest], 0);
}

/** The pictures as bytes, black where the safety checker flags them. */
async function checkImages(
  { model, request, inputs }: RunPlan,
  decoded: Tensor<'float32'>,
): Promise<{ images: Image<3>[]; flagged?: boolean[] }> {
  const convention = request.bytes ?? (request.noise === 'diffusers' ? 'diffusers' : 'compvis');
  const images = tensorToImages(decoded, convention) as Image<3>[];
  const { safety } = model;
  if (!request.safety || !safety) return { images };
  const pixels = clipImageTensor(tensorToImages(decoded, 'compvis-safety-checker'), { size: safety.imageSize });
  const flagged = [...(await safety.flagged(pixels, inputs.signal))];
  return {
    images: images.map(
      (image, i): Image<3> => (flagged[i] ? { ...image, data: new Uint8Array(image.data.length) } : image),
    ),
    flagged,
  };
}

async function factsOf({ model, start, controls, inputs: { startNoise, encoded } }: RunPlan): Promise<RecordFacts> {
  return {
    version: 2,
    program: programName,
    model: recordedModel(model.checkpoint.label),
    ...(model.checkpoint.ema === 'used' ? { ema: true } : {}),
    ...(model.adapters.length > 0 ? { adapters: [...model.adapters] } : {}),
    precision: model.precision,
    digests: {
      ...start.digests,
      ...controls?.digests,
      ...(startNoise ? { startNoise: await digestBytes(bytesOf(startNoise)) } : {}),
      ...(encoded ? { encoded: await encodedDigest(encoded) } : {}),
    },
  };
}

/** A model's own visible mark, else the invisible one where the picture is large enough. */
export function marked(image: Image<3>, mark: Image<4> | undefined, nominal: number): Image<3> {
  if (mark) return withVisibleMark(image, mark, nominal);
  return canWatermark(image) ? embedWatermark(image) : image;
}

/** Digest of the tensors of encoded prompts. */
async function encodedDigest({ prompt, negative }: EncodedPrompts): Promise<string> {
  const tensors = [...Object.values(prompt), ...Object.values(negative ?? {})].map(bytesOf);
  const all = new Uint8Array(tensors.reduce((total, { length }) => total + length, 0));
  let at = 0;
  for (const bytes of tensors) {
    all.set(bytes, at);
    at += bytes.length;
  }
  return digestBytes(all);
}

/** The pictures of one batch. */
export async function finishPictures(
  plan: RunPlan,
  batch: Batch,
  latent: Tensor<'float32'>,
): Promise<readonly GeneratedImage[]> {
  const { request, batches, sampling, width, height, start, controls } = plan;
  const decoded = await decodeBatch(plan, latent);
  const raw = (await controls?.revise(decoded)) ?? decoded;
  const { images: decodedImages, flagged } = await checkImages(plan, start.revise?.(raw) ?? raw);
  const { retouch } = plan.inputs;
  const checked: Image<3>[] = [];
  for (const [i, image] of decodedImages.entries())
    checked.push(retouch && !flagged?.[i] ? await retouch(image, i) : image);
  const { colors } = start;
  const images = colors ? checked.map((image, i) => (flagged?.[i] ? image : correctColors(image, colors))) : checked;
  const facts = await factsOf(plan);
  const isIndependent = !sampling.sampler.choosesSteps;
  const mark = request.watermark ? await plan.model.visibleMark?.() : undefined;
  return images.map((image, index) => ({
    image: request.watermark ? marked(image, mark, plan.model.nativeSize) : image,
    index,
    record: recordOf({ request, batches, batch, index, isIndependent }, facts, {
      width,
      height,
      sampler: sampling.label,
    }),
    flagged: flagged?.[index],
  }));
}
