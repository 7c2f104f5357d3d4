/** The first channels of a batch of planes. */

import type { Tensor } from './tensor.ts';

/** Channels [0, count) of [b, c, h, w]; the tensor itself if it has no more. */
export function firstChannels(x: Tensor<'float32'>, count: number): Tensor<'float32'> {
  const [batch = 1, channels = 1, height = 1, width = 1] = x.shape;
  if (channels <= count) return x;
  const size = height * width;
  const data = new Float32Array(batch * count * size);
  for (let b = 0; b < batch; b++)
    data.set(x.data.subarray(b * channels * size, (b * channels + count) * size), b * count * size);
  return { ...x, shape: [batch, count, height, width], data };
}
