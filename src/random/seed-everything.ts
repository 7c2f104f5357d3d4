/** seedEverything: pytorch-lightning's `seed_everything(seed)`, the first call of CompVis's scripts: seeds Python, numpy and PyTorch. */

import { NumpyRandomState } from './numpy-random-state.ts';
import { PythonRandom } from './python-random.ts';
import { type Seed, seedToUint32 } from './seed.ts';
import { TorchGenerator } from './torch-generator.ts';

export interface Generators {
  readonly python: PythonRandom;
  readonly numpy: NumpyRandomState;
  readonly torch: TorchGenerator;
}

/** The three generators, seeded. Throws `invalid-argument` outside 0 … 2^32 - 1, where the original picks a seed of its own with a warning. */
export function seedEverything(seed: Seed): Generators {
  const checked = seedToUint32(seed);
  return {
    python: new PythonRandom(checked),
    numpy: new NumpyRandomState(checked),
    torch: new TorchGenerator(checked),
  };
}
