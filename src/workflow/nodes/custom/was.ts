/**
 * Nodes of texts, sizes and seeds of was-node-suite-comfyui. Files of texts come from the folder of input pictures alone; of the words in
 * brackets only `[time]` and `[time(FORMAT)]` are filled in, and a server keeps no words of its callers.
 */

import { resize } from '../../../image/resize.ts';
import { PythonRandom } from '../../../random/python-random.ts';
import { resizeBilinear } from '../../../tensor/resize-bilinear.ts';
import { resizePlanes } from '../../../conditioning/resize-planes.ts';
import { bicubicAlignedMatrix, bilinearAlignedMatrix, nearestMatrix } from '../../../nn/resize-matrix.ts';
import { joinBatches } from '../../../tensor/batches.ts';
import { resizeTensor } from '../../../tensor/resize-tensor.ts';
import type { Tensor } from '../../../tensor/tensor.ts';
import { StableDiffusionError } from '../../../errors.ts';
import { defineNode, type NodeType } from '../../definition.ts';
import { floatBytes } from '../../memory-budget.ts';
import { imageOf, imageValue } from '../../pictures.ts';
import { pythonTime } from '../../python-time.ts';
import { encodeText } from '../../text/encode-text.ts';
import { enlargedBytes, sizeBy } from '../latents.ts';

const module = 'custom_nodes.was-node-suite-comfyui';
const linked = ['STRING', { forceInput: true }] as const;
const oneLine = ['STRING', { default: '', multiline: false }] as const;
const anySeed = ['INT', { default: 0, min: 0, max: 18446744073709551615n }] as const;

/** `[time]` as seconds since 1970, `[time(%Y)]` as the format says. */
const withTime = (text: string, now: Date): string =>
  text
    .replaceAll('[time]', String(Math.floor(now.getTime() / 1000)))
    .replace(/\[time\(([^()[\n]*)\)\]/g, (_, format: string) => pythonTime(format, now));

/** The lines of a text without those that begin with `#`. */
const withoutComments = (text: string): string[] => {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines.filter((line) => !line.trimStart().startsWith('#'));
};

const textMultilineNode = defineNode({
  name: 'Text Multiline',
  displayName: 'Text Multiline',
  category: 'WAS Suite/Text',
  module,
  required: { text: ['STRING', { default: '', multiline: true, dynamicPrompts: true }] },
  outputs: ['STRING'],
  run: ({ text }, { now }) => [withTime(withoutComments(text).join('\n'), now())],
});

const textStringNode = defineNode({
  name: 'Text String',
  displayName: 'Text String',
  category: 'WAS Suite/Text',
  module,
  required: { text: oneLine },
  optional: { text_b: oneLine, text_c: oneLine, text_d: oneLine },
  outputs: ['TEXT', 'TEXT_B', 'TEXT_C', 'TEXT_D'].map((name) => ({ type: 'STRING', name })),
  run: ({ text, text_b = '', text_c = '', text_d = '' }, { now }) =>
    [text, text_b, text_c, text_d].map((one) => withTime(one, now())),
});

const textConcatenateNode = defineNode({
  name: 'Text Concatenate',
  displayName: 'Text Concatenate',
  category: 'WAS Suite/Text',
  module,
  required: { delimiter: ['STRING', { default: ', ' }], clean_whitespace: [['true', 'false']] },
  optional: { text_a: linked, text_b: linked, text_c: linked, text_d: linked },
  outputs: ['STRING'],
  run({ delimiter, clean_whitespace, text_a, text_b, text_c, text_d }) {
    const given = [text_a, text_b, text_c, text_d].filter((text) => typeof text === 'string');
    const clean = clean_whitespace === 'true' ? given.map((text) => text.trim()) : given;
    return [clean.filter((text) => text !== '').join(delimiter === '\\n' ? '\n' : delimiter)];
  },
});

const textFindAndReplaceInputNode = defineNode({
  name: 'Text Find and Replace Input',
  displayName: 'Text Find and Replace Input',
  category: 'WAS Suite/Text/Search',
  module,
  required: { text: linked, find: linked, replace: linked },
  outputs: [
    { type: 'STRING', name: 'result_text' },
    { type: 'NUMBER', name: 'replacement_count_number' },
    { type: 'FLOAT', name: 'replacement_count_float' },
    { type: 'INT', name: 'replacement_count_int' },
  ],
  run({ text, find, replace }) {
    // The original replaces until nothing is found, which never ends where the replacement has the words in it.
    if (find === '' || replace.includes(find))
      throw new StableDiffusionError(
        'invalid-argument',
        `Text Find and Replace Input: the replacement ${JSON.stringify(replace.slice(0, 80))} contains what is looked for, so this would never end.`,
      );
    const parts = text.split(find);
    const count = parts.length - 1;
    return [parts.join(replace), count, count, count];
  },
});

const textRandomLineNode = defineNode({
  name: 'Text Random Line',
  displayName: 'Text Random Line',
  category: 'WAS Suite/Text',
  module,
  required: { text: linked, seed: anySeed },
  outputs: ['STRING'],
  run: ({ text, seed }) => [new PythonRandom(seed).choice(text.split('\n'))],
});

const textParseTokensNode = defineNode({
  name: 'Text Parse Tokens',
  displayName: 'Text Parse Tokens',
  category: 'WAS Suite/Text/Tokens',
  module,
  required: { text: linked },
  outputs: ['STRING'],
  isChanged: () => Number.NaN,
  run: ({ text }, { now }) => [withTime(text, now())],
});

const textToConditioningNode = defineNode({
  name: 'Text to Conditioning',
  displayName: 'Text to Conditioning',
  category: 'WAS Suite/Text/Operations',
  module,
  required: { clip: ['CLIP'], text: linked },
  outputs: ['CONDITIONING'],
  run: async ({ clip, text }, context) => [[await encodeText(clip, text, context)]],
});

const textToConsoleNode = defineNode({
  name: 'Text to Console',
  displayName: 'Text to Console',
  category: 'WAS Suite/Debug',
  module,
  required: { text: linked, label: ['STRING', { default: 'Text Output', multiline: false }] },
  outputs: ['STRING'],
  outputNode: true,
  run: ({ text }) => ({ ui: { text: [text] }, outputs: [text] }),
});

const loadTextFileNode = defineNode({
  name: 'Load Text File',
  displayName: 'Load Text File',
  category: 'WAS Suite/IO',
  module,
  required: { file_path: oneLine, dictionary_name: ['STRING', { default: '[filename]', multiline: false }] },
  outputs: ['STRING', 'DICT'],
  isChanged: ({ file_path }, { files }) => files.digest(String(file_path)).catch(() => ''),
  async run({ file_path, dictionary_name }, { files }) {
    const base = file_path.split(/[/\\]/).at(-1) ?? '';
    const name = dictionary_name === '[filename]' ? (base.split('.')[0] ?? '') : dictionary_name;
    let bytes: Uint8Array;
    try {
      bytes = await files.read(file_path);
    } catch (error) {
      // A file that is not there is an empty text, as in the original.
      if (error instanceof StableDiffusionError && error.code === 'file-not-found') return ['', { [name]: [] }];
      throw error;
    }
    const lines = withoutComments(new TextDecoder().decode(bytes)).map((line) => line.replaceAll('\r', ''));
    return [lines.join('\n'), { [name]: lines }];
  },
});

type Planes = Tensor<'float32'>;

/** PyTorch's `interpolate`, with the corners in place or not. */
function interpolated(x: Planes, height: number, width: number, mode: string, corners: boolean): Planes {
  const [, , h = 1, w = 1] = x.shape;
  if (mode === 'nearest') return resizePlanes(x, nearestMatrix(h, height), nearestMatrix(w, width));
  if (mode === 'area') return resizeTensor(x, height, width, 'area');
  if (!corners)
    return mode === 'bilinear' ? resizeBilinear(x, height, width) : resizeTensor(x, height, width, 'bicubic');
  const matrix = mode === 'bilinear' ? bilinearAlignedMatrix : bicubicAlignedMatrix;
  return resizePlanes(x, matrix(h, height), matrix(w, width));
}

const latentUpscaleByFactorNode = defineNode({
  name: 'Latent Upscale by Factor (WAS)',
  displayName: 'Latent Upscale by Factor (WAS)',
  category: 'WAS Suite/Latent/Transform',
  module,
  required: {
    samples: ['LATENT'],
    mode: [['area', 'bicubic', 'bilinear', 'nearest']],
    factor: ['FLOAT', { default: 2, min: 0.1, max: 8, step: 0.01 }],
    align: [['true', 'false']],
  },
  outputs: ['LATENT'],
  makes: ({ samples, factor }) => enlargedBytes(samples, sizeBy(samples.samples, factor)),
  run({ samples, mode, factor, align }) {
    const size = sizeBy(samples.samples, factor);
    const [height, width] = [Math.max(1, size.height), Math.max(1, size.width)];
    return [{ ...samples, samples: interpolated(samples.samples, height, width, mode, align === 'true') }];
  },
});

/** The size that `Image Resize` makes of a picture. */
function resizedTo(
  mode: string,
  [height, width]: readonly [number, number],
  { factor, toHeight, toWidth }: { readonly factor: number; readonly toHeight: number; readonly toWidth: number },
): readonly [number, number] {
  const upToEight = (side: number): number => Math.ceil(side / 8) * 8;
  return mode === 'rescale'
    ? [Math.trunc(height * factor), Math.trunc(width * factor)]
    : [upToEight(toHeight), upToEight(toWidth)];
}

const imageResizeNode = defineNode({
  name: 'Image Resize',
  displayName: 'Image Resize',
  category: 'WAS Suite/Image/Transform',
  module,
  required: {
    image: ['IMAGE'],
    mode: [['rescale', 'resize']],
    supersample: [['true', 'false']],
    resampling: [['lanczos', 'nearest', 'bilinear', 'bicubic']],
    rescale_factor: ['FLOAT', { default: 2, min: 0.01, max: 16, step: 0.01 }],
    resize_width: ['INT', { default: 1024, min: 1, max: 48000, step: 1 }],
    resize_height: ['INT', { default: 1536, min: 1, max: 48000, step: 1 }],
  },
  outputs: ['IMAGE'],
  makes({ image, mode, rescale_factor: factor, resize_width: toWidth, resize_height: toHeight, supersample }) {
    const [batch = 1, height = 1, width = 1, channels = 3] = image.shape;
    const [h, w] = resizedTo(mode, [height, width], { factor, toHeight, toWidth });
    return floatBytes(batch, channels, h, w) * (supersample === 'true' ? 64 : 1);
  },
  run({ image, mode, supersample, resampling, rescale_factor: factor, resize_width, resize_height }) {
    const [batch = 1, h = 1, w = 1] = image.shape;
    const options = { factor, toHeight: resize_height, toWidth: resize_width };
    const [height, width] = resizedTo(mode, [h, w], options);
    const filter = resampling as Parameters<typeof resize>[3];
    const resized = Array.from({ length: batch }, (_, i) => {
      const one = imageOf(image, i);
      const large = supersample === 'true' ? resize(one, 8 * width, 8 * height, filter) : one;
      return imageValue(resize(large, width, height, filter));
    });
    return [joinBatches(resized)];
  },
});

const seedNode = defineNode({
  name: 'Seed',
  displayName: 'Seed',
  category: 'WAS Suite/Number',
  module,
  required: { seed: anySeed },
  outputs: [
    { type: 'SEED', name: 'seed' },
    { type: 'NUMBER', name: 'number' },
    { type: 'FLOAT', name: 'float' },
    { type: 'INT', name: 'int' },
  ],
  run: ({ seed }) => [{ seed }, seed, Number(seed), seed],
});

export const wasNodes: readonly NodeType[] = [
  textMultilineNode,
  textStringNode,
  textConcatenateNode,
  textFindAndReplaceInputNode,
  textRandomLineNode,
  textParseTokensNode,
  textToConditioningNode,
  textToConsoleNode,
  loadTextFileNode,
  latentUpscaleByFactorNode,
  imageResizeNode,
  seedNode,
];
