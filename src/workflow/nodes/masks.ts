/** Nodes that make and change masks. */

import { defineNode, type NodeType } from '../definition.ts';
import { StableDiffusionError } from '../../errors.ts';
import { float32 } from '../../tensor/tensor.ts';
import { mapped, part } from '../grids.ts';
import { floatBytes } from '../memory-budget.ts';
import { feathered, grown, maskComposite } from '../masks.ts';
import { savePictures } from '../pictures.ts';
import { roundHalfEven } from '../../tensor/round-half-even.ts';
import { temporaryPrefix } from '../temporary-prefix.ts';
import { maskPicture } from '../mask-picture.ts';

const maskToImageNode = defineNode({
  name: 'MaskToImage',
  displayName: 'Convert Mask to Image',
  category: 'mask',
  module: 'comfy_extras.nodes_mask',
  required: {
    mask: ['MASK'],
  },
  outputs: ['IMAGE'],
  makes: ({ mask }) => 3 * mask.data.byteLength,
  run: ({ mask }) => [maskPicture(mask)],
});

const imageToMaskNode = defineNode({
  name: 'ImageToMask',
  displayName: 'Convert Image to Mask',
  category: 'mask',
  module: 'comfy_extras.nodes_mask',
  required: {
    image: ['IMAGE'],
    channel: [['red', 'green', 'blue', 'alpha']],
  },
  outputs: ['MASK'],
  run({ image, channel }) {
    const [batch = 1, height = 1, width = 1, channels = 3] = image.shape;
    const index = ['red', 'green', 'blue', 'alpha'].indexOf(channel);
    if (index >= channels)
      throw new StableDiffusionError('invalid-argument', `The picture has ${channels} channels, and no ${channel}.`);
    const data = Float32Array.from(
      { length: batch * height * width },
      (_, i) => image.data[i * channels + index] as number,
    );
    return [float32([batch, height, width], data)];
  },
});

const imageColorToMaskNode = defineNode({
  name: 'ImageColorToMask',
  displayName: 'ImageColorToMask',
  category: 'mask',
  module: 'comfy_extras.nodes_mask',
  required: {
    image: ['IMAGE'],
    color: ['INT', { default: 0, min: 0, max: 16777215, step: 1, display: 'color' }],
  },
  outputs: ['MASK'],
  run({ image, color }) {
    const [batch = 1, height = 1, width = 1, channels = 3] = image.shape;
    const byte = (i: number): number =>
      roundHalfEven(Math.fround(Math.min(1, Math.max(0, image.data[i] as number)) * 255));
    const data = Float32Array.from({ length: batch * height * width }, (_, i) => {
      const at = i * channels;
      return Number((byte(at) << 16) + (byte(at + 1) << 8) + byte(at + 2) === color);
    });
    return [float32([batch, height, width], data)];
  },
});

const solidMaskNode = defineNode({
  name: 'SolidMask',
  displayName: 'SolidMask',
  category: 'mask',
  module: 'comfy_extras.nodes_mask',
  required: {
    value: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.01 }],
    width: ['INT', { default: 512, min: 1, max: 16384, step: 1 }],
    height: ['INT', { default: 512, min: 1, max: 16384, step: 1 }],
  },
  outputs: ['MASK'],
  makes: ({ width, height }) => floatBytes(height, width),
  run: ({ value, width, height }) => [float32([1, height, width], new Float32Array(height * width).fill(value))],
});

const invertMaskNode = defineNode({
  name: 'InvertMask',
  displayName: 'InvertMask',
  category: 'mask',
  module: 'comfy_extras.nodes_mask',
  required: {
    mask: ['MASK'],
  },
  outputs: ['MASK'],
  run: ({ mask }) => [mapped(mask, (value) => 1 - value)],
});

const cropMaskNode = defineNode({
  name: 'CropMask',
  displayName: 'CropMask',
  category: 'mask',
  module: 'comfy_extras.nodes_mask',
  required: {
    mask: ['MASK'],
    x: ['INT', { default: 0, min: 0, max: 16384, step: 1 }],
    y: ['INT', { default: 0, min: 0, max: 16384, step: 1 }],
    width: ['INT', { default: 512, min: 1, max: 16384, step: 1 }],
    height: ['INT', { default: 512, min: 1, max: 16384, step: 1 }],
  },
  outputs: ['MASK'],
  run: ({ mask, x, y, width, height }) => [part(mask, false, { x, y, width, height })],
});

const maskCompositeNode = defineNode({
  name: 'MaskComposite',
  displayName: 'MaskComposite',
  category: 'mask',
  module: 'comfy_extras.nodes_mask',
  required: {
    destination: ['MASK'],
    source: ['MASK'],
    x: ['INT', { default: 0, min: 0, max: 16384, step: 1 }],
    y: ['INT', { default: 0, min: 0, max: 16384, step: 1 }],
    operation: [['multiply', 'add', 'subtract', 'and', 'or', 'xor']],
  },
  outputs: ['MASK'],
  run: ({ destination, source, x, y, operation }) => [maskComposite(destination, source, { x, y, operation })],
});

const featherMaskNode = defineNode({
  name: 'FeatherMask',
  displayName: 'FeatherMask',
  category: 'mask',
  module: 'comfy_extras.nodes_mask',
  required: {
    mask: ['MASK'],
    left: ['INT', { default: 0, min: 0, max: 16384, step: 1 }],
    top: ['INT', { default: 0, min: 0, max: 16384, step: 1 }],
    right: ['INT', { default: 0, min: 0, max: 16384, step: 1 }],
    bottom: ['INT', { default: 0, min: 0, max: 16384, step: 1 }],
  },
  outputs: ['MASK'],
  run: ({ mask, left, top, right, bottom }) => [feathered(mask, { left, top, right, bottom })],
});

const growMaskNode = defineNode({
  name: 'GrowMask',
  displayName: 'GrowMask',
  category: 'mask',
  module: 'comfy_extras.nodes_mask',
  required: {
    mask: ['MASK'],
    expand: ['INT', { default: 0, min: -16384, max: 16384, step: 1 }],
    tapered_corners: ['BOOLEAN', { default: true }],
  },
  outputs: ['MASK'],
  run: ({ mask, expand, tapered_corners }) => [grown(mask, expand, tapered_corners)],
});

const thresholdMaskNode = defineNode({
  name: 'ThresholdMask',
  displayName: 'ThresholdMask',
  category: 'mask',
  module: 'comfy_extras.nodes_mask',
  required: {
    mask: ['MASK'],
    value: ['FLOAT', { default: 0.5, min: 0, max: 1, step: 0.01 }],
  },
  outputs: ['MASK'],
  run: ({ mask, value }) => [mapped(mask, (one) => Number(one > Math.fround(value)))],
});

const maskPreviewNode = defineNode({
  name: 'MaskPreview',
  displayName: 'MaskPreview',
  category: 'mask',
  module: 'comfy_extras.nodes_mask',
  required: {
    mask: ['MASK'],
  },
  hidden: { prompt: 'PROMPT', extra_pnginfo: 'EXTRA_PNGINFO' },
  outputs: [],
  outputNode: true,
  makes: ({ mask }) => 3 * mask.data.byteLength,
  async run({ mask }, context) {
    const prefix = `ComfyUI${temporaryPrefix(context)}`;
    return { ui: { images: await savePictures(maskPicture(mask), { folder: 'temp', prefix }, context) } };
  },
});

export const maskNodes: readonly NodeType[] = [
  maskToImageNode,
  imageToMaskNode,
  imageColorToMaskNode,
  solidMaskNode,
  invertMaskNode,
  cropMaskNode,
  maskCompositeNode,
  featherMaskNode,
  growMaskNode,
  thresholdMaskNode,
  maskPreviewNode,
];
