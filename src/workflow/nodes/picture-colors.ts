/** Nodes of morphology, of luma and chroma, and of Porter and Duff's compositing. */

import { StableDiffusionError } from '../../errors.ts';
import { joinBatches, takeBatch } from '../../tensor/batches.ts';
import { channelMean, fromLumaChroma, lumaChroma, spread } from '../luma-chroma.ts';
import { defineNode, type NodeType, plainFlags } from '../definition.ts';
import { morphed } from '../morphology.ts';
import { channelsFirst, channelsLast } from '../pictures.ts';
import { composed } from '../porter-duff.ts';
import { upscaleImage } from '../upscale.ts';
import { bytesOfValue } from '../values.ts';

const morphologyNode = defineNode({
  name: 'Morphology',
  displayName: 'ImageMorphology',
  category: 'image/postprocessing',
  module: 'comfy_extras.nodes_morphology',
  required: {
    image: ['IMAGE', {}],
    operation: [
      'COMBO',
      { multiselect: false, options: ['erode', 'dilate', 'open', 'close', 'gradient', 'bottom_hat', 'top_hat'] },
    ],
    kernel_size: ['INT', { default: 3, min: 3, max: 999, step: 1 }],
  },
  outputs: ['IMAGE'],
  flags: plainFlags,
  run: ({ image, operation, kernel_size }) => [channelsLast(morphed(channelsFirst(image), operation, kernel_size))],
});

const imageRGBToYUVNode = defineNode({
  name: 'ImageRGBToYUV',
  displayName: null,
  category: 'image/batch',
  module: 'comfy_extras.nodes_morphology',
  required: {
    image: ['IMAGE', {}],
  },
  outputs: [
    { type: 'IMAGE', name: 'Y' },
    { type: 'IMAGE', name: 'U' },
    { type: 'IMAGE', name: 'V' },
  ],
  flags: plainFlags,
  makes: ({ image }) => 3 * bytesOfValue(image),
  run: ({ image }) => lumaChroma(image).map((plane) => spread(plane, image.shape[3] ?? 3)),
});

const imageYUVToRGBNode = defineNode({
  name: 'ImageYUVToRGB',
  displayName: null,
  category: 'image/batch',
  module: 'comfy_extras.nodes_morphology',
  required: {
    Y: ['IMAGE', {}],
    U: ['IMAGE', {}],
    V: ['IMAGE', {}],
  },
  outputs: ['IMAGE'],
  flags: plainFlags,
  run: ({ Y, U, V }) => [fromLumaChroma(channelMean(Y), channelMean(U), channelMean(V))],
});

const porterDuffImageCompositeNode = defineNode({
  name: 'PorterDuffImageComposite',
  displayName: 'Porter-Duff Image Composite',
  category: 'mask/compositing',
  module: 'comfy_extras.nodes_compositing',
  required: {
    source: ['IMAGE', {}],
    source_alpha: ['MASK', {}],
    destination: ['IMAGE', {}],
    destination_alpha: ['MASK', {}],
    mode: [
      'COMBO',
      {
        default: 'DST',
        multiselect: false,
        options: [
          'ADD',
          'CLEAR',
          'DARKEN',
          'DST',
          'DST_ATOP',
          'DST_IN',
          'DST_OUT',
          'DST_OVER',
          'LIGHTEN',
          'MULTIPLY',
          'OVERLAY',
          'SCREEN',
          'SRC',
          'SRC_ATOP',
          'SRC_IN',
          'SRC_OUT',
          'SRC_OVER',
          'XOR',
        ],
      },
    ],
  },
  outputs: ['IMAGE', 'MASK'],
  flags: plainFlags,
  run({ source, source_alpha, destination, destination_alpha, mode }) {
    if (source.shape[3] !== destination.shape[3])
      throw new StableDiffusionError(
        'shape-mismatch',
        `The source has ${source.shape[3]} channels and the destination ${destination.shape[3]}; they must have as many.`,
      );
    const [, height = 1, width = 1] = destination.shape;
    const fit = (image: typeof source) =>
      image.shape[1] === height && image.shape[2] === width
        ? image
        : upscaleImage(image, { width, height, method: 'bicubic', crop: 'center' });
    const alpha = (mask: typeof source) => fit({ ...mask, shape: [...mask.shape, 1] });
    const all = [fit(source), alpha(source_alpha), fit(destination), alpha(destination_alpha)] as const;
    const count = Math.min(...all.map(({ shape }) => shape[0] ?? 1));
    const made = Array.from({ length: count }, (_, i) => {
      const [s, sa, d, da] = all.map((value) => takeBatch(value, i, i + 1)) as [
        typeof source,
        typeof source,
        typeof source,
        typeof source,
      ];
      return composed(mode, { image: s, mask: sa }, { image: d, mask: da });
    });
    const mask = joinBatches(made.map((one) => one.mask));
    return [joinBatches(made.map((one) => one.image)), { ...mask, shape: mask.shape.slice(0, 3) }];
  },
});

export const pictureColorNodes: readonly NodeType[] = [
  morphologyNode,
  imageRGBToYUVNode,
  imageYUVToRGBNode,
  porterDuffImageCompositeNode,
];
