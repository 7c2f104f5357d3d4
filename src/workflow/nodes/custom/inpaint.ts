/** Nodes for inpainting of comfyui-inpaint-nodes: masks grown and shrunk, what lies under them, colours, Fooocus's patch for SDXL. */

import { type InpaintPatchValue, inpaintPatch, withFooocusInpaint } from '../../fooocus-inpaint.ts';
import { defineNode, type NodeType, plainFlags } from '../../definition.ts';
import { clamped, mapped } from '../../grids.ts';
import { inpaintConditioning } from '../../inpaint-latents.ts';
import { blurKinds, blurredUnder, colorsMatched, expandedMask, neutralUnder, shrunkMask } from '../../masked-areas.ts';
import { fitSize } from '../../sampling/entry-inputs.ts';
import { refuseSetting } from '../../sampling/refuse-setting.ts';
import type { Float32 } from '../../grids.ts';
import type { LatentValue } from '../../values.ts';
import { StableDiffusionError } from '../../../errors.ts';

const module = 'custom_nodes.comfyui-inpaint-nodes';
const category = 'inpaint';
const pixels = (standard: number, min = 0, max = 8096) => ['INT', { default: standard, min, max, step: 1 }] as const;
const blurType = ['COMBO', { default: 'gaussian', multiselect: false, options: blurKinds }] as const;
const maskOut = [{ type: 'MASK', name: 'mask' }];
const imageOut = [{ type: 'IMAGE', name: 'image' }];

const expandMaskNode = defineNode({
  name: 'INPAINT_ExpandMask',
  displayName: 'Expand Mask',
  category,
  module,
  required: { mask: ['MASK', {}], grow: pixels(16), blur: pixels(7), blur_type: blurType },
  outputs: maskOut,
  flags: plainFlags,
  run: ({ mask, grow, blur, blur_type }) => [expandedMask(mask, grow, blur, blur_type)],
});

const shrinkMaskNode = defineNode({
  name: 'INPAINT_ShrinkMask',
  displayName: 'Shrink Mask',
  category,
  module,
  required: { mask: ['MASK', {}], shrink: pixels(16), blur: pixels(7), blur_type: blurType },
  outputs: maskOut,
  flags: plainFlags,
  run: ({ mask, shrink, blur, blur_type }) => [shrunkMask(mask, shrink, blur, blur_type)],
});

const stabilizeMaskNode = defineNode({
  name: 'INPAINT_StabilizeMask',
  displayName: 'Stabilize Mask',
  category,
  module,
  required: { mask: ['MASK', {}], epsilon: ['FLOAT', { default: 0.01, min: 0, max: 1, step: 0.0001 }] },
  outputs: maskOut,
  flags: plainFlags,
  run: ({ mask, epsilon }) => [mapped(mask, (value) => (value > 1 - epsilon ? 1 : value))],
});

const denoiseToCompositingMaskNode = defineNode({
  name: 'INPAINT_DenoiseToCompositingMask',
  displayName: 'Denoise to Compositing Mask',
  category,
  module,
  required: {
    mask: ['MASK', {}],
    offset: ['FLOAT', { default: 0.1, min: 0, max: 1, step: 0.01 }],
    threshold: ['FLOAT', { default: 0.2, min: 0.01, max: 1, step: 0.01 }],
  },
  outputs: maskOut,
  flags: plainFlags,
  run({ mask, offset, threshold }) {
    if (threshold <= offset)
      throw new StableDiffusionError(
        'invalid-argument',
        `The threshold ${threshold} must be above the offset ${offset}.`,
      );
    return [mapped(mask, (value) => clamped((value - offset) / (threshold - offset)))];
  },
});

const maskedFillNode = defineNode({
  name: 'INPAINT_MaskedFill',
  displayName: 'Fill Masked Area',
  category,
  module,
  required: {
    image: ['IMAGE', {}],
    mask: ['MASK', {}],
    fill: ['COMBO', { multiselect: false, options: ['neutral', 'telea', 'navier-stokes'] }],
    falloff: pixels(0, 0, 8191),
  },
  outputs: imageOut,
  flags: plainFlags,
  run({ image, mask, fill, falloff }) {
    if (fill !== 'neutral') refuseSetting('INPAINT_MaskedFill', 'fill', fill, ['neutral']);
    return [neutralUnder(image, mask, falloff)];
  },
});

const maskedBlurNode = defineNode({
  name: 'INPAINT_MaskedBlur',
  displayName: 'Blur Masked Area',
  category,
  module,
  required: { image: ['IMAGE', {}], mask: ['MASK', {}], blur: pixels(255, 3, 8191), falloff: pixels(0, 0, 8191) },
  outputs: imageOut,
  flags: plainFlags,
  run: ({ image, mask, blur, falloff }) => [blurredUnder(image, mask, blur, falloff)],
});

/** A mask in the size of a picture. */
const maskFor = (mask: Float32, { shape: [, height = 1, width = 1] }: Float32): Float32 => {
  const [count = 1, h = 1, w = 1] = mask.shape;
  const sized = fitSize({ ...mask, shape: [count, 1, h, w] }, height, width);
  return { ...sized, shape: [count, height, width] };
};

const colorMatchNode = defineNode({
  name: 'INPAINT_ColorMatch',
  displayName: 'Color Match (Masked)',
  category,
  module,
  required: {
    target: ['IMAGE', {}],
    reference: ['IMAGE', {}],
    strength: ['FLOAT', { default: 1, min: 0, max: 1, step: 0.01 }],
  },
  optional: { exclude_mask: ['MASK', {}] },
  outputs: ['IMAGE'],
  flags: plainFlags,
  run({ target, reference, exclude_mask: mask, strength }) {
    if (strength <= 0) return [target];
    const exclude = mask && { target: maskFor(mask, target), reference: maskFor(mask, reference) };
    return [colorsMatched(target, reference, exclude, strength)];
  },
});

const maskBoundingBoxNode = defineNode({
  name: 'INPAINT_MaskBoundingBox',
  displayName: 'Mask Bounding Box',
  category,
  module,
  required: { mask: ['MASK', {}] },
  outputs: ['x', 'y', 'width', 'height'].map((name) => ({ type: 'INT', name })),
  flags: plainFlags,
  run({ mask }) {
    const [, height = 1, width = 1] = mask.shape;
    const places = [...mask.data.subarray(0, height * width).entries()].flatMap(([i, value]) =>
      value === 0 ? [] : [i],
    );
    if (places.length === 0) throw new StableDiffusionError('invalid-argument', 'The mask is empty: it has no box.');
    const [first = 0] = places;
    const [top, bottom] = [Math.floor(first / width), Math.floor((places.at(-1) ?? 0) / width)];
    let [left, right] = [width, 0];
    for (const place of places) {
      left = Math.min(left, place % width);
      right = Math.max(right, place % width);
    }
    return [left, top, right + 1 - left, bottom + 1 - top];
  },
});

const loadFooocusInpaintNode = defineNode({
  name: 'INPAINT_LoadFooocusInpaint',
  displayName: 'Load Fooocus Inpaint',
  category,
  module,
  required: { head: [{ folder: 'inpaint' }], patch: [{ folder: 'inpaint' }] },
  outputs: [{ type: 'INPAINT_PATCH', name: 'inpaint patch' }],
  flags: plainFlags,
  run: async ({ head, patch }, { files }) => [await inpaintPatch(files, head, patch)],
});

const applyFooocusInpaintNode = defineNode({
  name: 'INPAINT_ApplyFooocusInpaint',
  displayName: 'Apply Fooocus Inpaint',
  category,
  module,
  required: { model: ['MODEL', {}], patch: ['INPAINT_PATCH', {}], latent: ['LATENT', {}] },
  outputs: [{ type: 'MODEL', name: 'model' }],
  flags: plainFlags,
  run: ({ model, patch, latent }) => [withFooocusInpaint(model, patch as InpaintPatchValue, latent)],
});

const loadInpaintModelNode = defineNode({
  name: 'INPAINT_LoadInpaintModel',
  displayName: 'Load Inpaint Model',
  category,
  module,
  required: { model_name: [{ folder: 'inpaint' }] },
  outputs: [{ type: 'INPAINT_MODEL', name: 'inpaint model' }],
  flags: plainFlags,
  run({ model_name }) {
    throw new StableDiffusionError(
      'file-unsupported',
      `${model_name}: networks that fill a hole before the model paints (MAT, LaMa) are not supported. Fill with grey or with a blur.`,
    );
  },
});

const vaeEncodeInpaintConditioningNode = defineNode({
  name: 'INPAINT_VAEEncodeInpaintConditioning',
  displayName: 'VAE Encode & Inpaint Conditioning',
  category,
  module,
  required: {
    positive: ['CONDITIONING', {}],
    negative: ['CONDITIONING', {}],
    vae: ['VAE', {}],
    pixels: ['IMAGE', {}],
    mask: ['MASK', {}],
  },
  outputs: [
    { type: 'CONDITIONING', name: 'positive' },
    { type: 'CONDITIONING', name: 'negative' },
    { type: 'LATENT', name: 'latent_inpaint' },
    { type: 'LATENT', name: 'latent_samples' },
  ],
  flags: plainFlags,
  async run({ positive, negative, vae, pixels: picture, mask }, context) {
    const given = { prompts: [positive, negative] as const, vae, pixels: picture, mask, keepsMask: true };
    const [p, n, latent] = await inpaintConditioning(given, context);
    const { noiseMask } = latent as LatentValue;
    const kept = p[0]?.concat_latent_image ?? latent.samples;
    return [p, n, { samples: kept, noiseMask: noiseMask && mapped(noiseMask, Math.round) }, latent];
  },
});

export const inpaintNodes: readonly NodeType[] = [
  expandMaskNode,
  shrinkMaskNode,
  stabilizeMaskNode,
  denoiseToCompositingMaskNode,
  maskedFillNode,
  maskedBlurNode,
  colorMatchNode,
  maskBoundingBoxNode,
  loadFooocusInpaintNode,
  applyFooocusInpaintNode,
  loadInpaintModelNode,
  vaeEncodeInpaintConditioningNode,
];
