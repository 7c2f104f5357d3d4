/**
 * Training of classifiers of noisy pictures or latents, which guide sampling (Dhariwal and Nichol 2021, section 4): cross entropy at given
 * timesteps. As guided-diffusion's `classifier_train.py` and latent-diffusion's `NoisyLatentImageClassifier`.
 */

import type { EncoderUNetConfig } from '../../config/network-config.ts';
import type { NoiseSchedule } from '../../diffusion/noise-schedule.ts';
import { add, cast, mean, mul, oneHot, reshape, sum } from '../../graph/functions.ts';
import type { Graph } from '../../graph/graph.ts';
import { type InputSpec, trace } from '../../graph/trace.ts';
import { logSoftmax } from '../../models/classifier-guide.ts';
import { encoderUNet } from '../../models/encoder-unet.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { atTimesteps } from './diffusion.ts';

/** x and noise [batch, c, side, side], t int64 [batch], y int64 [batch] → loss, and the logits and noisy pictures it came from. */
export function traceNoisyClassifierLoss(config: EncoderUNetConfig, schedule: NoiseSchedule, batch: number): Graph {
  const side = typeof config.image_size === 'number' ? config.image_size : (config.image_size[0] ?? 0);
  const picture: InputSpec = { dtype: 'float32', shape: [batch, config.in_channels, side, side] };
  const ids: InputSpec = { dtype: 'int64', shape: [batch] };
  const { alphasCumprod } = schedule;
  return trace({ x: picture, noise: picture, t: ids, y: ids }, ({ x, noise, t, y }, p) => {
    const level = (table: Float32Array) => reshape(atTimesteps(table, t), [batch, 1, 1, 1]);
    const noisy = add(
      mul(x, level(alphasCumprod.map(Math.sqrt))),
      mul(noise, level(alphasCumprod.map((bar) => Math.sqrt(1 - bar)))),
    );
    const logits = encoderUNet(p, config, { x: noisy, timesteps: cast(t, 'float32') });
    const right = sum(mul(logSoftmax(logits), oneHot(y, config.out_channels)), [1]);
    return { loss: mul(mean(right), -1), logits, noisy };
  });
}

/** For each row of logits [n, classes] whether its label is among the `k` largest. */
export function accuracyAt({ shape, data }: Tensor, labels: readonly number[], k: number): boolean[] {
  const classes = shape[1] ?? 1;
  return labels.map((label, row) => {
    const own = Number(data[row * classes + label]);
    let above = 0;
    for (let c = 0; c < classes; c++) if (Number(data[row * classes + c]) > own) above++;
    return above < k;
  });
}
