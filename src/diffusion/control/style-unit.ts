/** The style adapter of T2I-Adapter at work: its tokens go behind the context (TencentARC/T2I-Adapter `append_to_context`). */

import { scale } from '../../tensor/arithmetic.ts';
import { joinBatches, takeBatch } from '../../tensor/batches.ts';
import { expectDType, type Tensor, tensor, zeros } from '../../tensor/tensor.ts';
import type { ControlUnit } from './control-unit.ts';
import type { ControlWindow } from './control-window.ts';

export interface StyleUnitOptions {
  /** float32 [1, tokens, context_dim]. */
  readonly tokens: Tensor<'float32'>;
  readonly weight: number;
  readonly window: ControlWindow;
  /** What the negative prompt gets in their place: its own last tokens again, as in the original, or zeros, as in A1111's extension. */
  readonly negative: 'repeat' | 'zeros';
}

/** The last `count` tokens of every row. */
function lastTokens(context: Tensor<'float32'>, count: number): Tensor<'float32'> {
  const [n = 1, length = 1, width = 1] = context.shape;
  const data = new Float32Array(n * count * width);
  for (let row = 0; row < n; row++)
    data.set(
      context.data.subarray((row * length + length - count) * width, (row + 1) * length * width),
      row * count * width,
    );
  return tensor('float32', [n, count, width], data);
}

export function styleUnit({ tokens, weight, window, negative }: StyleUnitOptions): ControlUnit {
  const own = weight === 1 ? tokens : scale(tokens, Math.fround(weight));
  const [, count = 1] = own.shape;
  return {
    window,
    tokens({ inputs, isConditional, isActive }) {
      if (!isActive || !inputs['context']) return undefined;
      const again = lastTokens(expectDType(inputs['context'], 'float32', 'context'), count);
      return joinBatches(
        isConditional.map((mark, row) =>
          mark ? own : negative === 'repeat' ? takeBatch(again, row, row + 1) : zeros('float32', own.shape),
        ),
      );
    },
  };
}
