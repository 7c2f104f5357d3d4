/** createNoise: a seed to the noise that CompVis's scripts, A1111, ComfyUI or diffusers would draw from it. */

import { StableDiffusionError } from '../errors.ts';
import { joinBatches } from '../tensor/batches.ts';
import type { Shape, Tensor } from '../tensor/tensor.ts';
import { brownianTreeNoise } from './brownian-tree.ts';
import { imageNoise } from './image-noise.ts';
import type { NoiseConvention, SeededNoise } from './noise-source.ts';
import { PhiloxGenerator } from './philox.ts';
import { offsetSeed, type Seed } from './seed.ts';
import { type NormalDType, TorchGenerator } from './torch-generator.ts';

export interface NoiseOptions {
  readonly convention: NoiseConvention;
  readonly seed: Seed;
  /** a1111, diffusers: a seed for each image instead. diffusers without it draws the batch from one generator; a1111 counts up from `seed`. */
  readonly seeds?: readonly Seed[];
  /** Device of the original's generators: `cpu` (PyTorch's Mersenne Twister) or `cuda` (Philox). Default: `cuda` for a1111-gpu, `cpu` for others. */
  readonly device?: 'cpu' | 'cuda';
  /** diffusers on the CPU: element type of the model and of the noise. Default float32. */
  readonly dtype?: NormalDType;
  /** comfy: which images of an imagined larger batch these are ("batch_index" of a latent). */
  readonly batchIndices?: readonly number[];
  /** a1111: seed of the variation, and its share from 0 to 1. With a share above 0 it counts up over the batch and `seed` stays. */
  readonly subseed?: Seed;
  readonly subseedStrength?: number;
  /** a1111: pixels of the size whose composition is kept. */
  readonly seedResizeFrom?: { readonly width: number; readonly height: number };
  /** a1111: added to the seeds for the noise of the steps. */
  readonly etaNoiseSeedDelta?: number;
}

type Draw = (shape: Shape) => Tensor<'float32'>;

/** The noise source of one batch. Create a new one for each batch, except for `compvis`, whose stream continues. Throws `invalid-argument` for an impossible seed. */
export function createNoise(options: NoiseOptions): SeededNoise {
  return makers[options.convention](options);
}

const makers: { readonly [C in NoiseConvention]: (options: NoiseOptions) => SeededNoise } = {
  compvis(options) {
    const generator = streamOf(options);
    return {
      convention: 'compvis',
      normal: (shape) => generator.randn(shape),
      // k-diffusion alone seeds its tree from the global stream: torch.randint(0, 2 ** 63 - 1, []).
      interval: (shape, sigmaMin, sigmaMax) => {
        const seed =
          generator instanceof TorchGenerator
            ? generator.randint(0, 2n ** 63n - 1n, []).data[0]
            : generator.initialSeed;
        return brownianTreeNoise({ shape, sigmaMin, sigmaMax, seed: seed ?? 0 });
      },
    };
  },
  'a1111-cpu': a1111,
  'a1111-gpu': a1111,
  'a1111-nv': a1111,
  comfy(options) {
    const start = new TorchGenerator(options.seed);
    const onCuda = options.device === 'cuda';
    const steps = onCuda
      ? new PhiloxGenerator(options.seed, { layout: 'cuda' })
      : new TorchGenerator(BigInt.asUintN(64, BigInt(options.seed) + 1n));
    const { batchIndices } = options;
    let draw: Draw = (shape) => {
      draw = (next) => steps.randn(next);
      return batchIndices ? indexedBatch(start, shape, batchIndices) : start.randn(shape);
    };
    return {
      convention: 'comfy',
      normal: (shape) => draw(shape),
      interval: (shape, sigmaMin, sigmaMax) => brownianTreeNoise({ shape, sigmaMin, sigmaMax, seed: options.seed }),
    };
  },
  diffusers(options) {
    const { seeds, dtype = 'float32' } = options;
    const generators = (seeds ?? [options.seed]).map((seed) => streamOf({ ...options, seed }));
    const draw = (generator: TorchGenerator | PhiloxGenerator, shape: Shape): Tensor<'float32'> => {
      return generator instanceof TorchGenerator ? generator.randnAs(dtype, shape) : generator.randn(shape);
    };
    return {
      convention: 'diffusers',
      normal: (shape) => {
        if (seeds) expectBatch(shape, seeds.length);
        return joinBatches(generators.map((generator) => draw(generator, seeds ? [1, ...shape.slice(1)] : shape)));
      },
      interval: (shape, sigmaMin, sigmaMax) =>
        brownianTreeNoise({ shape, sigmaMin, sigmaMax, seed: seeds ?? options.seed }),
    };
  },
};

function streamOf({ seed, device }: NoiseOptions): TorchGenerator | PhiloxGenerator {
  return device === 'cuda' ? new PhiloxGenerator(seed, { layout: 'cuda' }) : new TorchGenerator(seed);
}

function a1111(options: NoiseOptions): SeededNoise {
  const { convention, subseed, subseedStrength = 0, seedResizeFrom, etaNoiseSeedDelta } = options;
  const onCuda = convention === 'a1111-gpu' && options.device !== 'cpu';
  const generator = (seed: Seed): TorchGenerator | PhiloxGenerator => {
    if (convention === 'a1111-nv') return new PhiloxGenerator(seed);
    return onCuda ? new PhiloxGenerator(seed, { layout: 'cuda' }) : new TorchGenerator(seed);
  };
  const seedsOf = (batch: number): readonly Seed[] => {
    return (
      options.seeds ?? Array.from({ length: batch }, (_, i) => offsetSeed(options.seed, subseedStrength === 0 ? i : 0))
    );
  };
  let draw: Draw | undefined;
  return {
    convention,
    normal: (shape) => {
      draw ??= imageNoise({
        seeds: seedsOf(shape[0] ?? 1),
        generator,
        ...(subseed === undefined
          ? {}
          : { subseeds: Array.from({ length: shape[0] ?? 1 }, (_, i) => offsetSeed(subseed, i)), subseedStrength }),
        ...(seedResizeFrom ? { seedResizeFrom } : {}),
        etaNoiseSeedDelta,
      });
      return draw(shape);
    },
    interval: (shape, sigmaMin, sigmaMax) => {
      return brownianTreeNoise({
        shape,
        sigmaMin,
        sigmaMax,
        seed: seedsOf(shape[0] ?? 1),
        normals: (size, seed) => generator(seed).randn(size),
      });
    },
  };
}

/** ComfyUI's `prepare_noise` with indices: the noise of each image is drawn in order, and those named are kept. */
function indexedBatch(generator: TorchGenerator, shape: Shape, indices: readonly number[]): Tensor<'float32'> {
  expectBatch(shape, indices.length);
  const drawn: Tensor<'float32'>[] = [];
  for (let i = 0; i <= Math.max(...indices); i++) drawn.push(generator.randn([1, ...shape.slice(1)]));
  return joinBatches(
    indices.map((index) => {
      const found = drawn[index];
      if (!found)
        throw new StableDiffusionError(
          'invalid-argument',
          `A batch index is a whole number from 0, and ${index} was given.`,
        );
      return found;
    }),
  );
}

function expectBatch(shape: Shape, images: number): void {
  if (shape[0] !== images)
    throw new StableDiffusionError(
      'shape-mismatch',
      `The noise source has seeds or indices for ${images} images, but noise for ${shape[0]} was requested.`,
    );
}
