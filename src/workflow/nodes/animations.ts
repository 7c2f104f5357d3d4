/** Nodes that save a batch as one moving picture. */

import { saveAnimatedPng, saveAnimatedWebp } from '../animations.ts';
import { defineNode, type NodeType } from '../definition.ts';

const fps = ['FLOAT', { default: 6, min: 0.01, max: 1000, step: 0.01 }] as const;

/** `method`: how long the original's encoder searches; files differ in size alone. */
const saveAnimatedWebpNode = defineNode({
  name: 'SaveAnimatedWEBP',
  displayName: 'SaveAnimatedWEBP',
  category: 'image/animation',
  module: 'comfy_extras.nodes_images',
  required: {
    images: ['IMAGE'],
    filename_prefix: ['STRING', { default: 'ComfyUI' }],
    fps,
    lossless: ['BOOLEAN', { default: true }],
    quality: ['INT', { default: 80, min: 0, max: 100 }],
    method: [['default', 'fastest', 'slowest']],
  },
  hidden: { prompt: 'PROMPT', extra_pnginfo: 'EXTRA_PNGINFO' },
  outputs: [],
  outputNode: true,
  run: async ({ images, filename_prefix, fps: rate, lossless, quality }, context) => ({
    ui: await saveAnimatedWebp(images, { prefix: filename_prefix, fps: rate, lossless, quality }, context),
  }),
});

/** `compress_level`: the same; the pixels of a PNG do not depend on it. */
const saveAnimatedPngNode = defineNode({
  name: 'SaveAnimatedPNG',
  displayName: 'SaveAnimatedPNG',
  category: 'image/animation',
  module: 'comfy_extras.nodes_images',
  required: {
    images: ['IMAGE'],
    filename_prefix: ['STRING', { default: 'ComfyUI' }],
    fps,
    compress_level: ['INT', { default: 4, min: 0, max: 9 }],
  },
  hidden: { prompt: 'PROMPT', extra_pnginfo: 'EXTRA_PNGINFO' },
  outputs: [],
  outputNode: true,
  run: async ({ images, filename_prefix, fps: rate }, context) => ({
    ui: await saveAnimatedPng(images, { prefix: filename_prefix, fps: rate }, context),
  }),
});

export const animationNodes: readonly NodeType[] = [saveAnimatedWebpNode, saveAnimatedPngNode];
