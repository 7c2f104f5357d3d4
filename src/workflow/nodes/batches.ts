/** Nodes that cut batches into lists of batches. */

import { defineListNode, type NodeType, plainFlags } from '../definition.ts';
import { joinBatches, takeBatch } from '../../tensor/batches.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { rebatchedLatents } from '../latent-parts.ts';
import type { LatentValue } from '../values.ts';

const rebatchLatentsNode = defineListNode({
  name: 'RebatchLatents',
  displayName: 'Rebatch Latents',
  category: 'latent/batch',
  module: 'comfy_extras.nodes_rebatch',
  required: {
    latents: ['LATENT', {}],
    batch_size: ['INT', { default: 1, min: 1, max: 4096 }],
  },
  outputs: [{ type: 'LATENT', isList: true }],
  flags: plainFlags,
  // A latent without a mask gets one of its pixels where another has one.
  makes: ({ latents }) =>
    (latents as readonly LatentValue[]).reduce(
      (sum, { samples, noiseMask }) => sum + samples.data.byteLength * 17 + (noiseMask?.data.byteLength ?? 0),
      0,
    ),
  run({ latents, batch_size }) {
    return [rebatchedLatents(latents as readonly LatentValue[], (batch_size as readonly number[])[0] ?? 1)];
  },
});

const rebatchImagesNode = defineListNode({
  name: 'RebatchImages',
  displayName: 'Rebatch Images',
  category: 'image/batch',
  module: 'comfy_extras.nodes_rebatch',
  required: {
    images: ['IMAGE', {}],
    batch_size: ['INT', { default: 1, min: 1, max: 4096 }],
  },
  outputs: [{ type: 'IMAGE', isList: true }],
  flags: plainFlags,
  run({ images, batch_size }) {
    const size = (batch_size as readonly number[])[0] ?? 1;
    const all = (images as readonly Tensor<'float32'>[]).flatMap((batch) =>
      Array.from({ length: batch.shape[0] ?? 0 }, (_, i) => takeBatch(batch, i, i + 1)),
    );
    const starts = Array.from({ length: Math.ceil(all.length / size) }, (_, i) => i * size);
    return [starts.map((start) => joinBatches(all.slice(start, start + size)))];
  },
});

export const batchNodes: readonly NodeType[] = [rebatchLatentsNode, rebatchImagesNode];
