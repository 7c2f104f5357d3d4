/** Nodes of CLIP's image encoder. */

import { defineNode, type NodeType } from '../definition.ts';
import { imageConditionPart } from '../../checkpoints/infer/image-condition.ts';
import { StableDiffusionError } from '../../errors.ts';
import { imageEncoderOf, type ImageEncoderValue, type SeenPictures, seePictures } from '../image-encoder.ts';
import { valuesOf } from '../load-model.ts';

const clipVisionLoaderNode = defineNode({
  name: 'CLIPVisionLoader',
  displayName: 'Load CLIP Vision',
  category: 'loaders',
  module: 'nodes',
  required: { clip_name: [{ folder: 'clip_vision' }] },
  outputs: ['CLIP_VISION'],
  run: async ({ clip_name }, { files }) => [imageEncoderOf(await files.network('clip_vision', clip_name))],
});

const clipVisionEncodeNode = defineNode({
  name: 'CLIPVisionEncode',
  displayName: 'CLIP Vision Encode',
  category: 'conditioning',
  module: 'nodes',
  required: { clip_vision: ['CLIP_VISION'], image: ['IMAGE'], crop: [['center', 'none']] },
  outputs: ['CLIP_VISION_OUTPUT'],
  run: async ({ clip_vision, image, crop }, context) => [
    await seePictures(clip_vision as ImageEncoderValue, image, crop === 'center', context),
  ],
});

const unclipCheckpointLoaderNode = defineNode({
  name: 'unCLIPCheckpointLoader',
  displayName: 'unCLIPCheckpointLoader',
  category: 'loaders',
  module: 'nodes',
  required: { ckpt_name: [{ folder: 'checkpoints' }] },
  outputs: ['MODEL', 'CLIP', 'VAE', 'CLIP_VISION'],
  async run({ ckpt_name }, { files, fullTextEncoder }) {
    const checkpoint = await files.checkpoint('checkpoints', ckpt_name);
    const { image_condition: condition } = checkpoint.config;
    const config = condition?.kind === 'image_embedding' ? condition.network : null;
    const weights = checkpoint.parts[imageConditionPart];
    if (!config || !weights)
      throw new StableDiffusionError(
        'model-unknown',
        `${checkpoint.label} has no image encoder. Load it with CheckpointLoaderSimple, and an image encoder with CLIPVisionLoader.`,
      );
    const { model, clip, vae } = valuesOf(checkpoint, { fullTextEncoder });
    const seeing: ImageEncoderValue = { holdsNetworks: true, label: checkpoint.label, network: { config, weights } };
    return [model, clip, vae, seeing];
  },
});

const unclipConditioningNode = defineNode({
  name: 'unCLIPConditioning',
  displayName: 'unCLIPConditioning',
  category: 'conditioning',
  module: 'nodes',
  required: {
    conditioning: ['CONDITIONING'],
    clip_vision_output: ['CLIP_VISION_OUTPUT'],
    strength: ['FLOAT', { default: 1, min: -10, max: 10, step: 0.01 }],
    noise_augmentation: ['FLOAT', { default: 0, min: 0, max: 1, step: 0.01 }],
  },
  outputs: ['CONDITIONING'],
  run({ conditioning, clip_vision_output, strength, noise_augmentation: noise }) {
    if (strength === 0) return [conditioning];
    const { image_embeds: pictures } = clip_vision_output as SeenPictures;
    if (!pictures)
      throw new StableDiffusionError(
        'model-unknown',
        'The image encoder has no projection, which unCLIPConditioning needs. Choose a CLIP vision model with one.',
      );
    const added = { pictures, strength, noise };
    return [
      conditioning.map((entry) => ({
        ...entry,
        unclip_conditioning: [...(entry.unclip_conditioning ?? []), added],
      })),
    ];
  },
});

export const imageEncoderNodes: readonly NodeType[] = [
  clipVisionLoaderNode,
  clipVisionEncodeNode,
  unclipCheckpointLoaderNode,
  unclipConditioningNode,
];
