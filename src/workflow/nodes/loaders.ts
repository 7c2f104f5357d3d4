/** Nodes that load models: whole checkpoints, and their parts from files of their own. */

import { defineNode, type NodeType } from '../definition.ts';
import { StableDiffusionError } from '../../errors.ts';
import { inFloat8 } from '../half-precision.ts';
import { clipOfNetworks, modelOfNetwork, vaeOf, valuesOf } from '../load-model.ts';

const checkpointLoaderSimpleNode = defineNode({
  name: 'CheckpointLoaderSimple',
  displayName: 'Load Checkpoint',
  category: 'loaders',
  module: 'nodes',
  required: {
    ckpt_name: [{ folder: 'checkpoints' }, {}],
  },
  outputs: ['MODEL', 'CLIP', 'VAE'],
  async run({ ckpt_name }, { files, fullTextEncoder }) {
    const { model, clip, vae } = valuesOf(await files.checkpoint('checkpoints', ckpt_name), { fullTextEncoder });
    return [model, clip, vae];
  },
});

const checkpointLoaderNode = defineNode({
  name: 'CheckpointLoader',
  displayName: 'Load Checkpoint With Config (DEPRECATED)',
  category: 'advanced/loaders',
  module: 'nodes',
  required: {
    config_name: [{ folder: 'configs' }],
    ckpt_name: [{ folder: 'checkpoints' }],
  },
  outputs: ['MODEL', 'CLIP', 'VAE'],
  flags: { deprecated: true },
  async run({ config_name, ckpt_name }, { files, fullTextEncoder }) {
    const { model, clip, vae } = valuesOf(await files.checkpoint('checkpoints', ckpt_name, config_name), {
      fullTextEncoder,
    });
    return [model, clip, vae];
  },
});

const vaeLoaderNode = defineNode({
  name: 'VAELoader',
  displayName: 'Load VAE',
  category: 'loaders',
  module: 'nodes',
  required: {
    vae_name: [{ folder: 'vae', last: ['pixel_space'] }],
  },
  outputs: ['VAE'],
  async run({ vae_name }, { files }) {
    if (vae_name === 'pixel_space')
      throw new StableDiffusionError(
        'file-unsupported',
        'The VAE pixel_space is not supported: latents here are never pixels.',
      );
    const { config, source } = await files.network('vae', vae_name);
    return [vaeOf(source.label, { config, weights: source })];
  },
});

const clipLoaderNode = defineNode({
  name: 'CLIPLoader',
  displayName: 'Load CLIP',
  category: 'advanced/loaders',
  module: 'nodes',
  required: {
    clip_name: [{ folder: 'text_encoders' }],
    type: [
      [
        'stable_diffusion',
        'stable_cascade',
        'sd3',
        'stable_audio',
        'mochi',
        'ltxv',
        'pixart',
        'cosmos',
        'lumina2',
        'wan',
        'hidream',
        'chroma',
        'ace',
        'omnigen2',
        'qwen_image',
        'hunyuan_image',
      ],
    ],
  },
  optional: {
    device: [['default', 'cpu'], { advanced: true }],
  },
  outputs: ['CLIP'],
  async run({ clip_name }, { files, fullTextEncoder }) {
    return [clipOfNetworks([await files.network('text_encoders', clip_name)], { fullTextEncoder })];
  },
});

const dualCLIPLoaderNode = defineNode({
  name: 'DualCLIPLoader',
  displayName: 'DualCLIPLoader',
  category: 'advanced/loaders',
  module: 'nodes',
  required: {
    clip_name1: [{ folder: 'text_encoders' }],
    clip_name2: [{ folder: 'text_encoders' }],
    type: [['sdxl', 'sd3', 'flux', 'hunyuan_video', 'hidream', 'hunyuan_image']],
  },
  optional: {
    device: [['default', 'cpu'], { advanced: true }],
  },
  outputs: ['CLIP'],
  async run({ clip_name1, clip_name2, type }, { files, fullTextEncoder }) {
    if (type !== 'sdxl')
      throw new StableDiffusionError(
        'invalid-argument',
        `Two text encoders are of the type sdxl here; ${type} is not supported.`,
      );
    const found = [await files.network('text_encoders', clip_name1), await files.network('text_encoders', clip_name2)];
    // The encoder without a projection is CLIP's, whichever input it is given at.
    found.sort(
      (a, b) =>
        Number('with_projection' in a.config && a.config.with_projection) -
        Number('with_projection' in b.config && b.config.with_projection),
    );
    return [clipOfNetworks(found, { fullTextEncoder })];
  },
});

const unetLoaderNode = defineNode({
  name: 'UNETLoader',
  displayName: 'Load Diffusion Model',
  category: 'advanced/loaders',
  module: 'nodes',
  required: {
    unet_name: [{ folder: 'diffusion_models' }],
    weight_dtype: [['default', 'fp8_e4m3fn', 'fp8_e4m3fn_fast', 'fp8_e5m2']],
  },
  outputs: ['MODEL'],
  async run({ unet_name, weight_dtype }, { files }) {
    const network = await files.network('diffusion_models', unet_name);
    if (weight_dtype === 'default') return [modelOfNetwork(network)];
    const dtype = weight_dtype === 'fp8_e5m2' ? 'float8_e5m2' : 'float8_e4m3fn';
    return [modelOfNetwork({ ...network, source: inFloat8(network.source, dtype) })];
  },
});

export const loaderNodes: readonly NodeType[] = [
  checkpointLoaderSimpleNode,
  checkpointLoaderNode,
  vaeLoaderNode,
  clipLoaderNode,
  dualCLIPLoaderNode,
  unetLoaderNode,
];
