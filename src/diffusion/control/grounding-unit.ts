/** GLIGEN at work: the objects of the prompt's half, and those of no object for the negative one. */

import { float32, type Tensor } from '../../tensor/tensor.ts';
import { byHalf, type ControlUnit } from './control-unit.ts';
import type { ControlWindow } from './control-window.ts';

export interface GroundedObjects {
  /** float32 [1, objects, context_dim]. */
  readonly conditional: Tensor<'float32'>;
  readonly unconditional: Tensor<'float32'>;
}

/** `scale`: 1 is what it was trained with. */
export function groundingUnit(
  { conditional, unconditional }: GroundedObjects,
  scale: number,
  window: ControlWindow,
): ControlUnit {
  return {
    window,
    async before({ inputs, isConditional, isActive }) {
      const count = inputs.x.shape[0] ?? 1;
      return {
        'grounding.objects': byHalf(isConditional, conditional, unconditional),
        'grounding.scale': float32([count], new Float32Array(count).fill(isActive ? scale : 0)),
      };
    },
  };
}
