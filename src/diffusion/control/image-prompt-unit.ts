/** An IP-Adapter at work: the tokens of its pictures for each half of guidance, and how strongly every place of the picture attends to them. */

import { joinBatches, type NetworkInputs } from '../../tensor/batches.ts';
import { resizeBicubic } from '../../tensor/resize-bicubic.ts';
import { float32, type Tensor } from '../../tensor/tensor.ts';
import { byHalf, type ControlUnit } from './control-unit.ts';
import type { ControlWindow } from './control-window.ts';

export interface ImagePromptUnitOptions {
  /** The number of the adapter among those of the denoiser (`extensions/image-prompt.ts`). */
  readonly index: number;
  /** float32 [1, tokens, context_dim]: of the pictures, and of no picture. */
  readonly conditional: Tensor<'float32'>;
  readonly unconditional: Tensor<'float32'>;
  readonly scale: number;
  readonly window: ControlWindow;
  /** Levels of the UNet. */
  readonly levels: number;
  /** float32 [1, 1, H, W] in [0, 1]: where the pictures act. */
  readonly mask?: Tensor<'float32'> | undefined;
}

/** `image_scale.INDEX.LEVEL`, float32 [1, h, w] of each level. */
function scalesOf(
  { index, scale, levels, mask }: ImagePromptUnitOptions,
  height: number,
  width: number,
): readonly (readonly [string, Tensor<'float32'>])[] {
  return Array.from({ length: levels }, (_, level) => {
    const [h, w] = [height / 2 ** level, width / 2 ** level];
    const plane = mask ? resizeBicubic(mask, h, w).data : new Float32Array(h * w).fill(1);
    const factor = Math.fround(scale);
    return [
      `image_scale.${index}.${level}`,
      float32(
        [1, h, w],
        plane.map((value) => value * factor),
      ),
    ] as const;
  });
}

export function imagePromptUnit(options: ImagePromptUnitOptions): ControlUnit {
  const { index, conditional, unconditional, window } = options;
  return {
    window,
    async before({ inputs, isConditional, isActive }) {
      const [count = 1, , height = 1, width = 1] = inputs.x.shape;
      const made: Record<string, Tensor> = {
        [`image_tokens.${index}`]: byHalf(isConditional, conditional, unconditional),
      };
      for (const [name, plane] of scalesOf(isActive ? options : { ...options, scale: 0 }, height, width))
        made[name] = joinBatches(Array.from({ length: count }, () => plane));
      return made as NetworkInputs;
    },
  };
}
