/** Nodes that encode texts. */

import { defineNode, type NodeType } from '../definition.ts';
import { encodeText } from '../text/encode-text.ts';

export const clipTextEncode = defineNode({
  name: 'CLIPTextEncode',
  displayName: 'CLIP Text Encode (Prompt)',
  category: 'conditioning',
  module: 'nodes',
  required: {
    text: ['STRING', { multiline: true, dynamicPrompts: true }],
    clip: ['CLIP', {}],
  },
  outputs: ['CONDITIONING'],
  async run({ text, clip }, context) {
    return [[await encodeText(clip, text, context)]];
  },
});

export const clipSetLastLayer = defineNode({
  name: 'CLIPSetLastLayer',
  displayName: 'CLIP Set Last Layer',
  category: 'conditioning',
  module: 'nodes',
  required: {
    clip: ['CLIP'],
    stop_at_clip_layer: ['INT', { default: -1, min: -24, max: -1, step: 1 }],
  },
  outputs: ['CLIP'],
  run: ({ clip, stop_at_clip_layer }) => [{ ...clip, layer: stop_at_clip_layer }],
});

export const textNodes: readonly NodeType[] = [clipTextEncode, clipSetLastLayer];
