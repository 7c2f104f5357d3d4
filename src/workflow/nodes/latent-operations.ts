/** Nodes that join and cut latents along a side, and functions of a latent that others apply: tone mapping, sharpening. */

import { StableDiffusionError } from '../../errors.ts';
import { concatenate } from '../../tensor/arithmetic.ts';
import { defineNode, experimentalFlags, type NodeType, plainFlags } from '../definition.ts';
import { part, zipped } from '../grids.ts';
import { sharpenedLatent, toneMapped } from '../latent-operations.ts';
import { toBatch } from '../sampling/to-batch.ts';
import { patched } from '../values/model.ts';

/** Latents here are pictures: they have no axis of time. */
function refuseTime(node: string): never {
  throw new StableDiffusionError('invalid-argument', `${node} along t is for videos. Choose x or y.`);
}

const latentConcatNode = defineNode({
  name: 'LatentConcat',
  displayName: null,
  category: 'latent/advanced',
  module: 'comfy_extras.nodes_latent',
  required: {
    samples1: ['LATENT', {}],
    samples2: ['LATENT', {}],
    dim: ['COMBO', { multiselect: false, options: ['x', '-x', 'y', '-y', 't', '-t'] }],
  },
  outputs: ['LATENT'],
  flags: plainFlags,
  run({ samples1, samples2, dim }) {
    if (dim.endsWith('t')) refuseTime('LatentConcat');
    const [first, second] = [samples1.samples, toBatch(samples2.samples, samples1.samples.shape[0] ?? 1)];
    const samples = concatenate(dim.startsWith('-') ? [second, first] : [first, second], dim.endsWith('x') ? 3 : 2);
    return [{ ...samples1, samples }];
  },
});

const latentCutNode = defineNode({
  name: 'LatentCut',
  displayName: null,
  category: 'latent/advanced',
  module: 'comfy_extras.nodes_latent',
  required: {
    samples: ['LATENT', {}],
    dim: ['COMBO', { multiselect: false, options: ['x', 'y', 't'] }],
    index: ['INT', { default: 0, min: -16384, max: 16384, step: 1 }],
    amount: ['INT', { default: 1, min: 1, max: 16384, step: 1 }],
  },
  outputs: ['LATENT'],
  flags: plainFlags,
  run({ samples, dim, index, amount }) {
    if (dim === 't') refuseTime('LatentCut');
    const [, , height = 1, width = 1] = samples.samples.shape;
    const side = dim === 'x' ? width : height;
    const start = index >= 0 ? Math.min(index, side - 1) : side + Math.max(index, -side);
    const length = Math.min(side - start, amount);
    const area = dim === 'x' ? { x: start, y: 0, width: length, height } : { x: 0, y: start, width, height: length };
    return [{ ...samples, samples: part(samples.samples, false, area) }];
  },
});

const latentApplyOperationNode = defineNode({
  name: 'LatentApplyOperation',
  displayName: null,
  category: 'latent/advanced/operations',
  module: 'comfy_extras.nodes_latent',
  required: {
    samples: ['LATENT', {}],
    operation: ['LATENT_OPERATION', {}],
  },
  outputs: ['LATENT'],
  flags: experimentalFlags,
  run: ({ samples, operation }) => [{ ...samples, samples: operation(samples.samples) }],
});

const latentApplyOperationCFGNode = defineNode({
  name: 'LatentApplyOperationCFG',
  displayName: null,
  category: 'latent/advanced/operations',
  module: 'comfy_extras.nodes_latent',
  required: {
    model: ['MODEL', {}],
    operation: ['LATENT_OPERATION', {}],
  },
  outputs: ['MODEL'],
  flags: experimentalFlags,
  run: ({ model, operation }) => [
    patched(model, {
      beforeGuidance: [
        (parts) => {
          const { conditional, unconditional } = parts;
          const changed = operation(zipped(conditional, unconditional, (c, u) => c - u));
          return { ...parts, conditional: zipped(changed, unconditional, (c, u) => c + u) };
        },
      ],
    }),
  ],
});

const latentOperationTonemapReinhardNode = defineNode({
  name: 'LatentOperationTonemapReinhard',
  displayName: null,
  category: 'latent/advanced/operations',
  module: 'comfy_extras.nodes_latent',
  required: {
    multiplier: ['FLOAT', { default: 1.0, min: 0.0, max: 100.0, step: 0.01 }],
  },
  outputs: ['LATENT_OPERATION'],
  flags: experimentalFlags,
  run: ({ multiplier }) => [toneMapped(multiplier)],
});

const latentOperationSharpenNode = defineNode({
  name: 'LatentOperationSharpen',
  displayName: null,
  category: 'latent/advanced/operations',
  module: 'comfy_extras.nodes_latent',
  required: {
    sharpen_radius: ['INT', { default: 9, min: 1, max: 31, step: 1 }],
    sigma: ['FLOAT', { default: 1.0, min: 0.1, max: 10.0, step: 0.1 }],
    alpha: ['FLOAT', { default: 0.1, min: 0.0, max: 5.0, step: 0.01 }],
  },
  outputs: ['LATENT_OPERATION'],
  flags: experimentalFlags,
  run: ({ sharpen_radius, sigma, alpha }) => [sharpenedLatent(sharpen_radius, sigma, alpha)],
});

export const latentOperationNodes: readonly NodeType[] = [
  latentConcatNode,
  latentCutNode,
  latentApplyOperationNode,
  latentApplyOperationCFGNode,
  latentOperationTonemapReinhardNode,
  latentOperationSharpenNode,
];
