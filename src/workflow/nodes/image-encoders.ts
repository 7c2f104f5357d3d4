/** Nodes of CLIP's image encoder. */

import { defineNode, type NodeType } from '../definition.ts';
import { imageEncoderOf, type ImageEncoderValue, seePictures } from '../image-encoder.ts';

const clipVisionLoaderNode = defineNode({
  name: 'CLIPVisionLoader',
  displayName: 'Load CLIP Vision',
  category: 'loaders',
  module: 'nodes',
  required: { clip_name: [{ folder: 'clip_vision' }] },
  outputs: ['CLIP_VISION'],
  run: async ({ clip_name }, { files }) => [imageEncoderOf(await files.network('clip_vision', clip_name))],
});

const clipVisionEncodeNode = defineNode({
  name: 'CLIPVisionEncode',
  displayName: 'CLIP Vision Encode',
  category: 'conditioning',
  module: 'nodes',
  required: { clip_vision: ['CLIP_VISION'], image: ['IMAGE'], crop: [['center', 'none']] },
  outputs: ['CLIP_VISION_OUTPUT'],
  run: async ({ clip_vision, image, crop }, context) => [
    await seePictures(clip_vision as ImageEncoderValue, image, crop === 'center', context),
  ],
});

export const imageEncoderNodes: readonly NodeType[] = [clipVisionLoaderNode, clipVisionEncodeNode];
