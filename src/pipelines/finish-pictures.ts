/** From the final latents to pictures: decoding, the safety checker. */

import { StableDiffusionError } from '../errors.ts';
import { clipImageTensor } from '../image/clip-image.ts';
import type { Image } from '../image/image.ts';
import { tensorToImages } from '../image/image-tensor.ts';
import { judgeSafety } from '../models/safety-verdict.ts';
import { concatenate } from '../tensor/arithmetic.ts';
import { takeBatch } from '../tensor/batches.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { GenerateOptions } from './generate.ts';
import type { Model } from '../model/model.ts';

/** Decodes one image at a time, so that the memory needed does not grow with the batch. */
export async function decodeBatch(
  model: Model,
  latent: Tensor<'float32'>,
  signal: AbortSignal | undefined,
): Promise<Tensor<'float32'>> {
  const [batch = 1] = latent.shape;
  const images: Tensor<'float32'>[] = [];
  for (let i = 0; i < batch; i++) images.push(await model.decodeLatent(takeBatch(latent, i, i + 1), signal));
  const [first, ...rest] = images;
  if (!first) throw new StableDiffusionError('shape-mismatch', 'There is no latent to decode.');
  return concatenate([first, ...rest], 0);
}

/** The pictures as bytes, black where the safety checker objects. */
export async function checkImages(
  model: Model,
  decoded: Tensor<'float32'>,
  options: GenerateOptions,
): Promise<{ images: Image<3>[]; flagged?: boolean[] }> {
  const pictures = (values: Tensor<'float32'>): Image<3>[] =>
    tensorToImages(values, options.bytes ?? (options.noise === 'diffusers' ? 'diffusers' : 'compvis')) as Image<3>[];
  if (options.safety === false || !model.networkConfig('safety')) return { images: pictures(decoded) };
  const pixels = clipImageTensor(tensorToImages(decoded, 'compvis-safety-checker'), { size: model.safetyImageSize });
  const margins = await model.safetyMargins(pixels, options.signal);
  if (!margins) return { images: pictures(decoded) };
  const { hasNsfw } = judgeSafety(margins.special, margins.concept);
  const images = pictures(decoded).map(
    (image, i): Image<3> => (hasNsfw.data[i] ? { ...image, data: new Uint8Array(image.data.length) } : image),
  );
  return { images, flagged: [...hasNsfw.data].map((flag) => flag === 1) };
}
