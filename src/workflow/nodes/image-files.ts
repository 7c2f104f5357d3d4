/** Nodes that read and write pictures and latents. */

import { defineNode, type NodeType } from '../definition.ts';
import { StableDiffusionError } from '../../errors.ts';
import { loadedMask, loadedPicture } from '../load-picture.ts';
import { savePictures } from '../pictures.ts';
import { loadLatent, saveLatent } from '../latent-files.ts';
import { temporaryPrefix } from '../temporary-prefix.ts';

const saveImageNode = defineNode({
  name: 'SaveImage',
  displayName: 'Save Image',
  category: 'image',
  module: 'nodes',
  required: {
    images: ['IMAGE', {}],
    filename_prefix: ['STRING', { default: 'ComfyUI' }],
  },
  hidden: { prompt: 'PROMPT', extra_pnginfo: 'EXTRA_PNGINFO' },
  outputs: [],
  outputNode: true,
  async run({ images, filename_prefix }, context) {
    return { ui: { images: await savePictures(images, { folder: 'output', prefix: filename_prefix }, context) } };
  },
});

const previewImageNode = defineNode({
  name: 'PreviewImage',
  displayName: 'Preview Image',
  category: 'image',
  module: 'nodes',
  required: {
    images: ['IMAGE'],
  },
  hidden: { prompt: 'PROMPT', extra_pnginfo: 'EXTRA_PNGINFO' },
  outputs: [],
  outputNode: true,
  async run({ images }, context) {
    const prefix = `ComfyUI${temporaryPrefix(context)}`;
    return { ui: { images: await savePictures(images, { folder: 'temp', prefix }, context) } };
  },
});

const loadImageNode = defineNode({
  name: 'LoadImage',
  displayName: 'Load Image',
  category: 'image',
  module: 'nodes',
  required: {
    image: [{ folder: 'input_images' }, { image_upload: true }],
  },
  outputs: ['IMAGE', 'MASK'],
  validates: ['image'],
  validateInputs: ({ image }, lists) => lists.exists(String(image)) || `Invalid image file: ${image}`,
  isChanged: ({ image }, { files }) => files.digest(String(image)),
  run: ({ image }, context) => loadedPicture(image, context),
});

const loadImageOutputNode = defineNode({
  name: 'LoadImageOutput',
  displayName: 'Load Image (from Outputs)',
  category: 'image',
  module: 'nodes',
  required: {
    image: [
      'COMBO',
      {
        image_upload: true,
        image_folder: 'output',
        remote: { route: '/internal/files/output', refresh_button: true, control_after_refresh: 'first' },
      },
    ],
  },
  outputs: ['IMAGE', 'MASK'],
  flags: { experimental: true },
  validates: ['image'],
  validateInputs: ({ image }, lists) => lists.exists(String(image)) || `Invalid image file: ${image}`,
  isChanged: ({ image }, { files }) => files.digest(String(image)),
  run: ({ image }, context) => loadedPicture(image, context),
});

const loadImageMaskNode = defineNode({
  name: 'LoadImageMask',
  displayName: 'Load Image (as Mask)',
  category: 'mask',
  module: 'nodes',
  required: {
    image: [{ folder: 'input_images' }, { image_upload: true }],
    channel: [['alpha', 'red', 'green', 'blue']],
  },
  outputs: ['MASK'],
  validates: ['image'],
  validateInputs: ({ image }, lists) => lists.exists(String(image)) || `Invalid image file: ${image}`,
  isChanged: ({ image }, { files }) => files.digest(String(image)),
  async run({ image, channel }, context) {
    return [await loadedMask(image, channel, context)];
  },
});

const saveLatentNode = defineNode({
  name: 'SaveLatent',
  displayName: 'SaveLatent',
  category: '_for_testing',
  module: 'nodes',
  required: {
    samples: ['LATENT'],
    filename_prefix: ['STRING', { default: 'latents/ComfyUI' }],
  },
  hidden: { prompt: 'PROMPT', extra_pnginfo: 'EXTRA_PNGINFO' },
  outputs: [],
  outputNode: true,
  async run({ samples, filename_prefix }, context) {
    return { ui: { latents: [await saveLatent(samples.samples, filename_prefix, context)] } };
  },
});

const loadLatentNode = defineNode({
  name: 'LoadLatent',
  displayName: 'LoadLatent',
  category: '_for_testing',
  module: 'nodes',
  required: {
    latent: [{ folder: 'input_latents' }],
  },
  outputs: ['LATENT'],
  validates: ['latent'],
  validateInputs: ({ latent }, lists) => lists.exists(String(latent)) || `Invalid latent file: ${latent}`,
  isChanged: ({ latent }, { files }) => files.digest(String(latent)),
  async run({ latent }, context) {
    return [{ samples: await loadLatent(latent, context) }];
  },
});

const previewAnyNode = defineNode({
  name: 'PreviewAny',
  displayName: 'Preview Any',
  category: 'utils',
  module: 'comfy_extras.nodes_preview_any',
  required: {
    source: ['*', {}],
  },
  outputs: [],
  outputNode: true,
  run({ source }) {
    const text = typeof source === 'string' ? source : shown(source);
    return { ui: { text: [text] }, outputs: [] };
  },
});

export const imageFileNodes: readonly NodeType[] = [
  saveImageNode,
  previewImageNode,
  loadImageNode,
  loadImageOutputNode,
  loadImageMaskNode,
  saveLatentNode,
  loadLatentNode,
  previewAnyNode,
];

/** A value as a text, long numbers of a tensor left out. */
function shown(value: unknown): string {
  if (typeof value === 'object' && value !== null && 'dtype' in value && 'shape' in value)
    return `${value.dtype} [${(value.shape as number[]).join(', ')}]`;
  try {
    return JSON.stringify(value, (_, one: unknown) =>
      typeof one === 'bigint' ? one.toString() : ArrayBuffer.isView(one) ? `${one.byteLength} bytes` : one,
    );
  } catch (cause) {
    throw new StableDiffusionError('invalid-argument', 'The value cannot be shown.', { cause });
  }
}
