/**
 * A1111's noise (`modules/rng.py` ImageRNG, v1.10.1): one generator an image, so that an image does not depend on its batch; variations by
 * slerp towards a second seed; the composition of another size by pasting its noise; other seeds for the steps than for the start.
 */

import { StableDiffusionError } from '../errors.ts';
import { elementCount, type Shape, type Tensor, tensor } from '../tensor/tensor.ts';
import { offsetSeed, type Seed } from './seed.ts';
import { slerp } from './slerp.ts';

/** The part of a generator that noise is drawn from. */
export interface NormalGenerator {
  randn(shape: Shape): Tensor<'float32'>;
}

export interface ImageNoiseOptions {
  /** One seed for every image of the batch. */
  readonly seeds: readonly Seed[];
  readonly generator: (seed: Seed) => NormalGenerator;
  /** Seeds of the variation, one an image; an image beyond the list has 0. */
  readonly subseeds?: readonly Seed[];
  /** 0 to 1: interpolation of the start noise towards that of the subseed. */
  readonly subseedStrength?: number;
  /** Size in pixels whose start noise is pasted into the middle of this one's; both above 0 to have an effect. */
  readonly seedResizeFrom?: { readonly width: number; readonly height: number };
  /** Added to every seed after the start noise, for the steps ("ENSD"; 31337 in some models' pictures); 0 is off. */
  readonly etaNoiseSeedDelta?: number;
}

/** Draws of a whole batch [n, C, H, W]: the start noise, then the noise of each step. */
export function imageNoise(options: ImageNoiseOptions): (shape: Shape) => Tensor<'float32'> {
  const { seeds, generator, etaNoiseSeedDelta = 0 } = options;
  let generators = seeds.map((seed) => generator(seed));
  let first = true;
  return (shape) => {
    if (shape[0] !== seeds.length) {
      throw new StableDiffusionError(
        'shape-mismatch',
        `Noise for ${shape[0]} images was requested with ${seeds.length} seeds. Give one seed per image.`,
      );
    }
    const image = shape.slice(1);
    const size = elementCount(image);
    const data = new Float32Array(elementCount(shape));
    for (const [i, own] of generators.entries())
      data.set((first ? startNoise(options, i, own, image) : own.randn(image)).data, i * size);
    if (first && etaNoiseSeedDelta !== 0)
      generators = seeds.map((seed) => generator(offsetSeed(seed, etaNoiseSeedDelta)));
    first = false;
    return tensor('float32', shape, data);
  };
}

/** `ImageRNG.first` for image `i` of shape [C, H, W], drawn from its own generator. */
function startNoise(options: ImageNoiseOptions, i: number, own: NormalGenerator, shape: Shape): Tensor<'float32'> {
  const { seeds, generator, subseeds, subseedStrength = 0, seedResizeFrom } = options;
  const resized = seedResizeFrom && seedResizeFrom.width > 0 && seedResizeFrom.height > 0;
  const drawn: Shape = resized
    ? [shape[0] ?? 1, Math.floor(seedResizeFrom.height / 8), Math.floor(seedResizeFrom.width / 8)]
    : shape;
  const isOther = drawn.join() !== shape.join();
  let noise = isOther ? generator(seeds[i] as Seed).randn(drawn) : own.randn(shape);
  if (subseeds && subseedStrength !== 0)
    noise = slerp(subseedStrength, noise, generator(subseeds[i] ?? 0).randn(drawn));
  return isOther ? pasteMiddle(noise, own.randn(shape)) : noise;
}

/** Puts `noise` [C, h, w] over the middle of `canvas` [C, H, W], cut where it is larger. */
function pasteMiddle(noise: Tensor<'float32'>, canvas: Tensor<'float32'>): Tensor<'float32'> {
  const [channels = 1, canvasHeight = 1, canvasWidth = 1] = canvas.shape;
  const [, height = 1, width = 1] = noise.shape;
  const x = Math.floor((canvasWidth - width) / 2);
  const y = Math.floor((canvasHeight - height) / 2);
  const columns = x >= 0 ? width : width + 2 * x;
  const rows = y >= 0 ? height : height + 2 * y;
  const data = canvas.data.slice();
  for (let c = 0; c < channels; c++) {
    for (let row = 0; row < rows; row++) {
      const from = (c * height + row + Math.max(-y, 0)) * width + Math.max(-x, 0);
      data.set(
        noise.data.subarray(from, from + columns),
        (c * canvasHeight + row + Math.max(y, 0)) * canvasWidth + Math.max(x, 0),
      );
    }
  }
  return tensor('float32', canvas.shape, data);
}
