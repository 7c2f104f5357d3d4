/** Nodes that join pictures, fit them to sizes, and tell their size. */

import { TorchGenerator } from '../../random/torch-generator.ts';
import { roundHalfEven } from '../../tensor/round-half-even.ts';
import { defineNode, type NodeType } from '../definition.ts';
import { clamped, mapped } from '../grids.ts';
import { floatBytes } from '../memory-budget.ts';
import { fittedInto, stitched } from '../picture-borders.ts';
import { upscaleImage } from '../upscale.ts';

/** The size whose larger side is given. */
function sizeWithin([, height = 1, width = 1]: readonly number[], largest: number) {
  if (height > width) return { width: roundHalfEven((width / height) * largest), height: largest };
  return { width: largest, height: height === width ? largest : roundHalfEven((height / width) * largest) };
}

const imageAddNoiseNode = defineNode({
  name: 'ImageAddNoise',
  displayName: 'ImageAddNoise',
  category: 'image',
  module: 'comfy_extras.nodes_images',
  required: {
    image: ['IMAGE'],
    seed: ['INT', { default: 0, min: 0, max: 18446744073709551615n, control_after_generate: true }],
    strength: ['FLOAT', { default: 0.5, min: 0.0, max: 1.0, step: 0.01 }],
  },
  outputs: ['IMAGE'],
  run({ image, seed, strength }) {
    const noise = new TorchGenerator(seed).randn(image.shape).data;
    return [mapped(image, (value, i) => clamped(value + Math.fround(strength * (noise[i] as number))))];
  },
});

const imageStitchNode = defineNode({
  name: 'ImageStitch',
  displayName: 'Image Stitch',
  category: 'image/transform',
  module: 'comfy_extras.nodes_images',
  required: {
    image1: ['IMAGE'],
    direction: [['right', 'down', 'left', 'up'], { default: 'right' }],
    match_image_size: ['BOOLEAN', { default: true }],
    spacing_width: ['INT', { default: 0, min: 0, max: 1024, step: 2 }],
    spacing_color: [['white', 'black', 'red', 'green', 'blue'], { default: 'white' }],
  },
  optional: {
    image2: ['IMAGE'],
  },
  outputs: ['IMAGE'],
  makes({ image1, image2 }) {
    const [first, second] = [image1.shape, image2?.shape ?? [0]];
    const [batch, channels] = [Math.max(first[0] ?? 1, second[0] ?? 1), 4];
    const sides = (axis: number): number => (first[axis] ?? 1) + (second[axis] ?? 0) + 1024;
    return floatBytes(batch, channels, sides(1), sides(2));
  },
  run: ({ image1, image2, direction, match_image_size, spacing_width, spacing_color }) => [
    image2
      ? stitched(image1, image2, {
          direction,
          matchesSize: match_image_size,
          spacing: spacing_width + (spacing_width % 2),
          color: spacing_color,
        })
      : image1,
  ],
});

const resizeAndPadImageNode = defineNode({
  name: 'ResizeAndPadImage',
  displayName: 'ResizeAndPadImage',
  category: 'image/transform',
  module: 'comfy_extras.nodes_images',
  required: {
    image: ['IMAGE'],
    target_width: ['INT', { default: 512, min: 1, max: 16384, step: 1 }],
    target_height: ['INT', { default: 512, min: 1, max: 16384, step: 1 }],
    padding_color: [['white', 'black']],
    interpolation: [['area', 'bicubic', 'nearest-exact', 'bilinear', 'lanczos']],
  },
  outputs: ['IMAGE'],
  makes: ({ image, target_width, target_height }) =>
    floatBytes(image.shape[0] ?? 1, image.shape[3] ?? 3, target_height, target_width, 2),
  run: ({ image, target_width, target_height, padding_color, interpolation }) => [
    fittedInto(image, {
      width: target_width,
      height: target_height,
      fill: padding_color === 'black' ? 0 : 1,
      method: interpolation,
    }),
  ],
});

const getImageSizeNode = defineNode({
  name: 'GetImageSize',
  displayName: 'Get Image Size',
  category: 'image',
  module: 'comfy_extras.nodes_images',
  required: {
    image: ['IMAGE'],
  },
  hidden: { unique_id: 'UNIQUE_ID' },
  outputs: [
    { type: 'INT', name: 'width' },
    { type: 'INT', name: 'height' },
    { type: 'INT', name: 'batch_size' },
  ],
  run: ({
    image: {
      shape: [batch, height, width],
    },
  }) => [width, height, batch],
});

const imageScaleToMaxDimensionNode = defineNode({
  name: 'ImageScaleToMaxDimension',
  displayName: 'ImageScaleToMaxDimension',
  category: 'image/upscaling',
  module: 'comfy_extras.nodes_images',
  required: {
    image: ['IMAGE'],
    upscale_method: [['area', 'lanczos', 'bilinear', 'nearest-exact', 'bilinear', 'bicubic']],
    largest_size: ['INT', { default: 512, min: 0, max: 16384, step: 1 }],
  },
  outputs: ['IMAGE'],
  makes({ image, largest_size }) {
    return floatBytes(image.shape[0] ?? 1, image.shape[3] ?? 3, largest_size, largest_size, 2);
  },
  run({ image, upscale_method: method, largest_size }) {
    return [upscaleImage(image, { ...sizeWithin(image.shape, largest_size), method })];
  },
});

export const pictureSizeNodes: readonly NodeType[] = [
  imageAddNoiseNode,
  imageStitchNode,
  resizeAndPadImageNode,
  getImageSizeNode,
  imageScaleToMaxDimensionNode,
];
