/** Nodes that make and change latents. */

import { defineNode, type NodeType } from '../definition.ts';
import { zeros } from '../../tensor/tensor.ts';

export const emptyLatentImage = defineNode({
  name: 'EmptyLatentImage',
  displayName: 'Empty Latent Image',
  category: 'latent',
  module: 'nodes',
  required: {
    width: ['INT', { default: 512, min: 16, max: 16384, step: 8 }],
    height: ['INT', { default: 512, min: 16, max: 16384, step: 8 }],
    batch_size: ['INT', { default: 1, min: 1, max: 4096 }],
  },
  outputs: ['LATENT'],
  run: ({ width, height, batch_size }) => [{ samples: zeros('float32', [batch_size, 4, height >> 3, width >> 3]) }],
});

export const latentNodes: readonly NodeType[] = [emptyLatentImage];
