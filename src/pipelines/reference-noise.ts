/**
 * Noise for reference pictures: of each picture of a batch from a generator of its own, so that a picture does not depend on its batch, and
 * beside the run's noise, so that the run draws what it draws without them.
 */

import type { Batch } from '../generation/batches.ts';
import type { GenerationRequest } from '../generation/request.ts';
import { seedOf } from '../random/plain-seed.ts';
import { offsetSeed } from '../random/seed.ts';
import { TorchGenerator } from '../random/torch-generator.ts';
import { joinBatches } from '../tensor/batches.ts';
import type { Shape, Tensor } from '../tensor/tensor.ts';

/** Between a picture's seed and that of its reference's noise, which would else begin with the picture's own. */
const distance = 0x5ef0;

/** Rows of a shape are those of the batch, once for each half of guidance. */
export function referenceNoise(
  { seed }: Pick<GenerationRequest, 'seed'>,
  { batch, seeds, picturesBefore }: Pick<Batch, 'batch' | 'seeds' | 'picturesBefore'>,
): (shape: Shape) => Tensor<'float32'> {
  const generators = Array.from({ length: batch }, (_, i) => {
    const own = seeds?.[i];
    const of = own === undefined ? offsetSeed(seedOf(seed), picturesBefore + i) : seedOf(own);
    return new TorchGenerator(BigInt.asUintN(64, BigInt(offsetSeed(of, distance))));
  });
  return ([count = 1, ...rest]) =>
    joinBatches(
      Array.from({ length: count }, (_, row) => (generators[row % batch] as TorchGenerator).randn([1, ...rest])),
    );
}
