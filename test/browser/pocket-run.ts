/** The picture that Node and browsers both make, to be compared. */

import type { TextToImageOptions } from '../../src/core.ts';

export const pocketRun = { prompt: 'red apple', steps: 6, guidanceScale: 5, seed: 42, sampler: 'ddim' } as const satisfies TextToImageOptions;
