/** The picture that Node and browsers both make, to be compared. */

import type { TextToImageOptions } from '../../src/core.ts';

export const pocketRun = { prompt: 'red apple', steps: 4, guidanceScale: 5, seed: 42, sampler: 'ddim' } as const satisfies TextToImageOptions;

/** Shorter, for a GPU driver in software. */
export const shortRun = { ...pocketRun, steps: 2 } as const satisfies TextToImageOptions;
