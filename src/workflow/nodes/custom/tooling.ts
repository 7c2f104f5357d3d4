/** Nodes by which programs exchange pictures with a server: those of comfyui-tooling-nodes that Krita AI Diffusion uses. */

import { StableDiffusionError } from '../../../errors.ts';
import { cachedDigest, cachedPicture, cachePictures, pictureOfBytes } from '../../cached-pictures.ts';
import { defineNode, type NodeType, plainFlags } from '../../definition.ts';
import { withChannels } from '../../grids.ts';

const module = 'custom_nodes.comfyui-tooling-nodes';
const category = 'external_tooling';
const format = ['COMBO', { default: 'PNG', multiselect: false, options: ['PNG', 'JPEG'] }] as const;

const loadImageCacheNode = defineNode({
  name: 'ETN_LoadImageCache',
  displayName: 'Load Image from Cache',
  category,
  module,
  required: { id: ['STRING', { multiline: false }] },
  outputs: [
    { type: 'IMAGE', name: 'image' },
    { type: 'MASK', name: 'mask' },
  ],
  flags: plainFlags,
  isChanged: ({ id }, context) => cachedDigest(String(id), context),
  run: ({ id }, context) => cachedPicture(id, context),
});

const saveImageCacheNode = defineNode({
  name: 'ETN_SaveImageCache',
  displayName: 'Save Image to Cache',
  category,
  module,
  required: { images: ['IMAGE', {}], format },
  outputs: [],
  outputNode: true,
  flags: plainFlags,
  run: async ({ images, format: kind }, context) => ({ ui: { images: await cachePictures(images, kind, context) } }),
});

/** The bytes of a picture in base64, with or without `data:image/png;base64,`. */
function bytesOf(text: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text.replace(/^data:image\/\w+;base64,/, '')), (letter) => letter.charCodeAt(0));
  } catch {
    throw new StableDiffusionError('invalid-argument', 'The picture is not written in base64.');
  }
}

const loadImageBase64Node = defineNode({
  name: 'ETN_LoadImageBase64',
  displayName: 'Load Image (Base64)',
  category,
  module,
  required: { image: ['STRING', { multiline: false }] },
  outputs: [
    { type: 'IMAGE', name: 'image' },
    { type: 'MASK', name: 'mask' },
  ],
  flags: plainFlags,
  run: ({ image }, context) => pictureOfBytes(bytesOf(image), context),
});

const loadMaskBase64Node = defineNode({
  name: 'ETN_LoadMaskBase64',
  displayName: 'Load Mask (Base64)',
  category,
  module,
  required: { mask: ['STRING', { multiline: false }] },
  outputs: [{ type: 'MASK', name: 'mask' }],
  flags: plainFlags,
  async run({ mask }, context) {
    const [image] = await pictureOfBytes(bytesOf(mask), context);
    return [{ ...image, shape: image.shape.slice(0, 3), data: image.data.filter((_, i) => i % 3 === 0) }];
  },
});

const applyMaskToImageNode = defineNode({
  name: 'ETN_ApplyMaskToImage',
  displayName: 'Apply Mask to Image',
  category,
  module,
  required: { image: ['IMAGE', {}], mask: ['MASK', {}] },
  outputs: [{ type: 'IMAGE', name: 'masked' }],
  flags: plainFlags,
  run({ image, mask }) {
    const [batch = 1, height = 1, width = 1] = image.shape;
    if (mask.shape[1] !== height || mask.shape[2] !== width)
      throw new StableDiffusionError(
        'shape-mismatch',
        `The picture has ${width} by ${height} pixels and the mask ${mask.shape[2]} by ${mask.shape[1]}; they must be of one size.`,
      );
    const made = withChannels(image, 4);
    const data = made.data.slice();
    const plane = height * width;
    const isBatch = mask.shape[0] === batch;
    for (let i = 0; i < batch * plane; i++) data[4 * i + 3] = mask.data[isBatch ? i : i % plane] as number;
    return [{ ...made, data }];
  },
});

const translateNode = defineNode({
  name: 'ETN_Translate',
  displayName: 'Translate Text',
  category,
  module,
  required: { text: ['STRING', { multiline: true }] },
  outputs: [{ type: 'STRING', name: 'translation' }],
  flags: plainFlags,
  run({ text }) {
    const other = /lang:(?!en)(\w\w)/.exec(text)?.[1];
    if (other !== undefined)
      throw new StableDiffusionError(
        'invalid-argument',
        `The text says lang:${other}, and this server translates no languages. Write the prompt in English.`,
      );
    return [
      text
        .split('lang:en')
        .map((part) => part.trim())
        .filter((part) => part !== '')
        .join(' '),
    ];
  },
});

export const toolingNodes: readonly NodeType[] = [
  loadImageCacheNode,
  saveImageCacheNode,
  loadImageBase64Node,
  loadMaskBase64Node,
  applyMaskToImageNode,
  translateNode,
];
