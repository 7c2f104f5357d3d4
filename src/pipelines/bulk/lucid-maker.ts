/** Bulk samples of models of denoising-diffusion-pytorch (`GaussianDiffusion.sample` and that of its other classes). */

import { StableDiffusionError } from '../../errors.ts';
import { tensorToImages } from '../../image/image-tensor.ts';
import { flatten } from '../../image/image.ts';
import type { LucidModel } from '../../model/lucid-model.ts';
import { pictureSeed } from '../../random/picture-seed.ts';
import { TorchGenerator } from '../../random/torch-generator.ts';
import { joinBatches } from '../../tensor/batches.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { BulkMaker } from './maker.ts';

export interface LucidMakerOptions {
  readonly model: LucidModel;
  readonly seed: number;
  readonly width: number;
  readonly height: number;
  /** Default: those of the process; fewer than all of its timesteps are DDIM's. */
  readonly steps?: number | undefined;
  /** Noise of DDIM. Default 0. */
  readonly eta?: number | undefined;
  readonly onStep?: ((step: number, steps: number) => void) | undefined;
}

const refused = (message: string): StableDiffusionError => new StableDiffusionError('invalid-argument', message);

/** Throws `invalid-argument` for sides or steps that the model cannot have. */
export function lucidMaker({ model, seed, width, height, eta = 0, onStep, ...given }: LucidMakerOptions): BulkMaker {
  const { channels, unit, process, label } = model;
  const { steps = process.steps } = given;
  if (width % unit !== 0 || height % unit !== 0)
    throw refused(`${label} makes pictures whose sides are multiples of ${unit}, not ${width} x ${height}.`);
  if (channels !== 1 && channels !== 3 && channels !== 4)
    throw refused(`${label} makes pictures of ${channels} channels; those of 1, 3 or 4 can be written.`);
  if (steps > process.maximum)
    throw refused(`${label} was trained with ${process.maximum} timesteps; ${steps} steps are more than that.`);
  return {
    width,
    height,
    async make(indices, signal) {
      const generators = indices.map((index) => new TorchGenerator(pictureSeed(seed, index)));
      const noise = (): Tensor<'float32'> =>
        joinBatches(generators.map((generator) => generator.randn([1, channels, height, width])));
      const made = await process.sample(model.network, noise(), { steps, eta, noise, onStep, signal });
      const pictures = model.isNormalized ? made : { ...made, data: made.data.map((value) => 2 * value - 1) };
      return tensorToImages(pictures, 'diffusers').map((image) => flatten(image));
    },
  };
}
