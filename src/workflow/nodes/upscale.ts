/** Pictures enlarged by networks. */

import { defineNode, type NodeType, plainFlags } from '../definition.ts';
import { enlargedBy, type UpscaleModelValue, upscaleModel } from '../upscale-model.ts';

const upscaleModelLoaderNode = defineNode({
  name: 'UpscaleModelLoader',
  displayName: 'Load Upscale Model',
  category: 'loaders',
  module: 'comfy_extras.nodes_upscale_model',
  required: {
    model_name: ['COMBO', { multiselect: false, options: { folder: 'upscale_models' } }],
  },
  outputs: ['UPSCALE_MODEL'],
  flags: plainFlags,
  async run({ model_name }, context) {
    return [await upscaleModel(model_name, context)];
  },
});

const imageUpscaleWithModelNode = defineNode({
  name: 'ImageUpscaleWithModel',
  displayName: 'Upscale Image (using Model)',
  category: 'image/upscaling',
  module: 'comfy_extras.nodes_upscale_model',
  required: {
    upscale_model: ['UPSCALE_MODEL', {}],
    image: ['IMAGE', {}],
  },
  outputs: ['IMAGE'],
  flags: plainFlags,
  // Networks enlarge 4 times, rarely 8 times.
  makes: ({ image }) => 16 * image.data.byteLength,
  async run({ upscale_model, image }, context) {
    return [await enlargedBy(upscale_model as UpscaleModelValue, image, context)];
  },
});

export const upscaleNodes: readonly NodeType[] = [upscaleModelLoaderNode, imageUpscaleWithModelNode];
