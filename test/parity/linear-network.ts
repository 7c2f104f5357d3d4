/** The network of recordings that were made without one. */

import type { GaussianNetwork } from '../../src/diffusion/gaussian/index.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import type { LineageCase } from './lineage-case.ts';

/** The model of the recordings without a network: a linear map of the channels, a bias, and a slope in time. */
export function linearNetwork(recorded: LineageCase, variance: string): GaussianNetwork {
  const source = recorded.weights();
  const names = [...source.entries.keys()];
  const key = (part: string): string =>
    names.find((name) => name === `${variance}.${part}` || name === `${part}.${variance}`) ??
    names.find((name) => name === part) ??
    names.find((name) => name.includes(variance) && name.endsWith(part)) ??
    part;
  return async (x, told) => {
    const [weight, bias, slope] = (await Promise.all(
      ['weight', 'bias', 'slope'].map((part) => source.read(key(part))),
    )) as [Tensor, Tensor, Tensor];
    const [items = 0, channels = 0, height = 0, width = 0] = x.shape;
    const out = bias.shape[0] ?? 0;
    const plane = height * width;
    const data = new Float32Array(items * out * plane);
    for (let b = 0; b < items; b++)
      for (let o = 0; o < out; o++)
        for (let i = 0; i < plane; i++) {
          let sum = Number(bias.data[o]) + (Number(slope.data[o]) * (told[b] as number)) / 1000;
          for (let c = 0; c < channels; c++)
            sum += Number(weight.data[o * channels + c]) * (x.data[(b * channels + c) * plane + i] as number);
          data[(b * out + o) * plane + i] = sum;
        }
    return float32([items, out, height, width], data);
  };
}
