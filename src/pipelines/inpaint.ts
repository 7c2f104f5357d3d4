/**
 * Inpainting, in three ways, by the model:
 *
 * - Stable Diffusion with nine input channels sees mask and masked image (runwayml's scripts/inpaint_st.py).
 * - LDM's own inpainting model, without text, sees the masked image's latent and the mask (CompVis's scripts/inpaint.py).
 * - With any other model the kept part is blended in at every step (Rombach et al. 2022, DDIMSampler's `mask` and `x0`).
 */

import { StableDiffusionError } from '../errors.ts';
import type { Image } from '../image/image.ts';
import { type InpaintBatch, inpaintBatch, interpolateMask } from '../image/inpaint-batch.ts';
import { resize } from '../image/resize.ts';
import { fitInitImage, initImageTensor } from '../image/init-image.ts';
import { NumpyRandomState } from '../random/numpy-random-state.ts';
import type { SeededNoise } from '../random/noise-source.ts';
import { concatenate, scale } from '../tensor/arithmetic.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';
import { digest } from './digest.ts';
import type { Pipeline } from './events.ts';
import { generate, type GenerateOptions, type Prepared } from './generate.ts';
import { repeated, sampleLatent } from './image-to-image.ts';
import type { Model } from '../model/model.ts';

export interface InpaintOptions extends GenerateOptions {
  readonly image: Image;
  /** White (from 128) is made anew, black is kept. Resized to the image where it differs. */
  readonly mask: Image;
  /** Models without extra channels: share of the schedule that is run, as for image-to-image. Default 1. */
  readonly strength?: number;
  readonly width?: number;
  readonly height?: number;
}

/** The decoded images [b, 3, H, W] where the mask (here -1 or 1) wants new ones, else the given image. */
function pasteKnown(decoded: Tensor<'float32'>, { image, mask }: InpaintBatch): Tensor<'float32'> {
  const plane = mask.data.length;
  const data = decoded.data.map((value, i) =>
    (mask.data[i % plane] as number) > 0 ? value : (image.data[i % image.data.length] as number),
  );
  return tensor('float32', decoded.shape, data);
}

/** Makes a part of a picture anew. Errors as `imageToImage`. */
export async function* inpaint(model: Model, options: InpaintOptions): Pipeline {
  const strength = options.strength ?? 1;
  if (!(strength >= 0 && strength <= 1))
    throw new StableDiffusionError('invalid-argument', `The strength is ${strength}; it must be between 0 and 1.`);
  const { signal } = options;
  const unit = model.downsampling * model.latentUnit;
  const { width: wantedWidth = options.image.width, height: wantedHeight = options.image.height } = options;
  const [width, height] = [wantedWidth - (wantedWidth % unit), wantedHeight - (wantedHeight % unit)];
  const image = fitInitImage(options.image, { width, height, multiple: unit });
  const mask =
    options.mask.width === width && options.mask.height === height
      ? options.mask
      : resize(options.mask, width, height, 'nearest');
  const [rows, columns] = [height / model.downsampling, width / model.downsampling];
  const nineChannels = model.checkpoint.kind === 'inpaint';
  const { conditioning_key, cond_stage_config } = model.checkpoint.config;
  const ldmInpainting = conditioning_key === 'concat' && cond_stage_config === 'first_stage';
  const steps = options.steps ?? 50;

  const concatenated = async (noise: SeededNoise, batch: number): Promise<Prepared> => {
    const parts = inpaintBatch(image, mask, 'stable-diffusion');
    const masked = await sampleLatent(model, repeated(parts.maskedImage, batch), noise, signal);
    return { concat: concatenate([repeated(interpolateMask(parts.mask, rows, columns), batch), masked], 1) };
  };
  const ldm = inpaintBatch(image, mask, 'latent-diffusion');
  const ldmConcatenated = async (_noise: SeededNoise, batch: number): Promise<Prepared> => {
    const { mean } = await model.encodeImage(ldm.maskedImage, signal);
    return { concat: repeated(concatenate([mean, interpolateMask(ldm.mask, rows, columns)], 1), batch) };
  };
  const blended = async (_noise: SeededNoise, batch: number): Promise<Prepared> => {
    const { mean } = await model.encodeImage(initImageTensor(image, { width, height, multiple: unit }), signal);
    const latent = repeated(scale(mean, model.checkpoint.config.scale_factor), batch);
    const anew = interpolateMask(inpaintBatch(image, mask, 'stable-diffusion').mask, rows, columns);
    const keep = tensor(
      'float32',
      anew.shape,
      anew.data.map((value) => 1 - value),
    );
    const inpainting = { mask: repeated(keep, batch), latent };
    if (strength === 1) return { inpainting };
    return { inpainting, initial: latent, startStep: steps - Math.trunc(strength * steps) };
  };
  const record = { strength, initialImage: await digest(options.image), mask: await digest(options.mask) };
  yield* generate(model, options, {
    pipeline: 'inpaint',
    width,
    height,
    prepare: nineChannels ? concatenated : ldmInpainting ? ldmConcatenated : blended,
    // inpaint.py pastes the known part back in.
    ...(ldmInpainting ? { revise: (decoded: Tensor<'float32'>) => pasteKnown(decoded, ldm) } : {}),
    // inpaint_st.py draws its start noise from numpy, apart from torch's stream.
    ...(nineChannels && (options.noise ?? 'compvis') === 'compvis'
      ? { firstNoise: (shape: readonly number[]) => new NumpyRandomState(options.seed ?? 42).randnFloat32(shape) }
      : {}),
    record,
  });
}
