/** Changes of a model's network: its skip connections, its attention, the size of its image inside. */

import { deepShrink, type ShrinkMethod, shrinkMethods } from '../../extensions/deep-shrink.ts';
import { freeU } from '../../extensions/free-u.ts';
import { hyperTile } from '../../extensions/hyper-tile.ts';
import { defineNode, experimentalFlags, type NodeType, plainFlags } from '../definition.ts';
import { extendedNetwork } from '../network-forms.ts';
import { perturbedAttentionGuided, selfAttentionGuided } from '../sampling/attention-guidance.ts';
import { withMergedQueries } from '../sampling/merged-queries.ts';
import { refuseSetting } from '../sampling/refuse-setting.ts';
import { patched, withExtension } from '../values/model.ts';

const factor = (standard: number) => ['FLOAT', { default: standard, min: 0, max: 10, step: 0.01 }] as const;

/** The two versions of FreeU, with the factors that each begins with. */
const freeUNodes = (
  [
    ['FreeU', 1, [1.1, 1.2, 0.9, 0.2]],
    ['FreeU_V2', 2, [1.3, 1.4, 0.9, 0.2]],
  ] as const
).map(([name, version, [b1, b2, s1, s2]]) =>
  defineNode({
    name,
    displayName: name,
    category: 'model_patches/unet',
    module: 'comfy_extras.nodes_freelunch',
    required: { model: ['MODEL'], b1: factor(b1), b2: factor(b2), s1: factor(s1), s2: factor(s2) },
    outputs: ['MODEL'],
    run: ({ model, ...factors }) => [withExtension(model, freeU(factors, { version, stages: 'width' }))],
  }),
);

const selfAttentionGuidanceNode = defineNode({
  name: 'SelfAttentionGuidance',
  displayName: 'Self-Attention Guidance',
  category: '_for_testing',
  module: 'comfy_extras.nodes_sag',
  required: {
    model: ['MODEL', {}],
    scale: ['FLOAT', { default: 0.5, min: -2, max: 5, step: 0.01 }],
    blur_sigma: ['FLOAT', { default: 2, min: 0, max: 10, step: 0.1 }],
  },
  outputs: ['MODEL'],
  flags: experimentalFlags,
  run({ model, scale, blur_sigma }) {
    if (blur_sigma === 0) refuseSetting('SelfAttentionGuidance', 'blur_sigma', '0', ['a number above 0']);
    return [selfAttentionGuided(model, scale, blur_sigma)];
  },
});

const perturbedAttentionGuidanceNode = defineNode({
  name: 'PerturbedAttentionGuidance',
  displayName: null,
  category: 'model_patches/unet',
  module: 'comfy_extras.nodes_pag',
  required: {
    model: ['MODEL', {}],
    scale: ['FLOAT', { default: 3, min: 0, max: 100, step: 0.01, round: 0.01 }],
  },
  outputs: ['MODEL'],
  flags: plainFlags,
  run: ({ model, scale }) => [perturbedAttentionGuided(model, scale)],
});

const tomePatchModelNode = defineNode({
  name: 'TomePatchModel',
  displayName: null,
  category: 'model_patches/unet',
  module: 'comfy_extras.nodes_tomesd',
  required: {
    model: ['MODEL', {}],
    ratio: ['FLOAT', { default: 0.3, min: 0, max: 1, step: 0.01 }],
  },
  outputs: ['MODEL'],
  flags: plainFlags,
  run: ({ model, ratio }) => [withMergedQueries(model, ratio)],
});

/** The original takes one of so many numbers of tiles at random, the last of them never: of two it always takes the first. */
const mostSwaps = 2;

const hyperTileNode = defineNode({
  name: 'HyperTile',
  displayName: null,
  category: 'model_patches/unet',
  module: 'comfy_extras.nodes_hypertile',
  required: {
    model: ['MODEL', {}],
    tile_size: ['INT', { default: 256, min: 1, max: 2048 }],
    swap_size: ['INT', { default: 2, min: 1, max: 128 }],
    max_depth: ['INT', { default: 0, min: 0, max: 10 }],
    scale_depth: ['BOOLEAN', { default: false }],
  },
  outputs: ['MODEL'],
  flags: plainFlags,
  run({ model, tile_size, swap_size, max_depth, scale_depth }) {
    if (swap_size > mostSwaps) refuseSetting('HyperTile', 'swap_size', `${swap_size}`, ['1', '2']);
    const side = Math.floor(Math.max(32, tile_size) / 8);
    return [withExtension(model, hyperTile({ side, depth: max_depth, scalesWithDepth: scale_depth }))];
  },
});

const patchModelAddDownscaleNode = defineNode({
  name: 'PatchModelAddDownscale',
  displayName: 'PatchModelAddDownscale (Kohya Deep Shrink)',
  category: 'model_patches/unet',
  module: 'comfy_extras.nodes_model_downscale',
  required: {
    model: ['MODEL', {}],
    block_number: ['INT', { default: 3, min: 1, max: 32, step: 1 }],
    downscale_factor: ['FLOAT', { default: 2, min: 0.1, max: 9, step: 0.001 }],
    start_percent: ['FLOAT', { default: 0, min: 0, max: 1, step: 0.001 }],
    end_percent: ['FLOAT', { default: 0.35, min: 0, max: 1, step: 0.001 }],
    downscale_after_skip: ['BOOLEAN', { default: true }],
    downscale_method: ['COMBO', { multiselect: false, options: shrinkMethods }],
    upscale_method: ['COMBO', { multiselect: false, options: shrinkMethods }],
  },
  outputs: ['MODEL'],
  flags: plainFlags,
  run({ model, start_percent, end_percent, ...settings }) {
    const { percentToSigma } = model.sampling;
    const [start, end] = [percentToSigma(start_percent), percentToSigma(end_percent)];
    const shrink = deepShrink({
      block: settings.block_number,
      factor: settings.downscale_factor,
      afterSkip: settings.downscale_after_skip,
      down: settings.downscale_method as ShrinkMethod,
      up: settings.upscale_method as ShrinkMethod,
    });
    return [
      patched(model, {
        networkAt: [(network, sigma) => (sigma <= start && sigma >= end ? extendedNetwork(network, shrink) : network)],
      }),
    ];
  },
});

export const networkPatchNodes: readonly NodeType[] = [
  ...freeUNodes,
  selfAttentionGuidanceNode,
  perturbedAttentionGuidanceNode,
  tomePatchModelNode,
  hyperTileNode,
  patchModelAddDownscaleNode,
];
