/**
 * Random numbers that match PyTorch, numpy, Python and CUDA's Philox, and the noise that each Stable Diffusion program draws from a seed.
 *
 * - Some noise: `normalNoise([1, 4, 64, 64], 42)`.
 * - The noise of a picture: `createNoise({ convention: 'a1111-nv', seed: 42 })`.
 * - A stream that can be saved and resumed: `new TorchGenerator(42)` with `getState` and `setState`.
 */

export { type BrownianTreeOptions, brownianTreeNoise } from './brownian-tree.ts';
export type { CpuCapability } from './box-muller.ts';
export { createNoise, type NoiseOptions } from './create-noise.ts';
export { type ImageNoiseOptions, imageNoise, type NormalGenerator } from './image-noise.ts';
export {
  type IntervalNoise,
  type NoiseConvention,
  type NoiseSource,
  noiseConventions,
  type SeededNoise,
} from './noise-source.ts';
export { NumpyRandomState, type NumpyState } from './numpy-random-state.ts';
export { PhiloxGenerator, type PhiloxOptions, type PhiloxState } from './philox.ts';
export { PythonRandom, type PythonRandomState } from './python-random.ts';
export type { Seed } from './seed.ts';
export { type Generators, seedEverything } from './seed-everything.ts';
export { slerp } from './slerp.ts';
export { type NormalDType, normalNoise, TorchGenerator, type TorchGeneratorOptions } from './torch-generator.ts';
