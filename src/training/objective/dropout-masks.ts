/** The masks of dropout (`torch.nn.Dropout`) as inputs of a training graph: drawn from a seeded generator, so that a resumed run has the same. */

import { StableDiffusionError } from '../../errors.ts';
import type { DropoutSite } from '../../graph/trace.ts';
import { float32, type Shape, type Tensor } from '../../tensor/tensor.ts';

/** Uniform draws in [0, 1) whose first axis is that of the batch's items. */
interface UniformDraws {
  rand(shape: Shape): Tensor<'float32'>;
}

/** 0 for an element that is left out, 1 / (1 - rate) for the others; rate 1 leaves out all. Throws `invalid-argument` for a graph of open sizes. */
export function dropoutMasks(
  sites: readonly DropoutSite[],
  generator: UniformDraws,
): Readonly<Record<string, Tensor<'float32'>>> {
  return Object.fromEntries(
    sites.map(({ name, shape, rate }) => {
      const sides = shape.map((side) => {
        if (typeof side === 'number') return side;
        throw new StableDiffusionError(
          'invalid-argument',
          'Training with dropout needs a fixed batch and picture size. Give the size of the training graph.',
        );
      });
      const kept = rate < 1 ? 1 / (1 - rate) : 0;
      const { data } = generator.rand(sides);
      return [
        name,
        float32(
          sides,
          data.map((value) => (value < rate ? 0 : kept)),
        ),
      ];
    }),
  );
}
