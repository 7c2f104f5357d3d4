/** Latents of a batch's items: pictures encoded, cached moments drawn from, cached latents as they are. */

import { StableDiffusionError } from '../errors.ts';
import { imagesToTensor } from '../image/image-tensor.ts';
import type { TorchGenerator } from '../random/torch-generator.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import type { TrainingItem } from './data/sample.ts';
import type { FirstStage } from './first-stage.ts';

/** Tensors of one shape as one more axis in front. Throws `shape-mismatch` where they differ. */
function stacked(values: readonly Tensor<'float32'>[], names: readonly string[]): Tensor<'float32'> {
  const [first, ...others] = values;
  if (!first) throw new StableDiffusionError('invalid-argument', 'A batch has no items.');
  const odd = others.findIndex(({ shape }) => shape.join() !== first.shape.join());
  if (odd >= 0) {
    throw new StableDiffusionError('shape-mismatch', `The items of a batch must be of one size: ${names[0]} is [${first.shape.join(', ')}] and ${names[odd + 1]} [${others[odd]?.shape.join(', ')}].`);
  }
  const data = new Float32Array(first.data.length * values.length);
  for (const [i, value] of values.entries()) data.set(value.data, i * first.data.length);
  return float32([values.length, ...first.shape], data);
}

/** Not scaled, [b, c, h, w]. */
export async function latentsOf(items: readonly TrainingItem[], firstStage: FirstStage, generator: TorchGenerator): Promise<Tensor<'float32'>> {
  const names = items.map(({ name }) => name);
  const images = items.flatMap((item) => ('image' in item ? [item.image] : []));
  const cached = items.flatMap((item) => ('image' in item ? [] : [item.latents]));
  if (images.length > 0 && cached.length > 0) throw new StableDiffusionError('invalid-argument', 'A batch mixes pictures and cached latents; give one of them.');
  const encoded = images.length > 0 ? await firstStage.encode(imagesToTensor(images)) : stacked(cached, names);
  const { config } = firstStage;
  const channels = config.kind === 'identity' ? undefined : config.embed_dim;
  return encoded.shape[1] === channels ? encoded : firstStage.sample(encoded, generator);
}

/** Every element times a number. */
export function scaled(latents: Tensor<'float32'>, factor: number): Tensor<'float32'> {
  return float32(latents.shape, latents.data.map((value) => value * factor));
}
