/** FloatImage: pictures of float32 samples in rows from the top left with channels interleaved. */

import { StableDiffusionError } from '../errors.ts';

export interface FloatImage {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  /** `height * width * channels` samples. */
  readonly data: Float32Array;
}

/** Over `data`, which is not copied. Throws `shape-mismatch` where it has another length. */
export function floatImage(
  width: number,
  height: number,
  channels: number,
  data = new Float32Array(width * height * channels),
): FloatImage {
  if (data.length !== width * height * channels) {
    throw new StableDiffusionError(
      'shape-mismatch',
      `A picture of ${width}x${height} with ${channels} channels has ${width * height * channels} samples, and ${data.length} were given.`,
    );
  }
  return { width, height, channels, data };
}
