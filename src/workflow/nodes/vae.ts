/** Nodes between latents and pictures. */

import { defineNode, type NodeType, plainFlags } from '../definition.ts';
import { zeros } from '../../tensor/tensor.ts';
import { channelsLast } from '../pictures.ts';
import { decodeLatent, encodePixels, refuseOtherLatents } from '../first-stage.ts';
import { decodeTiled, encodeTiled } from '../first-stage-tiles.ts';
import { floatBytes } from '../memory-budget.ts';
import type { LatentValue } from '../values.ts';
import { withFields } from '../values/conditioning.ts';
import { inpaintLatent, inpaintConditioning } from '../inpaint-latents.ts';

/** RGB of 8 by 8 pixels for each place of a latent. */
function decodedBytes({ samples: { shape } }: LatentValue): number {
  const [batch = 1, , height = 1, width = 1] = shape;
  return floatBytes(batch, 3, 8 * height, 8 * width);
}

const vaeDecodeNode = defineNode({
  name: 'VAEDecode',
  displayName: 'VAE Decode',
  category: 'latent',
  module: 'nodes',
  required: {
    samples: ['LATENT', {}],
    vae: ['VAE', {}],
  },
  outputs: ['IMAGE'],
  makes: ({ samples }) => decodedBytes(samples),
  async run({ samples, vae }, context) {
    refuseOtherLatents(vae, samples);
    return [channelsLast(await decodeLatent(vae, samples.samples, context))];
  },
});

const vaeEncodeNode = defineNode({
  name: 'VAEEncode',
  displayName: 'VAE Encode',
  category: 'latent',
  module: 'nodes',
  required: {
    pixels: ['IMAGE'],
    vae: ['VAE'],
  },
  outputs: ['LATENT'],
  async run({ pixels, vae }, context) {
    return [{ samples: await encodePixels(vae, pixels, context) }];
  },
});

const vaeEncodeForInpaintNode = defineNode({
  name: 'VAEEncodeForInpaint',
  displayName: 'VAE Encode (for Inpainting)',
  category: 'latent/inpaint',
  module: 'nodes',
  required: {
    pixels: ['IMAGE'],
    vae: ['VAE'],
    mask: ['MASK'],
    grow_mask_by: ['INT', { default: 6, min: 0, max: 64, step: 1 }],
  },
  outputs: ['LATENT'],
  async run({ pixels, vae, mask, grow_mask_by }, context) {
    return [await inpaintLatent({ pixels, vae, mask, grow: grow_mask_by }, context)];
  },
});

const inpaintModelConditioningNode = defineNode({
  name: 'InpaintModelConditioning',
  displayName: 'InpaintModelConditioning',
  category: 'conditioning/inpaint',
  module: 'nodes',
  required: {
    positive: ['CONDITIONING'],
    negative: ['CONDITIONING'],
    vae: ['VAE'],
    pixels: ['IMAGE'],
    mask: ['MASK'],
    noise_mask: ['BOOLEAN', { default: true }],
  },
  outputs: [
    { type: 'CONDITIONING', name: 'positive' },
    { type: 'CONDITIONING', name: 'negative' },
    { type: 'LATENT', name: 'latent' },
  ],
  async run({ positive, negative, vae, pixels, mask, noise_mask }, context) {
    return inpaintConditioning({ prompts: [positive, negative], vae, pixels, mask, keepsMask: noise_mask }, context);
  },
});

const instructPixToPixConditioningNode = defineNode({
  name: 'InstructPixToPixConditioning',
  displayName: null,
  category: 'conditioning/instructpix2pix',
  module: 'comfy_extras.nodes_ip2p',
  required: {
    positive: ['CONDITIONING', {}],
    negative: ['CONDITIONING', {}],
    vae: ['VAE', {}],
    pixels: ['IMAGE', {}],
  },
  outputs: [
    { type: 'CONDITIONING', name: 'positive' },
    { type: 'CONDITIONING', name: 'negative' },
    { type: 'LATENT', name: 'latent' },
  ],
  flags: plainFlags,
  async run({ positive, negative, vae, pixels }, context) {
    const seen = await encodePixels(vae, pixels, context);
    const fields = { concat_latent_image: seen };
    const samples = zeros('float32', seen.shape);
    return [withFields(positive, fields), withFields(negative, fields), { samples }];
  },
});

const vaeDecodeTiledNode = defineNode({
  name: 'VAEDecodeTiled',
  displayName: 'VAE Decode (Tiled)',
  category: '_for_testing',
  module: 'nodes',
  required: {
    samples: ['LATENT'],
    vae: ['VAE'],
    tile_size: ['INT', { default: 512, min: 64, max: 4096, step: 32 }],
    overlap: ['INT', { default: 64, min: 0, max: 4096, step: 32 }],
    temporal_size: ['INT', { default: 64, min: 8, max: 4096, step: 4 }],
    temporal_overlap: ['INT', { default: 8, min: 4, max: 4096, step: 4 }],
  },
  outputs: ['IMAGE'],
  makes: ({ samples }) => decodedBytes(samples),
  async run({ samples, vae, tile_size, overlap }, context) {
    refuseOtherLatents(vae, samples);
    return [channelsLast(await decodeTiled(vae, samples.samples, { tileSize: tile_size, overlap }, context))];
  },
});

const vaeEncodeTiledNode = defineNode({
  name: 'VAEEncodeTiled',
  displayName: 'VAE Encode (Tiled)',
  category: '_for_testing',
  module: 'nodes',
  required: {
    pixels: ['IMAGE'],
    vae: ['VAE'],
    tile_size: ['INT', { default: 512, min: 64, max: 4096, step: 64 }],
    overlap: ['INT', { default: 64, min: 0, max: 4096, step: 32 }],
    temporal_size: ['INT', { default: 64, min: 8, max: 4096, step: 4 }],
    temporal_overlap: ['INT', { default: 8, min: 4, max: 4096, step: 4 }],
  },
  outputs: ['LATENT'],
  async run({ pixels, vae, tile_size, overlap }, context) {
    return [{ samples: await encodeTiled(vae, pixels, { tileSize: tile_size, overlap }, context) }];
  },
});

export const vaeNodes: readonly NodeType[] = [
  vaeDecodeNode,
  vaeEncodeNode,
  vaeEncodeForInpaintNode,
  inpaintModelConditioningNode,
  instructPixToPixConditioningNode,
  vaeDecodeTiledNode,
  vaeEncodeTiledNode,
];
