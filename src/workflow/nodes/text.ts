/** Nodes that encode texts. */

import { defineNode, type NodeType, plainFlags } from '../definition.ts';
import { encodePrompts, encodeText } from '../text/encode-text.ts';
import { evenTokens } from '../text/even-tokens.ts';

const clipTextEncodeNode = defineNode({
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

const clipSetLastLayerNode = defineNode({
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

const clipTextEncodeSDXLNode = defineNode({
  name: 'CLIPTextEncodeSDXL',
  displayName: null,
  category: 'advanced/conditioning',
  module: 'comfy_extras.nodes_clip_sdxl',
  required: {
    clip: ['CLIP', {}],
    width: ['INT', { default: 1024, min: 0, max: 16384 }],
    height: ['INT', { default: 1024, min: 0, max: 16384 }],
    crop_w: ['INT', { default: 0, min: 0, max: 16384 }],
    crop_h: ['INT', { default: 0, min: 0, max: 16384 }],
    target_width: ['INT', { default: 1024, min: 0, max: 16384 }],
    target_height: ['INT', { default: 1024, min: 0, max: 16384 }],
    text_g: ['STRING', { multiline: true, dynamicPrompts: true }],
    text_l: ['STRING', { multiline: true, dynamicPrompts: true }],
  },
  outputs: ['CONDITIONING'],
  flags: plainFlags,
  async run({ clip, text_g, text_l, ...sizes }, context) {
    const texts = await evenTokens(clip, { l: text_l, g: text_g, h: text_g }, context);
    return [[{ ...(await encodePrompts(clip, texts, context)), ...sizes }]];
  },
});

const clipTextEncodeSDXLRefinerNode = defineNode({
  name: 'CLIPTextEncodeSDXLRefiner',
  displayName: null,
  category: 'advanced/conditioning',
  module: 'comfy_extras.nodes_clip_sdxl',
  required: {
    ascore: ['FLOAT', { default: 6, min: 0, max: 1000, step: 0.01 }],
    width: ['INT', { default: 1024, min: 0, max: 16384 }],
    height: ['INT', { default: 1024, min: 0, max: 16384 }],
    text: ['STRING', { multiline: true, dynamicPrompts: true }],
    clip: ['CLIP', {}],
  },
  outputs: ['CONDITIONING'],
  flags: plainFlags,
  async run({ clip, ascore, width, height, text }, context) {
    return [[{ ...(await encodeText(clip, text, context)), aesthetic_score: ascore, width, height }]];
  },
});

export const textNodes: readonly NodeType[] = [
  clipTextEncodeNode,
  clipSetLastLayerNode,
  clipTextEncodeSDXLNode,
  clipTextEncodeSDXLRefinerNode,
];
