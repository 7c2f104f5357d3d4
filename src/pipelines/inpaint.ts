/**
 * Inpainting. Models with nine input channels see mask and masked image (runwayml's scripts/inpaint_st.py); with any other model the kept
 * part is blended in at every step (Rombach et al. 2022, DDIMSampler's `mask` and `x0`; Lugmayr et al. 2022).
 */

import { StableDiffusionError } from '../errors.ts';
import type { Image } from '../image/image.ts';
import { inpaintBatch, interpolateMask } from '../image/inpaint-batch.ts';
import { resize } from '../image/resize.ts';
import { fitInitImage, initImageTensor } from '../image/init-image.ts';
import { NumpyRandomState } from '../random/numpy-random-state.ts';
import type { SeededNoise } from '../random/noise-source.ts';
import { concatenate, scale } from '../tensor/arithmetic.ts';
import { tensor } from '../tensor/tensor.ts';
import { digest } from './digest.ts';
import type { Pipeline } from './events.ts';
import { generate, type GenerateOptions, type Prepared } from './generate.ts';
import { repeated, sampleLatent } from './image-to-image.ts';
import type { Model } from './model.ts';

export interface InpaintOptions extends GenerateOptions {
  readonly image: Image;
  /** White (from 128) is made anew, black is kept. Resized to the image where it differs. */
  readonly mask: Image;
  /** Models without extra channels: share of the schedule that is run, as for image-to-image. Default 1. */
  readonly strength?: number;
  readonly width?: number;
  readonly height?: number;
}

/** Makes a part of a picture anew. Errors as `imageToImage`. */
export async function* inpaint(model: Model, options: InpaintOptions): Pipeline {
  const strength = options.strength ?? 1;
  if (!(strength >= 0 && strength <= 1)) throw new StableDiffusionError('invalid-argument', `The strength is ${strength}; it must be between 0 and 1.`);
  const { signal } = options;
  const unit = model.downsampling * model.latentUnit;
  const { width: wantedWidth = options.image.width, height: wantedHeight = options.image.height } = options;
  const [width, height] = [wantedWidth - (wantedWidth % unit), wantedHeight - (wantedHeight % unit)];
  const image = fitInitImage(options.image, { width, height, multiple: unit });
  const mask = options.mask.width === width && options.mask.height === height ? options.mask : resize(options.mask, width, height, 'nearest');
  const [rows, columns] = [height / model.downsampling, width / model.downsampling];
  const nineChannels = model.checkpoint.kind === 'inpaint';
  const steps = options.steps ?? 50;

  const concatenated = async (noise: SeededNoise, batch: number): Promise<Prepared> => {
    const parts = inpaintBatch(image, mask, 'stable-diffusion');
    const masked = await sampleLatent(model, repeated(parts.maskedImage, batch), noise, signal);
    return { concat: concatenate([repeated(interpolateMask(parts.mask, rows, columns), batch), masked], 1) };
  };
  const blended = async (_noise: SeededNoise, batch: number): Promise<Prepared> => {
    const { mean } = await model.encodeImage(initImageTensor(image, { width, height, multiple: unit }), signal);
    const latent = repeated(scale(mean, model.checkpoint.config.scale_factor), batch);
    const anew = interpolateMask(inpaintBatch(image, mask, 'stable-diffusion').mask, rows, columns);
    const keep = tensor('float32', anew.shape, anew.data.map((value) => 1 - value));
    const inpainting = { mask: repeated(keep, batch), latent };
    if (strength === 1) return { inpainting };
    return { inpainting, initial: latent, startStep: steps - Math.trunc(strength * steps) };
  };
  const record = { strength, initialImage: await digest(options.image), mask: await digest(options.mask) };
  yield* generate(model, options, {
    pipeline: 'inpaint',
    width,
    height,
    prepare: nineChannels ? concatenated : blended,
    // inpaint_st.py draws its start noise from numpy, apart from torch's stream.
    ...(nineChannels && (options.noise ?? 'compvis') === 'compvis'
      ? { firstNoise: (shape: readonly number[]) => new NumpyRandomState(options.seed ?? 42).randnFloat32(shape) }
      : {}),
    record,
  });
}
