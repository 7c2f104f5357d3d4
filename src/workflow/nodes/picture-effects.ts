/** Nodes that mix pictures, and blur, sharpen and cut them out. */

import { defineNode, type NodeType, plainFlags } from '../definition.ts';
import { StableDiffusionError } from '../../errors.ts';
import { cannyEdges } from '../../image/canny-edges.ts';
import { float32 } from '../../tensor/tensor.ts';
import { composite, fourAxes } from '../composite.ts';
import { broadcast, mapped, withChannels } from '../grids.ts';
import { blended, blurred, sharpened } from '../picture-effects.ts';
import { channelsFirst, channelsLast } from '../pictures.ts';
import { fitSize } from '../sampling/entry-inputs.ts';
import { toBatch } from '../sampling/to-batch.ts';
import { quantized } from '../quantize.ts';
import { upscaleImage } from '../upscale.ts';

const imageBlendNode = defineNode({
  name: 'ImageBlend',
  displayName: null,
  category: 'image/postprocessing',
  module: 'comfy_extras.nodes_post_processing',
  required: {
    image1: ['IMAGE', {}],
    image2: ['IMAGE', {}],
    blend_factor: ['FLOAT', { default: 0.5, min: 0, max: 1, step: 0.01 }],
    blend_mode: [
      'COMBO',
      { multiselect: false, options: ['normal', 'multiply', 'screen', 'overlay', 'soft_light', 'difference'] },
    ],
  },
  outputs: ['IMAGE'],
  flags: plainFlags,
  run({ image1, image2, blend_factor, blend_mode }) {
    const second = withChannels(image2, image1.shape[3] ?? 3);
    const [, height = 1, width = 1] = image1.shape;
    const isSame = second.shape[1] === height && second.shape[2] === width;
    const sized = isSame ? second : upscaleImage(second, { width, height, method: 'bicubic', crop: 'center' });
    return [blended(...broadcast(image1, sized), blend_mode, blend_factor)];
  },
});

const cannyNode = defineNode({
  name: 'Canny',
  displayName: null,
  category: 'image/preprocessors',
  module: 'comfy_extras.nodes_canny',
  required: {
    image: ['IMAGE', {}],
    low_threshold: ['FLOAT', { default: 0.4, min: 0.01, max: 0.99, step: 0.01 }],
    high_threshold: ['FLOAT', { default: 0.8, min: 0.01, max: 0.99, step: 0.01 }],
  },
  outputs: ['IMAGE'],
  flags: plainFlags,
  run({ image, low_threshold, high_threshold }) {
    if (low_threshold > high_threshold)
      throw new StableDiffusionError(
        'invalid-argument',
        `Canny's low threshold ${low_threshold} is above the high one, ${high_threshold}. Exchange them.`,
      );
    return [cannyEdges(image, low_threshold, high_threshold)];
  },
});

const imageQuantizeNode = defineNode({
  name: 'ImageQuantize',
  displayName: null,
  category: 'image/postprocessing',
  module: 'comfy_extras.nodes_post_processing',
  required: {
    image: ['IMAGE', {}],
    colors: ['INT', { default: 256, min: 1, max: 256, step: 1 }],
    dither: [
      'COMBO',
      { multiselect: false, options: ['none', 'floyd-steinberg', 'bayer-2', 'bayer-4', 'bayer-8', 'bayer-16'] },
    ],
  },
  outputs: ['IMAGE'],
  flags: plainFlags,
  run: ({ image, colors, dither }) => [quantized(withChannels(image, 3), colors, dither)],
});

const imageBlurNode = defineNode({
  name: 'ImageBlur',
  displayName: null,
  category: 'image/postprocessing',
  module: 'comfy_extras.nodes_post_processing',
  required: {
    image: ['IMAGE', {}],
    blur_radius: ['INT', { default: 1, min: 1, max: 31, step: 1 }],
    sigma: ['FLOAT', { default: 1, min: 0.1, max: 10, step: 0.1 }],
  },
  outputs: ['IMAGE'],
  flags: plainFlags,
  run: ({ image, blur_radius, sigma }) => [blurred(image, blur_radius, sigma)],
});

const imageSharpenNode = defineNode({
  name: 'ImageSharpen',
  displayName: null,
  category: 'image/postprocessing',
  module: 'comfy_extras.nodes_post_processing',
  required: {
    image: ['IMAGE', {}],
    sharpen_radius: ['INT', { default: 1, min: 1, max: 31, step: 1 }],
    sigma: ['FLOAT', { default: 1, min: 0.1, max: 10, step: 0.01 }],
    alpha: ['FLOAT', { default: 1, min: 0, max: 5, step: 0.01 }],
  },
  outputs: ['IMAGE'],
  flags: plainFlags,
  run: ({ image, sharpen_radius, sigma, alpha }) => [sharpened(image, sharpen_radius, sigma, alpha)],
});

const imageCompositeMaskedNode = defineNode({
  name: 'ImageCompositeMasked',
  displayName: 'ImageCompositeMasked',
  category: 'image',
  module: 'comfy_extras.nodes_mask',
  required: {
    destination: ['IMAGE'],
    source: ['IMAGE'],
    x: ['INT', { default: 0, min: 0, max: 16384, step: 1 }],
    y: ['INT', { default: 0, min: 0, max: 16384, step: 1 }],
    resize_source: ['BOOLEAN', { default: false }],
  },
  optional: {
    mask: ['MASK'],
  },
  outputs: ['IMAGE'],
  run({ destination, source, x, y, resize_source, mask }) {
    const own = channelsFirst(withChannels(source, destination.shape[3] ?? 3));
    const options = { x, y, unit: 1, resizeSource: resize_source, mask };
    return [channelsLast(composite(channelsFirst(destination), own, options))];
  },
});

const splitImageWithAlphaNode = defineNode({
  name: 'SplitImageWithAlpha',
  displayName: 'Split Image with Alpha',
  category: 'mask/compositing',
  module: 'comfy_extras.nodes_compositing',
  required: {
    image: ['IMAGE', {}],
  },
  outputs: ['IMAGE', 'MASK'],
  flags: plainFlags,
  run({ image }) {
    const [batch = 1, height = 1, width = 1, channels = 3] = image.shape;
    const count = batch * height * width;
    const alpha = Float32Array.from({ length: count }, (_, i) =>
      channels > 3 ? 1 - (image.data[i * channels + 3] as number) : 0,
    );
    return [withChannels(image, 3), float32([batch, height, width], alpha)];
  },
});

const joinImageWithAlphaNode = defineNode({
  name: 'JoinImageWithAlpha',
  displayName: 'Join Image with Alpha',
  category: 'mask/compositing',
  module: 'comfy_extras.nodes_compositing',
  required: {
    image: ['IMAGE', {}],
    alpha: ['MASK', {}],
  },
  outputs: ['IMAGE'],
  flags: plainFlags,
  run({ image, alpha }) {
    const [own = 1, height = 1, width = 1] = image.shape;
    const mask = fitSize(fourAxes(alpha), height, width);
    const batch = Math.min(own, mask.shape[0] ?? 1);
    const pixels = toBatch(withChannels(withChannels(image, 3), 4), batch);
    const masks = toBatch(mask, batch);
    return [mapped(pixels, (value, i) => (i % 4 === 3 ? 1 - (masks.data[i >> 2] as number) : value))];
  },
});

export const pictureEffectNodes: readonly NodeType[] = [
  cannyNode,
  imageQuantizeNode,
  imageBlendNode,
  imageBlurNode,
  imageSharpenNode,
  imageCompositeMaskedNode,
  splitImageWithAlphaNode,
  joinImageWithAlphaNode,
];
