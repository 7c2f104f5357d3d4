/** Bulk samples of latent diffusion models, by prompts, classes or nothing: each picture with a seed of its own. */

import { StableDiffusionError } from '../../errors.ts';
import type { TextToImageOptions } from '../../generation/inputs.ts';
import type { Image } from '../../image/image.ts';
import type { Model } from '../../model/model.ts';
import { pictureSeed } from '../../random/picture-seed.ts';
import { TorchGenerator } from '../../random/torch-generator.ts';
import { textToImage } from '../text-to-image.ts';
import type { BulkMaker } from './maker.ts';

export interface ModelMakerOptions {
  readonly model: Model;
  readonly seed: number;
  /** One after the other. */
  readonly prompts?: readonly string[] | undefined;
  /** One after the other; without them each picture of a class-conditional model draws its own. */
  readonly classes?: readonly number[] | undefined;
  /** Number of classes to draw from. */
  readonly classCount?: number | undefined;
  /** Settings of every picture. */
  readonly settings?: Pick<
    TextToImageOptions,
    | 'steps'
    | 'sampler'
    | 'eta'
    | 'guidanceScale'
    | 'width'
    | 'height'
    | 'negativePrompt'
    | 'classifier'
    | 'classifierScale'
  >;
  readonly onStep?: ((step: number, steps: number) => void) | undefined;
}

const atIndex = <T>(list: readonly T[], index: number): T => list[index % list.length] as T;

/** Throws `invalid-argument` for models whose pictures need another picture. */
export function modelMaker(options: ModelMakerOptions): BulkMaker {
  const { model, seed, prompts, classes, classCount, settings = {}, onStep } = options;
  const { kind } = model.checkpoint;
  if (kind !== 'txt2img' && kind !== 'class' && kind !== 'unconditional')
    throw new StableDiffusionError(
      'invalid-argument',
      `${model.label} is a model of kind ${kind}; bulk samples are made of models of text, of classes and of nothing.`,
    );
  if (kind === 'txt2img' && !prompts?.length)
    throw new StableDiffusionError(
      'invalid-argument',
      `${model.label} makes pictures of prompts, and none were given.`,
    );
  const drawn = (index: number): number =>
    classes ? atIndex(classes, index) : new TorchGenerator(pictureSeed(seed, index)).integer(0, classCount ?? 1);
  const isOfClasses = kind === 'class' || settings.classifier !== undefined;
  const { width = model.nativeSize, height = model.nativeSize } = settings;
  return {
    width,
    height,
    classOf: isOfClasses ? drawn : undefined,
    async make(indices, signal) {
      const request: TextToImageOptions = {
        sampler: 'ddim',
        ...settings,
        ...(kind === 'txt2img' ? { prompt: indices.map((index) => atIndex(prompts ?? [''], index)) } : {}),
        ...(isOfClasses ? { classLabels: indices.map(drawn) } : {}),
        // A seed for each picture, so that a picture does not depend on the others of its batch.
        noise: 'diffusers',
        bytes: 'compvis',
        seeds: indices.map((index) => pictureSeed(seed, index)),
        batchSize: indices.length,
        safety: false,
        watermark: false,
        signal,
      };
      let images: readonly Image<3>[] = [];
      for await (const event of textToImage(model, request)) {
        if (event.kind === 'step') onStep?.(event.step, event.steps);
        if (event.kind === 'result') images = event.images.map(({ image }) => image);
      }
      return images;
    },
  };
}
