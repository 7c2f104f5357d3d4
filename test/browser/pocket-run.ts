/** The pictures that Node and browsers both make, to be compared. */

import type { TextToImageOptions } from '../../src/core.ts';

const picture = { prompt: 'red apple', guidanceScale: 5, seed: 42, sampler: 'ddim' } as const;

/** At the model's own size. */
export const pocketRun = { ...picture, steps: 4 } as const satisfies TextToImageOptions;

/** Less work, for what is the same at every size. */
export const smallRun = { ...picture, steps: 2, width: 64, height: 64 } as const satisfies TextToImageOptions;

/** The least that has every network in it, for a GPU driver in software. */
export const leastRun = { ...picture, steps: 1, width: 32, height: 32 } as const satisfies TextToImageOptions;
