/** Nodes that write pictures. */

import { defineNode, type NodeType } from '../definition.ts';
import { savePictures } from '../pictures.ts';
import { temporaryPrefix } from '../temporary-prefix.ts';

export const saveImage = defineNode({
  name: 'SaveImage',
  displayName: 'Save Image',
  category: 'image',
  module: 'nodes',
  required: {
    images: ['IMAGE', {}],
    filename_prefix: ['STRING', { default: 'ComfyUI' }],
  },
  hidden: { prompt: 'PROMPT', extra_pnginfo: 'EXTRA_PNGINFO' },
  outputs: [],
  outputNode: true,
  async run({ images, filename_prefix }, context) {
    return { ui: { images: await savePictures(images, { folder: 'output', prefix: filename_prefix }, context) } };
  },
});

export const previewImage = defineNode({
  name: 'PreviewImage',
  displayName: 'Preview Image',
  category: 'image',
  module: 'nodes',
  required: {
    images: ['IMAGE'],
  },
  hidden: { prompt: 'PROMPT', extra_pnginfo: 'EXTRA_PNGINFO' },
  outputs: [],
  outputNode: true,
  async run({ images }, context) {
    const prefix = `ComfyUI${temporaryPrefix(context)}`;
    return { ui: { images: await savePictures(images, { folder: 'temp', prefix }, context) } };
  },
});

export const imageFileNodes: readonly NodeType[] = [saveImage, previewImage];
