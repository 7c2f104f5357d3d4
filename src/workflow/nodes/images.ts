/** Nodes that make pictures, and change their size, place and batch. */

import { defineNode, type NodeType, plainFlags } from '../definition.ts';
import { float32 } from '../../tensor/tensor.ts';
import { flipped, type Float32, joined, mapped, part, repeated, rotated, slice, withChannels } from '../grids.ts';
import { floatBytes } from '../memory-budget.ts';
import { padded } from '../picture-effects.ts';
import { roundHalfEven } from '../../tensor/round-half-even.ts';
import { upscaleImage } from '../upscale.ts';

interface Size {
  readonly width: number;
  readonly height: number;
}

/** What an enlarged picture takes, with the copies on the way. */
export const enlargedBytes = (
  { shape: [batch = 1, h = 1, w = 1, channels = 3] }: Float32,
  { width, height }: Size,
): number => floatBytes(batch, channels, Math.max(height * width, h * w), 2);

/** A size of which 0 follows the other side. */
function scaledSize({ shape: [, h = 1, w = 1] }: Float32, width: number, height: number): Size {
  if (width === 0 && height === 0) return { width: w, height: h };
  return {
    width: width || Math.max(1, roundHalfEven((w * height) / h)),
    height: height || Math.max(1, roundHalfEven((h * width) / w)),
  };
}

const sizeBy = ({ shape: [, h = 1, w = 1] }: Float32, scale: number): Size => ({
  width: roundHalfEven(w * scale),
  height: roundHalfEven(h * scale),
});

/** The size of so many times 2^20 pixels. */
const totalSize = (image: Float32, megapixels: number): Size => {
  const [, h = 1, w = 1] = image.shape;
  return sizeBy(image, Math.sqrt(Math.trunc(megapixels * 1024 * 1024) / (w * h)));
};

const imageScaleNode = defineNode({
  name: 'ImageScale',
  displayName: 'Upscale Image',
  category: 'image/upscaling',
  module: 'nodes',
  required: {
    image: ['IMAGE'],
    upscale_method: [['nearest-exact', 'bilinear', 'area', 'bicubic', 'lanczos']],
    width: ['INT', { default: 512, min: 0, max: 16384, step: 1 }],
    height: ['INT', { default: 512, min: 0, max: 16384, step: 1 }],
    crop: [['disabled', 'center']],
  },
  outputs: ['IMAGE'],
  makes: ({ image, width, height }) => enlargedBytes(image, scaledSize(image, width, height)),
  run({ image, upscale_method: method, width, height, crop }) {
    if (width === 0 && height === 0) return [image];
    return [upscaleImage(image, { ...scaledSize(image, width, height), method, crop })];
  },
});

const imageScaleByNode = defineNode({
  name: 'ImageScaleBy',
  displayName: 'Upscale Image By',
  category: 'image/upscaling',
  module: 'nodes',
  required: {
    image: ['IMAGE'],
    upscale_method: [['nearest-exact', 'bilinear', 'area', 'bicubic', 'lanczos']],
    scale_by: ['FLOAT', { default: 1, min: 0.01, max: 8, step: 0.01 }],
  },
  outputs: ['IMAGE'],
  makes: ({ image, scale_by }) => enlargedBytes(image, sizeBy(image, scale_by)),
  run: ({ image, upscale_method: method, scale_by }) => [upscaleImage(image, { ...sizeBy(image, scale_by), method })],
});

const imageScaleToTotalPixelsNode = defineNode({
  name: 'ImageScaleToTotalPixels',
  displayName: null,
  category: 'image/upscaling',
  module: 'comfy_extras.nodes_post_processing',
  required: {
    image: ['IMAGE', {}],
    upscale_method: [
      'COMBO',
      { multiselect: false, options: ['nearest-exact', 'bilinear', 'area', 'bicubic', 'lanczos'] },
    ],
    megapixels: ['FLOAT', { default: 1, min: 0.01, max: 16, step: 0.01 }],
  },
  outputs: ['IMAGE'],
  flags: plainFlags,
  makes: ({ image, megapixels }) => enlargedBytes(image, totalSize(image, megapixels)),
  run: ({ image, upscale_method: method, megapixels }) => [
    upscaleImage(image, { ...totalSize(image, megapixels), method }),
  ],
});

const imageInvertNode = defineNode({
  name: 'ImageInvert',
  displayName: 'Invert Image',
  category: 'image',
  module: 'nodes',
  required: {
    image: ['IMAGE'],
  },
  outputs: ['IMAGE'],
  run: ({ image }) => [mapped(image, (value) => 1 - value)],
});

const imageBatchNode = defineNode({
  name: 'ImageBatch',
  displayName: 'Batch Images',
  category: 'image',
  module: 'nodes',
  required: {
    image1: ['IMAGE'],
    image2: ['IMAGE'],
  },
  outputs: ['IMAGE'],
  run({ image1, image2 }) {
    const channels = Math.max(image1.shape[3] ?? 3, image2.shape[3] ?? 3);
    const [first, second] = [withChannels(image1, channels), withChannels(image2, channels)];
    const [, height = 1, width = 1] = first.shape;
    const isSame = second.shape[1] === height && second.shape[2] === width;
    return [
      joined(first, isSame ? second : upscaleImage(second, { width, height, method: 'bilinear', crop: 'center' })),
    ];
  },
});

const imagePadForOutpaintNode = defineNode({
  name: 'ImagePadForOutpaint',
  displayName: 'Pad Image for Outpainting',
  category: 'image',
  module: 'nodes',
  required: {
    image: ['IMAGE'],
    left: ['INT', { default: 0, min: 0, max: 16384, step: 8 }],
    top: ['INT', { default: 0, min: 0, max: 16384, step: 8 }],
    right: ['INT', { default: 0, min: 0, max: 16384, step: 8 }],
    bottom: ['INT', { default: 0, min: 0, max: 16384, step: 8 }],
    feathering: ['INT', { default: 40, min: 0, max: 16384, step: 1 }],
  },
  outputs: ['IMAGE', 'MASK'],
  makes({ image, left, top, right, bottom }) {
    const [batch = 1, h = 1, w = 1, channels = 3] = image.shape;
    return floatBytes(batch * channels + 1, h + top + bottom, w + left + right);
  },
  run: ({ image, ...borders }) => padded(image, borders),
});

const emptyImageNode = defineNode({
  name: 'EmptyImage',
  displayName: 'EmptyImage',
  category: 'image',
  module: 'nodes',
  required: {
    width: ['INT', { default: 512, min: 1, max: 16384, step: 1 }],
    height: ['INT', { default: 512, min: 1, max: 16384, step: 1 }],
    batch_size: ['INT', { default: 1, min: 1, max: 4096 }],
    color: ['INT', { default: 0, min: 0, max: 16777215, step: 1, display: 'color' }],
  },
  outputs: ['IMAGE'],
  makes: ({ width, height, batch_size }) => floatBytes(batch_size, height, width, 3),
  run({ width, height, batch_size, color }) {
    const rgb = [color >> 16, color >> 8, color].map((value) => (value & 255) / 255);
    const data = Float32Array.from({ length: batch_size * height * width * 3 }, (_, i) => rgb[i % 3] as number);
    return [float32([batch_size, height, width, 3], data)];
  },
});

const imageCropNode = defineNode({
  name: 'ImageCrop',
  displayName: 'Image Crop',
  category: 'image/transform',
  module: 'comfy_extras.nodes_images',
  required: {
    image: ['IMAGE'],
    width: ['INT', { default: 512, min: 1, max: 16384, step: 1 }],
    height: ['INT', { default: 512, min: 1, max: 16384, step: 1 }],
    x: ['INT', { default: 0, min: 0, max: 16384, step: 1 }],
    y: ['INT', { default: 0, min: 0, max: 16384, step: 1 }],
  },
  outputs: ['IMAGE'],
  run({ image, width, height, x, y }) {
    const [, h = 1, w = 1] = image.shape;
    return [part(image, true, { x: Math.min(x, w - 1), y: Math.min(y, h - 1), width, height })];
  },
});

const repeatImageBatchNode = defineNode({
  name: 'RepeatImageBatch',
  displayName: 'RepeatImageBatch',
  category: 'image/batch',
  module: 'comfy_extras.nodes_images',
  required: {
    image: ['IMAGE'],
    amount: ['INT', { default: 1, min: 1, max: 4096 }],
  },
  outputs: ['IMAGE'],
  makes: ({ image, amount }) => amount * image.data.byteLength,
  run: ({ image, amount }) => [repeated(image, amount)],
});

const imageFromBatchNode = defineNode({
  name: 'ImageFromBatch',
  displayName: 'ImageFromBatch',
  category: 'image/batch',
  module: 'comfy_extras.nodes_images',
  required: {
    image: ['IMAGE'],
    batch_index: ['INT', { default: 0, min: 0, max: 4095 }],
    length: ['INT', { default: 1, min: 1, max: 4096 }],
  },
  outputs: ['IMAGE'],
  run: ({ image, batch_index, length }) => [slice(image, batch_index, length)],
});

const imageFlipNode = defineNode({
  name: 'ImageFlip',
  displayName: 'ImageFlip',
  category: 'image/transform',
  module: 'comfy_extras.nodes_images',
  required: {
    image: ['IMAGE'],
    flip_method: [['x-axis: vertically', 'y-axis: horizontally']],
  },
  outputs: ['IMAGE'],
  run: ({ image, flip_method }) => [flipped(image, flip_method, true)],
});

const imageRotateNode = defineNode({
  name: 'ImageRotate',
  displayName: 'ImageRotate',
  category: 'image/transform',
  module: 'comfy_extras.nodes_images',
  required: {
    image: ['IMAGE'],
    rotation: [['none', '90 degrees', '180 degrees', '270 degrees']],
  },
  outputs: ['IMAGE'],
  run: ({ image, rotation }) => [rotated(image, rotation, true)],
});

export const imageNodes: readonly NodeType[] = [
  imageScaleNode,
  imageScaleByNode,
  imageScaleToTotalPixelsNode,
  imageInvertNode,
  imageBatchNode,
  imagePadForOutpaintNode,
  emptyImageNode,
  imageCropNode,
  repeatImageBatchNode,
  imageFromBatchNode,
  imageFlipNode,
  imageRotateNode,
];
