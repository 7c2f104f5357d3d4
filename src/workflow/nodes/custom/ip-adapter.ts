/** Nodes of IP-Adapters, as ComfyUI_IPAdapter_plus has them: loaders by file and by preset, and what they do to a model. Faces (FaceID) are not supported. */

import { StableDiffusionError } from '../../../errors.ts';
import type { WorkflowFiles } from '../../context.ts';
import { defineNode, type NodeType } from '../../definition.ts';
import { type Float32, mapped, part } from '../../grids.ts';
import { imageEncoderOf, type ImageEncoderValue } from '../../image-encoder.ts';
import { floatBytes } from '../../memory-budget.ts';
import { weightTypes } from '../../image-prompt-layers.ts';
import {
  combinedPictures,
  imageEmbeds,
  type ImagePromptValue,
  nothingSeen,
  withImagePrompt,
} from '../../image-prompt.ts';
import { joinBatches } from '../../../tensor/batches.ts';
import { toBatch } from '../../sampling/to-batch.ts';
import { refuseSetting } from '../../sampling/refuse-setting.ts';
import { upscaleImage } from '../../upscale.ts';

const module = 'custom_nodes.ComfyUI_IPAdapter_plus';
const range = { default: 0, min: 0, max: 1, step: 0.001 } as const;

async function opened(files: WorkflowFiles, name: string, encoder?: ImageEncoderValue): Promise<ImagePromptValue> {
  return { holdsNetworks: true, source: await files.weights('ipadapter', name), encoder };
}

const ipAdapterModelLoaderNode = defineNode({
  name: 'IPAdapterModelLoader',
  displayName: 'IPAdapter Model Loader',
  category: 'ipadapter/loaders',
  module,
  required: { ipadapter_file: [{ folder: 'ipadapter' }] },
  outputs: ['IPADAPTER'],
  run: async ({ ipadapter_file }, { files }) => [await opened(files, ipadapter_file)],
});

/** Files by preset, for SD v1 and SDXL; undefined if the family has no such file. */
const presets: Readonly<Record<string, readonly [v1: RegExp, xl: RegExp | undefined]>> = {
  'LIGHT - SD1.5 only (low strength)': [/sd15.light(.v11)?\.(safetensors|bin)$/i, undefined],
  'STANDARD (medium strength)': [/ip.adapter.sd15\.(safetensors|bin)$/i, /ip.adapter.sdxl.vit.h\.(safetensors|bin)$/i],
  'VIT-G (medium strength)': [/sd15.vit.g\.(safetensors|bin)$/i, /ip.adapter.sdxl\.(safetensors|bin)$/i],
  'PLUS (high strength)': [/ip.adapter.plus.sd15\.(safetensors|bin)$/i, /plus.sdxl.vit.h\.(safetensors|bin)$/i],
  'PLUS FACE (portraits)': [/plus.face.sd15\.(safetensors|bin)$/i, /plus.face.sdxl.vit.h\.(safetensors|bin)$/i],
  'FULL FACE - SD1.5 only (portraits stronger)': [/full.face.sd15\.(safetensors|bin)$/i, undefined],
};
const encoders = {
  g: /(ViT.bigG.14.*39B.b160k|ipadapter.*sdxl|sdxl.*model)\.(bin|safetensors)/i,
  h: /(ViT.H.14.*s32B.b79K|ipadapter.*sd15|sd1.?5.*model)\.(bin|safetensors)/i,
};

const ipAdapterUnifiedLoaderNode = defineNode({
  name: 'IPAdapterUnifiedLoader',
  displayName: 'IPAdapter Unified Loader',
  category: 'ipadapter',
  module,
  required: { model: ['MODEL'], preset: [Object.keys(presets)] },
  optional: { ipadapter: ['IPADAPTER'] },
  outputs: [
    { type: 'MODEL', name: 'model' },
    { type: 'IPADAPTER', name: 'ipadapter' },
  ],
  async run({ model, preset }, { files }) {
    const lists = await files.lists();
    const isXl = model.network.config.context_dim === 2048;
    const pattern = presets[preset]?.[isXl ? 1 : 0];
    if (!pattern) refuseSetting('IPAdapterUnifiedLoader', 'preset', preset, ['one that is made for SDXL']);
    const found = lists.names('ipadapter').find((name) => pattern.test(name));
    const encoderPattern = preset.startsWith('VIT-G') ? encoders.g : encoders.h;
    const encoder = lists.names('clip_vision').find((name) => encoderPattern.test(name));
    const missing = found === undefined ? 'ipadapter' : encoder === undefined ? 'clip_vision' : undefined;
    if (found === undefined || encoder === undefined)
      throw new StableDiffusionError(
        'not-found',
        `The folder ${missing} has no file for the preset ${preset}. Its name must match ${(missing === 'ipadapter' ? pattern : encoderPattern).source}.`,
      );
    const seen = imageEncoderOf(await files.network('clip_vision', encoder));
    return [model, await opened(files, found, seen)];
  },
});

const ipAdapterNode = defineNode({
  name: 'IPAdapter',
  displayName: 'IPAdapter',
  category: 'ipadapter',
  module,
  required: {
    model: ['MODEL'],
    ipadapter: ['IPADAPTER'],
    image: ['IMAGE'],
    weight: ['FLOAT', { default: 1, min: -1, max: 3, step: 0.05 }],
    start_at: ['FLOAT', range],
    end_at: ['FLOAT', { ...range, default: 1 }],
    weight_type: [['standard', 'prompt is more important', 'style transfer']],
  },
  optional: { attn_mask: ['MASK'] },
  outputs: ['MODEL'],
  async run({ model, ipadapter, image, weight, start_at, end_at, weight_type, attn_mask }, context) {
    const types: Readonly<Record<string, string>> = { standard: 'linear', 'prompt is more important': 'ease out' };
    const adapter = ipadapter as ImagePromptValue;
    const options = {
      adapter,
      embeds: await imageEmbeds({ adapter, encoder: undefined, image }, context),
      weight,
      weightType: types[weight_type] ?? weight_type,
      start: start_at,
      end: end_at,
      mask: attn_mask,
    };
    return [await withImagePrompt(model, options, context)];
  },
});

const ipAdapterAdvancedNode = defineNode({
  name: 'IPAdapterAdvanced',
  displayName: 'IPAdapter Advanced',
  category: 'ipadapter',
  module,
  required: {
    model: ['MODEL'],
    ipadapter: ['IPADAPTER'],
    image: ['IMAGE'],
    weight: ['FLOAT', { default: 1, min: -1, max: 5, step: 0.05 }],
    weight_type: [weightTypes],
    combine_embeds: [['concat', 'add', 'subtract', 'average', 'norm average']],
    start_at: ['FLOAT', range],
    end_at: ['FLOAT', { ...range, default: 1 }],
    embeds_scaling: [['V only', 'K+V', 'K+V w/ C penalty', 'K+mean(V) w/ C penalty']],
  },
  optional: { image_negative: ['IMAGE'], attn_mask: ['MASK'], clip_vision: ['CLIP_VISION'] },
  outputs: ['MODEL'],
  async run({ model, ipadapter, image, weight, weight_type, combine_embeds, start_at, end_at, ...given }, context) {
    const { embeds_scaling, image_negative, attn_mask, clip_vision } = given;
    if (embeds_scaling !== 'V only') refuseSetting('IPAdapterAdvanced', 'embeds_scaling', embeds_scaling, ['V only']);
    const adapter = ipadapter as ImagePromptValue;
    const encoder = clip_vision as ImageEncoderValue | undefined;
    const embeds = await imageEmbeds(
      { adapter, encoder, image, negative: image_negative, combine: combine_embeds },
      context,
    );
    const times = { weight, weightType: weight_type, start: start_at, end: end_at };
    return [await withImagePrompt(model, { adapter, embeds, ...times, mask: attn_mask }, context)];
  },
});

const ipAdapterEncoderNode = defineNode({
  name: 'IPAdapterEncoder',
  displayName: 'IPAdapter Encoder',
  category: 'ipadapter/embeds',
  module,
  required: {
    ipadapter: ['IPADAPTER'],
    image: ['IMAGE'],
    weight: ['FLOAT', { default: 1, min: -1, max: 3, step: 0.01 }],
  },
  optional: { mask: ['MASK'], clip_vision: ['CLIP_VISION'] },
  outputs: [
    { type: 'EMBEDS', name: 'pos_embed' },
    { type: 'EMBEDS', name: 'neg_embed' },
  ],
  async run({ ipadapter, image, weight, mask, clip_vision }, context) {
    if (mask) refuseSetting('IPAdapterEncoder', 'mask', 'a mask', ['no mask']);
    const encoder = clip_vision as ImageEncoderValue | undefined;
    const { positive, negative } = await imageEmbeds(
      { adapter: ipadapter as ImagePromptValue, encoder, image },
      context,
    );
    return [weight === 1 ? positive : mapped(positive, (value) => value * weight), negative];
  },
});

const ipAdapterCombineEmbedsNode = defineNode({
  name: 'IPAdapterCombineEmbeds',
  displayName: 'IPAdapter Combine Embeds',
  category: 'ipadapter/embeds',
  module,
  required: {
    embed1: ['EMBEDS'],
    method: [['concat', 'add', 'subtract', 'average', 'norm average', 'max', 'min']],
  },
  optional: { embed2: ['EMBEDS'], embed3: ['EMBEDS'], embed4: ['EMBEDS'], embed5: ['EMBEDS'] },
  outputs: ['EMBEDS'],
  run({ embed1, method, ...others }) {
    if (method === 'max' || method === 'min')
      refuseSetting('IPAdapterCombineEmbeds', 'method', method, ['concat', 'average']);
    const all = [embed1, others.embed2, others.embed3, others.embed4, others.embed5] as readonly (
      | Float32
      | undefined
    )[];
    return [combinedPictures(joinBatches(all.filter((one) => one !== undefined)), method)];
  },
});

const ipAdapterEmbedsNode = defineNode({
  name: 'IPAdapterEmbeds',
  displayName: 'IPAdapter Embeds',
  category: 'ipadapter/embeds',
  module,
  required: {
    model: ['MODEL'],
    ipadapter: ['IPADAPTER'],
    pos_embed: ['EMBEDS'],
    weight: ['FLOAT', { default: 1, min: -1, max: 3, step: 0.05 }],
    weight_type: [weightTypes],
    start_at: ['FLOAT', range],
    end_at: ['FLOAT', { ...range, default: 1 }],
    embeds_scaling: [['V only', 'K+V', 'K+V w/ C penalty', 'K+mean(V) w/ C penalty']],
  },
  optional: { neg_embed: ['EMBEDS'], attn_mask: ['MASK'], clip_vision: ['CLIP_VISION'] },
  outputs: ['MODEL'],
  async run({ model, ipadapter, pos_embed, weight, weight_type, start_at, end_at, ...given }, context) {
    const { embeds_scaling, neg_embed, attn_mask, clip_vision } = given;
    if (embeds_scaling !== 'V only') refuseSetting('IPAdapterEmbeds', 'embeds_scaling', embeds_scaling, ['V only']);
    const adapter = ipadapter as ImagePromptValue;
    const positive = pos_embed as Float32;
    const encoder = clip_vision as ImageEncoderValue | undefined;
    const negative = (neg_embed as Float32 | undefined) ?? (await nothingSeen({ adapter, encoder }, positive, context));
    const times = { weight, weightType: weight_type, start: start_at, end: end_at };
    const embeds = { positive, negative: toBatch(negative, positive.shape[0] ?? 1) };
    return [await withImagePrompt(model, { adapter, embeds, ...times, mask: attn_mask }, context)];
  },
});

/** What the image encoder looks at. */
const side = 224;

const prepImageForClipVisionNode = defineNode({
  name: 'PrepImageForClipVision',
  displayName: 'Prep Image For ClipVision',
  category: 'ipadapter/utils',
  module,
  required: {
    image: ['IMAGE'],
    interpolation: [['LANCZOS', 'BICUBIC', 'HAMMING', 'BILINEAR', 'BOX', 'NEAREST']],
    crop_position: [['top', 'bottom', 'left', 'right', 'center', 'pad']],
    sharpening: ['FLOAT', { default: 0, min: 0, max: 1, step: 0.05 }],
  },
  outputs: ['IMAGE'],
  makes: ({ image }) => floatBytes(image.shape[0] ?? 1, side, side, 3),
  run({ image, interpolation, crop_position: place, sharpening }) {
    if (interpolation !== 'LANCZOS')
      refuseSetting('PrepImageForClipVision', 'interpolation', interpolation, ['LANCZOS']);
    if (place === 'pad') refuseSetting('PrepImageForClipVision', 'crop_position', place, ['center', 'top', 'left']);
    if (sharpening !== 0) refuseSetting('PrepImageForClipVision', 'sharpening', String(sharpening), ['0']);
    const [, height = 1, width = 1] = image.shape;
    const size = Math.min(height, width);
    const x = place === 'left' ? 0 : place === 'right' ? width - size : (width - size) >> 1;
    const y = place === 'top' ? 0 : place === 'bottom' ? height - size : (height - size) >> 1;
    const square = part(image, true, { x, y, width: size, height: size });
    return [upscaleImage(square, { width: side, height: side, method: 'lanczos', crop: 'disabled' })];
  },
});

export const ipAdapterNodes: readonly NodeType[] = [
  ipAdapterModelLoaderNode,
  ipAdapterUnifiedLoaderNode,
  ipAdapterNode,
  ipAdapterAdvancedNode,
  ipAdapterEncoderNode,
  ipAdapterCombineEmbedsNode,
  ipAdapterEmbedsNode,
  prepImageForClipVisionNode,
];
