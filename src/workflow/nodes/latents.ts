/** Nodes that make latents, and change their size, place and batch. */

import { defineNode, type NodeType, plainFlags } from '../definition.ts';
import { zeros } from '../../tensor/tensor.ts';
import { fourAxes } from '../composite.ts';
import { flipped, type Float32, joined, part, repeated, rotated, slice } from '../grids.ts';
import { maskSlice, maskRepeated } from '../latent-parts.ts';
import { floatBytes } from '../memory-budget.ts';
import { roundHalfEven } from '../../tensor/round-half-even.ts';
import { likeShape, upscale } from '../upscale.ts';
import { bytesOfValue, type LatentValue } from '../values.ts';

const emptyLatentImageNode = defineNode({
  name: 'EmptyLatentImage',
  displayName: 'Empty Latent Image',
  category: 'latent',
  module: 'nodes',
  required: {
    width: ['INT', { default: 512, min: 16, max: 16384, step: 8 }],
    height: ['INT', { default: 512, min: 16, max: 16384, step: 8 }],
    batch_size: ['INT', { default: 1, min: 1, max: 4096 }],
  },
  outputs: ['LATENT'],
  makes: ({ width, height, batch_size }) => floatBytes(batch_size, 4, height >> 3, width >> 3),
  run: ({ width, height, batch_size }) => [{ samples: zeros('float32', [batch_size, 4, height >> 3, width >> 3]) }],
});

interface Size {
  readonly width: number;
  readonly height: number;
}

/** What an enlarged latent takes, with a copy on the way; its mask stays as it is. */
export function enlargedBytes(latent: LatentValue, { width, height }: Size): number {
  const [batch = 1, channels = 4, h = 1, w = 1] = latent.samples.shape;
  return bytesOfValue(latent) + floatBytes(batch, channels, Math.max(height * width, h * w), 2);
}

/** In latent elements; a side of 0 pixels follows the other one. */
function scaledSize({ shape: [, , h = 1, w = 1] }: Float32, width: number, height: number): Size {
  if (width === 0 && height === 0) return { width: w, height: h };
  const [across, down] =
    width === 0
      ? [Math.max(64, roundHalfEven((w * Math.max(64, height)) / h)), Math.max(64, height)]
      : height === 0
        ? [Math.max(64, width), Math.max(64, roundHalfEven((h * Math.max(64, width)) / w))]
        : [Math.max(64, width), Math.max(64, height)];
  return { width: across >> 3, height: down >> 3 };
}

export const sizeBy = ({ shape: [, , h = 1, w = 1] }: Float32, scale: number): Size => ({
  width: roundHalfEven(w * scale),
  height: roundHalfEven(h * scale),
});

const latentUpscaleNode = defineNode({
  name: 'LatentUpscale',
  displayName: 'Upscale Latent',
  category: 'latent',
  module: 'nodes',
  required: {
    samples: ['LATENT'],
    upscale_method: [['nearest-exact', 'bilinear', 'area', 'bicubic', 'bislerp']],
    width: ['INT', { default: 512, min: 0, max: 16384, step: 8 }],
    height: ['INT', { default: 512, min: 0, max: 16384, step: 8 }],
    crop: [['disabled', 'center']],
  },
  outputs: ['LATENT'],
  makes: ({ samples, width, height }) => enlargedBytes(samples, scaledSize(samples.samples, width, height)),
  run({ samples, upscale_method, width, height, crop }) {
    if (width === 0 && height === 0) return [samples];
    const size = scaledSize(samples.samples, width, height);
    return [{ ...samples, samples: upscale(samples.samples, { ...size, method: upscale_method, crop }) }];
  },
});

const latentUpscaleByNode = defineNode({
  name: 'LatentUpscaleBy',
  displayName: 'Upscale Latent By',
  category: 'latent',
  module: 'nodes',
  required: {
    samples: ['LATENT'],
    upscale_method: [['nearest-exact', 'bilinear', 'area', 'bicubic', 'bislerp']],
    scale_by: ['FLOAT', { default: 1.5, min: 0.01, max: 8, step: 0.01 }],
  },
  outputs: ['LATENT'],
  makes: ({ samples, scale_by }) => enlargedBytes(samples, sizeBy(samples.samples, scale_by)),
  run({ samples, upscale_method, scale_by }) {
    const size = sizeBy(samples.samples, scale_by);
    return [{ ...samples, samples: upscale(samples.samples, { ...size, method: upscale_method }) }];
  },
});

const latentFromBatchNode = defineNode({
  name: 'LatentFromBatch',
  displayName: 'Latent From Batch',
  category: 'latent/batch',
  module: 'nodes',
  required: {
    samples: ['LATENT'],
    batch_index: ['INT', { default: 0, min: 0, max: 63 }],
    length: ['INT', { default: 1, min: 1, max: 64 }],
  },
  outputs: ['LATENT'],
  run({ samples, batch_index, length }) {
    const count = samples.samples.shape[0] ?? 1;
    const start = Math.min(count - 1, batch_index);
    const own = slice(samples.samples, batch_index, length);
    const indices = samples.batchIndex ?? Array.from({ length: count }, (_, i) => i);
    return [
      {
        samples: own,
        noiseMask: samples.noiseMask && maskSlice(samples.noiseMask, count, start, own.shape[0] ?? 1),
        batchIndex: indices.slice(start, start + (own.shape[0] ?? 1)),
      },
    ];
  },
});

const repeatLatentBatchNode = defineNode({
  name: 'RepeatLatentBatch',
  displayName: 'Repeat Latent Batch',
  category: 'latent/batch',
  module: 'nodes',
  required: {
    samples: ['LATENT'],
    amount: ['INT', { default: 1, min: 1, max: 64 }],
  },
  outputs: ['LATENT'],
  makes: ({ samples, amount }) => amount * bytesOfValue(samples),
  run({ samples, amount }) {
    const { batchIndex, noiseMask } = samples;
    const [least, most] = (batchIndex ?? []).reduce(
      ([low, high], index) => [Math.min(low, index), Math.max(high, index)] as const,
      [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY] as const,
    );
    const offset = most - least + 1;
    return [
      {
        samples: repeated(samples.samples, amount),
        noiseMask: noiseMask && maskRepeated(noiseMask, samples.samples.shape[0] ?? 1, amount),
        batchIndex:
          batchIndex && Array.from({ length: amount }, (_, i) => batchIndex.map((index) => index + i * offset)).flat(),
      },
    ];
  },
});

const setLatentNoiseMaskNode = defineNode({
  name: 'SetLatentNoiseMask',
  displayName: 'Set Latent Noise Mask',
  category: 'latent/inpaint',
  module: 'nodes',
  required: {
    samples: ['LATENT'],
    mask: ['MASK'],
  },
  outputs: ['LATENT'],
  run: ({ samples, mask }) => [{ ...samples, noiseMask: fourAxes(mask) }],
});

const latentRotateNode = defineNode({
  name: 'LatentRotate',
  displayName: 'Rotate Latent',
  category: 'latent/transform',
  module: 'nodes',
  required: {
    samples: ['LATENT'],
    rotation: [['none', '90 degrees', '180 degrees', '270 degrees']],
  },
  outputs: ['LATENT'],
  run: ({ samples, rotation }) => [{ ...samples, samples: rotated(samples.samples, rotation, false) }],
});

const latentFlipNode = defineNode({
  name: 'LatentFlip',
  displayName: 'Flip Latent',
  category: 'latent/transform',
  module: 'nodes',
  required: {
    samples: ['LATENT'],
    flip_method: [['x-axis: vertically', 'y-axis: horizontally']],
  },
  outputs: ['LATENT'],
  run: ({ samples, flip_method }) => [{ ...samples, samples: flipped(samples.samples, flip_method, false) }],
});

/**
 * The range of a crop along an axis of `whole` elements: it starts at most 8 before the end. Of fewer than 8 elements that start is negative, and
 * counts from the end, as Python's slices do.
 */
function croppedRange(start: number, length: number, whole: number): readonly [from: number, to: number] {
  const from = Math.min(start, whole - 8);
  const at = (index: number): number => Math.max(0, Math.min(whole, index < 0 ? index + whole : index));
  return [at(from), Math.max(at(from), at(from + length))];
}

const latentCropNode = defineNode({
  name: 'LatentCrop',
  displayName: 'Crop Latent',
  category: 'latent/transform',
  module: 'nodes',
  required: {
    samples: ['LATENT'],
    width: ['INT', { default: 512, min: 64, max: 16384, step: 8 }],
    height: ['INT', { default: 512, min: 64, max: 16384, step: 8 }],
    x: ['INT', { default: 0, min: 0, max: 16384, step: 8 }],
    y: ['INT', { default: 0, min: 0, max: 16384, step: 8 }],
  },
  outputs: ['LATENT'],
  run({ samples, width, height, x, y }) {
    const [, , h = 1, w = 1] = samples.samples.shape;
    const [left, right] = croppedRange(x >> 3, width >> 3, w);
    const [top, bottom] = croppedRange(y >> 3, height >> 3, h);
    const area = { x: left, y: top, width: right - left, height: bottom - top };
    return [{ ...samples, samples: part(samples.samples, false, area) }];
  },
});

const latentBatchNode = defineNode({
  name: 'LatentBatch',
  displayName: null,
  category: 'latent/batch',
  module: 'comfy_extras.nodes_latent',
  required: {
    samples1: ['LATENT', {}],
    samples2: ['LATENT', {}],
  },
  outputs: ['LATENT'],
  flags: plainFlags,
  run({ samples1, samples2 }) {
    const indices = ({ samples, batchIndex }: typeof samples1): readonly number[] =>
      batchIndex ?? Array.from({ length: samples.shape[0] ?? 1 }, (_, i) => i);
    const second = likeShape(samples2.samples, samples1.samples.shape, false);
    return [
      {
        ...samples1,
        samples: joined(samples1.samples, second),
        batchIndex: [...indices(samples1), ...indices(samples2)],
      },
    ];
  },
});

const latentBatchSeedBehaviorNode = defineNode({
  name: 'LatentBatchSeedBehavior',
  displayName: null,
  category: 'latent/advanced',
  module: 'comfy_extras.nodes_latent',
  required: {
    samples: ['LATENT', {}],
    seed_behavior: ['COMBO', { default: 'fixed', multiselect: false, options: ['random', 'fixed'] }],
  },
  outputs: ['LATENT'],
  flags: plainFlags,
  run({ samples, seed_behavior }) {
    const count = samples.samples.shape[0] ?? 1;
    const first = samples.batchIndex?.[0] ?? 0;
    const batchIndex = seed_behavior === 'fixed' ? Array.from({ length: count }, () => first) : undefined;
    return [{ ...samples, batchIndex }];
  },
});

export const latentNodes: readonly NodeType[] = [
  emptyLatentImageNode,
  latentUpscaleNode,
  latentUpscaleByNode,
  latentFromBatchNode,
  repeatLatentBatchNode,
  setLatentNoiseMaskNode,
  latentRotateNode,
  latentFlipNode,
  latentCropNode,
  latentBatchNode,
  latentBatchSeedBehaviorNode,
];
