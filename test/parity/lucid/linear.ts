/** A network of one layer, and pixels in both ranges, for the cases of lucidrains' projects. */

import type { MeanType, Pixels } from '../../../src/diffusion/gaussian/index.ts';
import type { Parameterization } from '../../../src/diffusion/objective.ts';
import { add, mul, reshape, sum } from '../../../src/graph/functions.ts';
import type { Params, Sym } from '../../../src/graph/trace.ts';
import { float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { memoryWeights } from '../../../src/weights/memory-weights.ts';
import type { LineageCase } from '../lineage-case.ts';
import type { Comparison } from '../reader.ts';

export type Compare = (recorded: LineageCase) => AsyncIterable<Comparison>;

export interface Linear {
  readonly w: Tensor;
  readonly bias: Tensor;
  readonly slope: Tensor;
  readonly self_w?: Tensor;
}

export async function linearOf(recorded: LineageCase, prefix = ''): Promise<Linear> {
  const source = recorded.weights();
  const read = async (name: string): Promise<Tensor> => source.read(prefix + name);
  return {
    w: await read('w'),
    bias: await read('bias'),
    slope: await read('slope'),
    ...(source.entries.has(`${prefix}self_w`) ? { self_w: await read('self_w') } : {}),
  };
}

/** out[b,o] = w x + bias + slope time / scale (+ self_w before). */
export function apply(net: Linear, x: Pixels, time: readonly number[], scaleOfTime: number, before?: Pixels): Pixels {
  const [items = 0, channels = 0, height = 0, width = 0] = x.shape;
  const out = net.bias.shape[0] ?? 0;
  const plane = height * width;
  const data = new Float32Array(items * out * plane);
  for (let b = 0; b < items; b++)
    for (let o = 0; o < out; o++)
      for (let i = 0; i < plane; i++) {
        let total = Number(net.bias.data[o]) + (Number(net.slope.data[o]) * (time[b] as number)) / scaleOfTime;
        for (let c = 0; c < channels; c++) {
          const at = (b * channels + c) * plane + i;
          total += Number(net.w.data[o * channels + c]) * (x.data[at] as number);
          if (before) total += Number(net.self_w?.data[o * channels + c]) * (before.data[at] as number);
        }
        data[(b * out + o) * plane + i] = total;
      }
  return float32([items, out, height, width], data);
}

export const toUnit = (x: Pixels): Pixels => ({ ...x, data: x.data.map((value) => (value + 1) / 2) });
export const fromUnit = (x: Pixels): Pixels => ({ ...x, data: x.data.map((value) => value * 2 - 1) });
export const numbers = (values: readonly number[], shape: readonly number[] = [values.length]): Tensor<'float32'> =>
  float32(shape, [...values]);
export const float64 = (values: ArrayLike<number>): Tensor => ({
  dtype: 'float64',
  shape: [values.length],
  data: Float64Array.from(values),
});

export const meanTypes: Readonly<Record<string, MeanType>> = {
  pred_noise: 'epsilon',
  pred_x0: 'start_x',
  pred_v: 'velocity',
};
export const kinds: Readonly<Record<string, Parameterization>> = { pred_noise: 'eps', pred_x0: 'x0', pred_v: 'v' };

/** The linear network as a graph. */
export const linearGraph =
  (timeScale: number) =>
  (p: Params, x: Sym, time: Sym, channels: number, before?: Sym): Sym => {
    const [batch = 1, inner = 1, height = 1, width = 1] = x.shape;
    const mixed = (name: string, value: Sym): Sym =>
      sum(
        mul(
          reshape(value, [batch, 1, inner, height, width]),
          reshape(p.get(name, [channels, inner as number]), [1, channels, inner, 1, 1]),
        ),
        [2],
      );
    const plain = add(mixed('w', x), reshape(p.get('bias', [channels]), [1, channels, 1, 1]));
    const timed = add(
      plain,
      mul(
        mul(reshape(time, [batch, 1, 1, 1]), 1 / timeScale),
        reshape(p.get('slope', [channels]), [1, channels, 1, 1]),
      ),
    );
    return before ? add(timed, mixed('self_w', before)) : timed;
  };

export const weightsOf = (net: Linear) => memoryWeights(new Map(Object.entries(net)));
