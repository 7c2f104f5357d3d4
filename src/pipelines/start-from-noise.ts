/** Text to image: a batch begins from noise alone. */

import type { StartOf } from './start.ts';

export const startFromNoise: StartOf<'txt2img'> = () => ({});
