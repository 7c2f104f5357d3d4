/** A ControlNet at work: its hint through the network at every call, its outputs weighted by layer (Zhang et al. 2023, arXiv 2302.05543). */

import type { NetworkInputs } from '../../tensor/batches.ts';
import { firstChannels } from '../../tensor/first-channels.ts';
import { resizeBilinear } from '../../tensor/resize-bilinear.ts';
import { expectDType, type Tensor } from '../../tensor/tensor.ts';
import { type ControlCall, type ControlUnit, forBatch, placeRows, takeRows } from './control-unit.ts';
import type { ControlWindow } from './control-window.ts';
import { type ControlMode, controlNetWeights, isForPromptOnly } from './layer-weights.ts';

/** Outputs `control.0` … and `control.middle` of x, timesteps, context, hint. */
export type RunControlNet = (inputs: NetworkInputs, signal?: AbortSignal) => Promise<NetworkInputs>;

export interface ControlNetUnitOptions {
  readonly run: RunControlNet;
  /** Channels of x that the network takes: the first ones, of a model with inpainting channels. */
  readonly channels: number;
  /** float32 [1, 3, 8 h, 8 w] in [0, 1]; -1 where the inpainting network is to paint. */
  readonly hint: Tensor<'float32'>;
  readonly weight: number;
  readonly mode: ControlMode;
  readonly window: ControlWindow;
  /** Every output is replaced by its mean over the picture, and acts on the prompt's half alone (the shuffle network). */
  readonly pool?: boolean | undefined;
  /** Factors of the outputs instead of weight and mode, the middle last. */
  readonly layerWeights?: readonly number[] | undefined;
  /** float32 [1, 1, H, W] in [0, 1]: where the network acts. */
  readonly region?: Tensor<'float32'> | undefined;
}

function weighted(value: Tensor<'float32'>, factor: number, region: Tensor<'float32'> | undefined): Tensor<'float32'> {
  const [, , h = 1, w = 1] = value.shape;
  const data = new Float32Array(value.data.length);
  const scaled = Math.fround(factor);
  for (let i = 0; i < data.length; i++) data[i] = scaled * (value.data[i] as number);
  if (region) {
    const plane = resizeBilinear(region, h, w).data;
    for (let i = 0; i < data.length; i++) data[i] = (data[i] as number) * (plane[i % plane.length] as number);
  }
  return { ...value, data };
}

/** Every plane filled with its mean. */
function pooled(value: Tensor<'float32'>): Tensor<'float32'> {
  const [, , h = 1, w = 1] = value.shape;
  const size = h * w;
  const data = new Float32Array(value.data.length);
  for (let start = 0; start < data.length; start += size) {
    let sum = 0;
    for (let i = start; i < start + size; i++) sum += value.data[i] as number;
    data.fill(sum / size, start, start + size);
  }
  return { ...value, data };
}

/** The names of a control network's outputs, shallow to deep, the middle last. */
export function controlOrder(outputs: NetworkInputs): string[] {
  return Object.keys(outputs)
    .filter((name) => /^control\.\d+$/.test(name))
    .sort((a, b) => Number(a.slice(8)) - Number(b.slice(8)))
    .concat('control.middle');
}

export function controlNetUnit(options: ControlNetUnitOptions): ControlUnit {
  const { run, channels, hint, weight, mode, window, pool = false, layerWeights, region } = options;
  const promptOnly = isForPromptOnly(mode) || pool;
  return {
    window,
    async before({ inputs, isConditional, isActive, signal }: ControlCall): Promise<NetworkInputs> {
      const count = isConditional.length;
      const rows = isConditional.flatMap((mark, row) => (mark || !promptOnly ? [row] : []));
      if (!isActive || rows.length === 0 || (weight === 0 && !layerWeights)) return {};
      const { x, timesteps, context, y } = inputs;
      const taken: NetworkInputs = {
        x: firstChannels(x, channels),
        timesteps,
        ...(context && { context }),
        ...(y && { y }),
        hint: forBatch(hint, count, 'the hint'),
      };
      const own = Object.fromEntries(
        Object.entries(taken).map(([name, value]) => [name, rows.length === count ? value : takeRows(value, rows)]),
      );
      const outputs = await run(own, signal);
      const order = controlOrder(outputs);
      const factors = layerWeights ?? controlNetWeights(mode, weight, order.length);
      return Object.fromEntries(
        order.map((name, i) => {
          const value = weighted(expectDType(outputs[name] as Tensor, 'float32', name), factors[i] ?? 0, region);
          return [name, placeRows(pool ? pooled(value) : value, rows, count)];
        }),
      );
    },
  };
}
