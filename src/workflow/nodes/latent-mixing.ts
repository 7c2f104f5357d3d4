/** Nodes that mix latents. */

import { defineNode, type NodeType, plainFlags } from '../definition.ts';
import { composite } from '../composite.ts';
import { broadcast, mapped, zipped } from '../grids.ts';
import { featheredLatent, interpolated } from '../latent-parts.ts';
import { likeShape, sizedLike } from '../upscale.ts';

const latentCompositeNode = defineNode({
  name: 'LatentComposite',
  displayName: 'Latent Composite',
  category: 'latent',
  module: 'nodes',
  required: {
    samples_to: ['LATENT'],
    samples_from: ['LATENT'],
    x: ['INT', { default: 0, min: 0, max: 16384, step: 8 }],
    y: ['INT', { default: 0, min: 0, max: 16384, step: 8 }],
    feather: ['INT', { default: 0, min: 0, max: 16384, step: 8 }],
  },
  outputs: ['LATENT'],
  run({ samples_to, samples_from, x, y, feather }) {
    const at = { x: x >> 3, y: y >> 3, feather: feather >> 3 };
    return [{ ...samples_to, samples: featheredLatent(samples_to.samples, samples_from.samples, at) }];
  },
});

const latentBlendNode = defineNode({
  name: 'LatentBlend',
  displayName: 'Latent Blend',
  category: '_for_testing',
  module: 'nodes',
  required: {
    samples1: ['LATENT'],
    samples2: ['LATENT'],
    blend_factor: ['FLOAT', { default: 0.5, min: 0, max: 1, step: 0.01 }],
  },
  outputs: ['LATENT'],
  run({ samples1, samples2, blend_factor }) {
    const [first, other] = broadcast(samples1.samples, sizedLike(samples2.samples, samples1.samples.shape, 'bicubic'));
    const share = 1 - blend_factor;
    const blended = zipped(first, other, (a, b) => Math.fround(a * blend_factor) + Math.fround(b * share));
    return [{ ...samples1, samples: blended }];
  },
});

const latentAddNode = defineNode({
  name: 'LatentAdd',
  displayName: null,
  category: 'latent/advanced',
  module: 'comfy_extras.nodes_latent',
  required: {
    samples1: ['LATENT', {}],
    samples2: ['LATENT', {}],
  },
  outputs: ['LATENT'],
  flags: plainFlags,
  run: ({ samples1, samples2 }) => [
    {
      ...samples1,
      samples: zipped(samples1.samples, likeShape(samples2.samples, samples1.samples.shape), (a, b) => a + b),
    },
  ],
});

const latentSubtractNode = defineNode({
  name: 'LatentSubtract',
  displayName: null,
  category: 'latent/advanced',
  module: 'comfy_extras.nodes_latent',
  required: {
    samples1: ['LATENT', {}],
    samples2: ['LATENT', {}],
  },
  outputs: ['LATENT'],
  flags: plainFlags,
  run: ({ samples1, samples2 }) => [
    {
      ...samples1,
      samples: zipped(samples1.samples, likeShape(samples2.samples, samples1.samples.shape), (a, b) => a - b),
    },
  ],
});

const latentMultiplyNode = defineNode({
  name: 'LatentMultiply',
  displayName: null,
  category: 'latent/advanced',
  module: 'comfy_extras.nodes_latent',
  required: {
    samples: ['LATENT', {}],
    multiplier: ['FLOAT', { default: 1, min: -10, max: 10, step: 0.01 }],
  },
  outputs: ['LATENT'],
  flags: plainFlags,
  run: ({ samples, multiplier }) => [{ ...samples, samples: mapped(samples.samples, (value) => value * multiplier) }],
});

const latentInterpolateNode = defineNode({
  name: 'LatentInterpolate',
  displayName: null,
  category: 'latent/advanced',
  module: 'comfy_extras.nodes_latent',
  required: {
    samples1: ['LATENT', {}],
    samples2: ['LATENT', {}],
    ratio: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.01 }],
  },
  outputs: ['LATENT'],
  flags: plainFlags,
  run: ({ samples1, samples2, ratio }) => [
    {
      ...samples1,
      samples: interpolated(samples1.samples, likeShape(samples2.samples, samples1.samples.shape), ratio),
    },
  ],
});

const latentCompositeMaskedNode = defineNode({
  name: 'LatentCompositeMasked',
  displayName: 'LatentCompositeMasked',
  category: 'latent',
  module: 'comfy_extras.nodes_mask',
  required: {
    destination: ['LATENT'],
    source: ['LATENT'],
    x: ['INT', { default: 0, min: 0, max: 16384, step: 8 }],
    y: ['INT', { default: 0, min: 0, max: 16384, step: 8 }],
    resize_source: ['BOOLEAN', { default: false }],
  },
  optional: {
    mask: ['MASK'],
  },
  outputs: ['LATENT'],
  run: ({ destination, source, x, y, resize_source, mask }) => [
    {
      ...destination,
      samples: composite(destination.samples, source.samples, { x, y, unit: 8, resizeSource: resize_source, mask }),
    },
  ],
});

export const latentMixingNodes: readonly NodeType[] = [
  latentCompositeNode,
  latentBlendNode,
  latentAddNode,
  latentSubtractNode,
  latentMultiplyNode,
  latentInterpolateNode,
  latentCompositeMaskedNode,
];
