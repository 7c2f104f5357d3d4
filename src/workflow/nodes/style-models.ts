/** Nodes of style models: the style adapter of T2I-Adapter. */

import { defineNode, type NodeType } from '../definition.ts';
import type { SeenPictures } from '../image-encoder.ts';
import { styleModelOf, type StyleModelValue, withStyle } from '../style-model.ts';

const styleModelLoaderNode = defineNode({
  name: 'StyleModelLoader',
  displayName: 'Load Style Model',
  category: 'loaders',
  module: 'nodes',
  required: { style_model_name: [{ folder: 'style_models' }] },
  outputs: ['STYLE_MODEL'],
  run: async ({ style_model_name }, { files }) => [styleModelOf(await files.network('style_models', style_model_name))],
});

const styleModelApplyNode = defineNode({
  name: 'StyleModelApply',
  displayName: 'Apply Style Model',
  category: 'conditioning/style_model',
  module: 'nodes',
  required: {
    conditioning: ['CONDITIONING'],
    style_model: ['STYLE_MODEL'],
    clip_vision_output: ['CLIP_VISION_OUTPUT'],
    strength: ['FLOAT', { default: 1, min: 0, max: 10, step: 0.001 }],
    strength_type: [['multiply', 'attn_bias']],
  },
  outputs: ['CONDITIONING'],
  run: async ({ conditioning, style_model, clip_vision_output, strength, strength_type }, context) => [
    await withStyle(
      conditioning,
      {
        style: style_model as StyleModelValue,
        seen: clip_vision_output as SeenPictures,
        strength,
        multiplies: strength_type === 'multiply',
      },
      context,
    ),
  ],
});

export const styleModelNodes: readonly NodeType[] = [styleModelLoaderNode, styleModelApplyNode];
