/** A T2I-Adapter at work: its features are made once, and added at every call (Mou et al. 2023, arXiv 2302.08453). */

import type { NetworkInputs } from '../../tensor/batches.ts';
import { expectDType, type Tensor, tensor } from '../../tensor/tensor.ts';
import { type ControlUnit, forBatch } from './control-unit.ts';
import type { ControlWindow } from './control-window.ts';
import { adapterWeights, type ControlMode, isForPromptOnly } from './layer-weights.ts';

export interface AdapterUnitOptions {
  /** `adapter.0` …, float32 [1, channels, h, w] of each level. */
  readonly features: NetworkInputs;
  readonly weight: number;
  readonly mode: ControlMode;
  readonly window: ControlWindow;
  /** Factors of the features instead of weight and mode. */
  readonly layerWeights?: readonly number[] | undefined;
}

export function adapterUnit({ features, weight, mode, window, layerWeights }: AdapterUnitOptions): ControlUnit {
  const names = Object.keys(features).sort((a, b) => Number(a.slice(8)) - Number(b.slice(8)));
  const factors = layerWeights ?? adapterWeights(mode, weight, names.length);
  const promptOnly = isForPromptOnly(mode);
  return {
    window,
    async before({ isConditional, isActive }) {
      if (!isActive) return {};
      return Object.fromEntries(
        names.map((name, level) => {
          const value = forBatch(
            expectDType(features[name] as Tensor, 'float32', name),
            isConditional.length,
            'the adapter',
          );
          const size = value.data.length / isConditional.length;
          const factor = Math.fround(factors[level] ?? 0);
          const data = value.data.map((one, i) =>
            promptOnly && !isConditional[Math.floor(i / size)] ? 0 : factor * one,
          );
          return [name, tensor('float32', value.shape, data)];
        }),
      );
    },
  };
}
