/** Text to image: a batch starts from noise alone. */

import type { StartOf } from './start.ts';

export const startFromNoise: StartOf<'txt2img'> = () => ({});
