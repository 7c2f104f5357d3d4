/** Bulk samples of models of pixels: guided-diffusion's `image_sample.py`, `classifier_sample.py` and `super_res_sample.py`. */

import { sampleGaussian } from '../../diffusion/gaussian/index.ts';
import { StableDiffusionError } from '../../errors.ts';
import type { Image } from '../../image/image.ts';
import { tensorToImages } from '../../image/image-tensor.ts';
import type { PixelCondition, PixelModel } from '../../model/pixel-model.ts';
import { pictureSeed } from '../../random/picture-seed.ts';
import { TorchGenerator } from '../../random/torch-generator.ts';
import { joinBatches } from '../../tensor/batches.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { BulkMaker } from './maker.ts';

export interface PixelMakerOptions {
  readonly model: PixelModel;
  readonly seed: number;
  /** Classes, one after the other; without them each picture draws its own. */
  readonly classes?: readonly number[] | undefined;
  /** Default `ddpm`. */
  readonly method?: 'ddpm' | 'ddim' | undefined;
  readonly eta?: number | undefined;
  /** Clip each guess of the clean picture. Default true. */
  readonly clip?: boolean | undefined;
  /** Scale of the classifier's gradient. Default: no guide. */
  readonly classifierScale?: number | undefined;
  /** Upsamplers: the small picture and, where it has one, the class of an index. */
  readonly small?:
    | ((index: number) => Promise<{ readonly picture: Tensor<'float32'>; readonly label?: number }>)
    | undefined;
  readonly onStep?: ((step: number, steps: number) => void) | undefined;
}

/** Throws `invalid-argument` for classes that the model does not have. */
export function pixelMaker(options: PixelMakerOptions): BulkMaker {
  const { model, seed, classes, small, onStep, classifierScale = 0, ...sampling } = options;
  const count = model.classes;
  const wrong = classes?.find((label) => count === null || label >= count);
  if (wrong !== undefined)
    throw new StableDiffusionError(
      'invalid-argument',
      count === null
        ? `${model.label} has no classes. Leave them out.`
        : `${model.label} has the classes 0 to ${count - 1}, not ${wrong}.`,
    );
  if (model.smallSide !== undefined && !small)
    throw new StableDiffusionError(
      'invalid-argument',
      `${model.label} enlarges pictures. Give them as an .npz (--base).`,
    );
  const generatorOf = (index: number): TorchGenerator => new TorchGenerator(pictureSeed(seed, index));
  /** The class is drawn before the noise, as there. */
  const drawClass = (index: number, generator: TorchGenerator): number => {
    const drawn = generator.integer(0, count ?? 1);
    return classes ? (classes[index % classes.length] as number) : drawn;
  };
  return {
    width: model.side,
    height: model.side,
    classOf: count === null || small ? undefined : (index) => drawClass(index, generatorOf(index)),
    async make(indices, signal) {
      const generators = indices.map(generatorOf);
      const drawn = indices.map((index, i) => drawClass(index, generators[i] as TorchGenerator));
      const given = small && (await Promise.all(indices.map(small)));
      const condition: PixelCondition = {
        classes: count === null ? undefined : (given?.map(({ label }, i) => label ?? (drawn[i] as number)) ?? drawn),
        small: given && joinBatches(given.map(({ picture }) => picture)),
      };
      const noise = (): Tensor<'float32'> =>
        joinBatches(generators.map((generator) => generator.randn([1, 3, model.side, model.side])));
      const run = sampleGaussian(model.process, model.network(condition), noise(), {
        ...sampling,
        noise,
        guide: classifierScale === 0 ? undefined : model.guide(condition, classifierScale),
        signal,
      });
      let next = await run.next();
      while (!next.done) {
        onStep?.(next.value.step, next.value.steps);
        next = await run.next();
      }
      return tensorToImages(next.value, 'adm') as Image<3>[];
    },
  };
}
