/** Latents of a batch's items: encoded pictures, samples from cached moments, or cached latents. */

import { StableDiffusionError } from '../../errors.ts';
import { imagesToTensor } from '../../image/image-tensor.ts';
import { joinBatches } from '../../tensor/batches.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { BatchGenerator } from '../data/batch-generator.ts';
import type { TrainingItem } from '../data/sample.ts';
import type { Autoencoder } from '../../model/autoencoder.ts';

/** Tensors of one shape as one more axis in front. Throws `shape-mismatch` where they differ. */
function stacked(values: readonly Tensor<'float32'>[], names: readonly string[]): Tensor<'float32'> {
  const odd = values.findIndex(({ shape }) => shape.join() !== values[0]?.shape.join());
  if (odd >= 0) {
    throw new StableDiffusionError(
      'shape-mismatch',
      `The items of a batch must be of one size: ${names[0]} is [${values[0]?.shape.join(', ')}] and ${names[odd]} [${values[odd]?.shape.join(', ')}].`,
    );
  }
  return joinBatches(values.map((value) => ({ ...value, shape: [1, ...value.shape] })));
}

/** Not scaled, [b, c, h, w]. */
export async function latentsOf(
  items: readonly TrainingItem[],
  firstStage: Autoencoder,
  generator: BatchGenerator,
): Promise<Tensor<'float32'>> {
  const names = items.map(({ name }) => name);
  const images = items.flatMap((item) => ('image' in item ? [item.image] : []));
  const cached = items.flatMap((item) => ('image' in item ? [] : [item.latents]));
  if (images.length > 0 && cached.length > 0)
    throw new StableDiffusionError('invalid-argument', 'A batch mixes pictures and cached latents; give one of them.');
  const encoded = images.length > 0 ? await firstStage.encode(imagesToTensor(images)) : stacked(cached, names);
  const { config } = firstStage;
  const channels = config.kind === 'identity' ? undefined : config.embed_dim;
  return encoded.shape[1] === channels ? encoded : firstStage.sample(encoded, (shape) => generator.randn(shape));
}
