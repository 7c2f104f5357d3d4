/**
 * The picture that an editing model (InstructPix2Pix, CosXL Edit) sees as further channels behind the latent's: its latent, or zeros. After `IP2P`
 * of ComfyUI's model_base.py.
 */

import { scaledLatent } from '../../model/latent-scale.ts';
import { roundHalfEven } from '../../tensor/round-half-even.ts';
import { type Tensor, zeros } from '../../tensor/tensor.ts';
import type { ConditioningEntry } from '../values/conditioning.ts';
import type { ModelValue } from '../values/model.ts';
import { likeShape } from '../upscale.ts';
import type { RunShape } from './run-shape.ts';

type Float32 = Tensor<'float32'>;

/** A batch in another number of items, spread evenly over those that there are (`resize_to_batch_size`). */
function spread(value: Float32, count: number): Float32 {
  const [own = 1, ...rest] = value.shape;
  if (own === count) return value;
  const size = value.data.length / own;
  const data = new Float32Array(size * count);
  for (let i = 0; i < count; i++) {
    const at =
      count < own ? roundHalfEven(i * ((own - 1) / Math.max(1, count - 1))) : Math.floor((i + 0.5) * (own / count));
    data.set(value.data.subarray(Math.min(at, own - 1) * size, (Math.min(at, own - 1) + 1) * size), i * size);
  }
  return { ...value, shape: [count, ...rest], data };
}

/** [b, channels, h, w]; undefined for other models. */
export function editedConcat(
  { network, config }: ModelValue,
  { concat_latent_image: picture }: ConditioningEntry,
  { shape }: RunShape,
): Float32 | undefined {
  const { in_channels, out_channels } = network.config;
  if (in_channels !== 2 * out_channels) return undefined;
  const [batch = 1, , height = 1, width = 1] = shape;
  if (!picture) return zeros('float32', [batch, out_channels, height, width]);
  const seen = spread(likeShape(picture, shape, false), batch);
  // CosXL's takes the latent as it is sampled, the others as the first stage has it.
  return config.noise_levels ? scaledLatent(seen, config) : seen;
}
