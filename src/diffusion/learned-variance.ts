/**
 * A variance that the network learned (Nichol & Dhariwal 2021, "Improved DDPM", arXiv 2102.09672, equation 15): behind the channels of its
 * prediction it says, for each element, where the logarithm of the variance lies between its bounds.
 */

import { float32, type Tensor } from '../tensor/tensor.ts';

type Latent = Tensor<'float32'>;

/** What the network predicts, and what it says of the variance, [b, c, h, w] each. */
export interface LearnedPrediction {
  readonly prediction: Latent;
  readonly variance: Latent;
}

/** The two halves of an output [b, 2c, h, w]. */
export function learnedHalves({ shape, data }: Latent): LearnedPrediction {
  const [b = 0, channels = 0, h = 0, w = 0] = shape;
  const size = (channels / 2) * h * w;
  const [prediction, variance] = [new Float32Array(b * size), new Float32Array(b * size)];
  for (let i = 0; i < b; i++) {
    prediction.set(data.subarray(2 * i * size, (2 * i + 1) * size), i * size);
    variance.set(data.subarray((2 * i + 1) * size, 2 * (i + 1) * size), i * size);
  }
  const half = [b, channels / 2, h, w];
  return { prediction: float32(half, prediction), variance: float32(half, variance) };
}

/** The logarithm of the variance of a step between its bounds: what the network says, -1 to 1, is a share from `least` to `greatest`. */
export function learnedLogVariance({ shape, data }: Latent, least: number, greatest: number): Latent {
  const [low, high] = [Math.fround(Math.log(Math.max(least, 1e-20))), Math.fround(Math.log(greatest))];
  return float32(
    shape,
    data.map((value) => {
      const share = Math.fround(Math.fround(value + 1) / 2);
      return Math.fround(share * high) + Math.fround(Math.fround(1 - share) * low);
    }),
  );
}
