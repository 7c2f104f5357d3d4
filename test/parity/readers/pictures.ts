/** Pictures before and after a run: bytes of decoded values, resampling, masks, the invisible watermark. */

import { join } from 'node:path';
import { type Image, toGrey, toRgb } from '../../../src/image/image.ts';
import { floatsToBytes } from '../../../src/image/image-tensor.ts';
import { fitInitImage, initImageTensor } from '../../../src/image/init-image.ts';
import { inpaintBatch, interpolateMask } from '../../../src/image/inpaint-batch.ts';
import { type ResizeFilter, resize } from '../../../src/image/resize.ts';
import { decodeWatermark, embedWatermark } from '../../../src/image/watermark.ts';
import { tensor } from '../../../src/tensor/tensor.ts';
import { imageDifference, readPng } from '../../image/read-png.ts';
import { pick, readTensors } from '../../tensors.ts';
import { collecting, type Comparisons } from '../comparisons.ts';
import { originalOf, type Reader, type Recorded, type RecordedCase } from '../reader.ts';

const kinds: readonly (readonly [RegExp, (recorded: RecordedCase, compare: Comparisons) => void | Promise<void>])[] = [
  [/watermark/i, compareWatermark],
  [/VaeImageProcessor/, compareBytes],
  [/load_img/, compareInitImages],
  [/make_batch/, compareInpaintBatch],
  [/Image\.resize/, compareResize],
];
const kindOf = (row: RecordedCase['row']) => kinds.find(([pattern]) => pattern.test(originalOf(row)))?.[1];

export const reader: Reader = {
  set: 'diffusion',
  reads: (row, part) => part === 'post' && kindOf(row) !== undefined,
  compare: collecting((recorded, compare) => kindOf(recorded.row)?.(recorded, compare)),
};

/** The recorded tensors, and the pictures by the row's files. */
function filesOf({ setFolder, row }: RecordedCase) {
  const files = [row['file'], row['files']].flat().filter((file): file is string => typeof file === 'string');
  const stored = files.find((file) => file.endsWith('.safetensors')) ?? '';
  const pictures = files.filter((file) => file.endsWith('.png')).map((file) => join(setFolder, file));
  return { stored: readTensors(join(setFolder, stored)), pictures };
}

/** Each convention, byte for byte. */
function compareBytes(recorded: RecordedCase, compare: Comparisons): void {
  const { stored } = filesOf(recorded);
  const x = pick(stored, 'x').data as Float32Array;
  for (const [name, convention] of [
    ['compvis', 'compvis'],
    ['compvis_safety_checker_input', 'compvis-safety-checker'],
    ['diffusers', 'diffusers'],
  ] as const)
    compare.tensor(name, tensor('uint8', [x.length], floatsToBytes(x, convention)), pick(stored, name), 0);
}

async function compareResize(recorded: RecordedCase, compare: Comparisons): Promise<void> {
  const { stored, pictures } = filesOf(recorded);
  const source = toRgb(await readPng(pictures[0] ?? ''));
  const { max_level_difference }: Recorded = recorded.row['tolerance'];
  for (const [name, want] of stored) {
    const [, filter, grey, width = '', height = ''] = /^([A-Z]+?)\.(L\.)?(\d+)x(\d+)$/.exec(name) ?? [];
    const got = filter
      ? resize(grey ? toGrey(source) : source, Number(width), Number(height), filter.toLowerCase() as ResizeFilter)
      : toGrey(source);
    compare.tensor(name, tensor('uint8', want.shape, got.data), want, max_level_difference);
  }
}

/** Bytes and the first row of the tensor of each picture. */
async function compareInitImages(recorded: RecordedCase, compare: Comparisons): Promise<void> {
  const { stored, pictures } = filesOf(recorded);
  for (const [i, path] of pictures.entries()) {
    const image = await readPng(path);
    const { width, height, data } = fitInitImage(image);
    const planar = new Uint8Array(3 * width * height);
    for (let p = 0; p < width * height; p++)
      for (let c = 0; c < 3; c++) planar[c * width * height + p] = data[3 * p + c] as number;
    compare.tensor(`${i}.u8`, tensor('uint8', [1, 3, height, width], planar), pick(stored, `${i}.u8`), 0);
    const whole = initImageTensor(image).data;
    const first = new Float32Array(3 * width);
    for (let c = 0; c < 3; c++) first.set(whole.subarray(c * width * height, c * width * height + width), c * width);
    const name = `${i}.first_row`;
    compare.tensor(name, tensor('float32', [1, 3, width], first), pick(stored, name), 0);
  }
}

async function compareInpaintBatch(recorded: RecordedCase, compare: Comparisons): Promise<void> {
  const { stored, pictures } = filesOf(recorded);
  const maskPath = pictures.find((path) => path.includes('mask')) ?? '';
  const image = toRgb(await readPng(pictures.find((path) => path !== maskPath) ?? ''));
  const batch = inpaintBatch(image, await readPng(maskPath), 'latent-diffusion');
  const size = (name: string): [number, number] => pick(stored, name).shape.slice(-2).map(Number) as [number, number];
  const made = {
    image: batch.image,
    mask: batch.mask,
    masked_image: batch.maskedImage,
    mask_nearest_8th: interpolateMask(batch.mask, ...size('mask_nearest_8th')),
    mask_nearest_odd: interpolateMask(batch.mask, ...size('mask_nearest_odd')),
  };
  for (const [name, want] of stored) compare.tensor(name, made[name as keyof typeof made], want, 0);
}

interface WatermarkRow {
  readonly input: string;
  readonly output: string;
  readonly decoded: readonly { readonly of: string; readonly bytes_hex: string }[];
}

async function compareWatermark({ setFolder, row }: RecordedCase, compare: Comparisons): Promise<void> {
  const rows = row['rows'] as readonly WatermarkRow[];
  const { output_max_level_difference, share_different }: Recorded = row['tolerance'];
  const read = async (path: string): Promise<Image<3>> => toRgb(await readPng(join(setFolder, path)));
  for (const { input, output, decoded } of rows) {
    const marked = embedWatermark(await read(input));
    const { levels, share } = imageDifference(marked, await read(output));
    compare.error('levels', levels, output_max_level_difference, { item: input });
    compare.error('share of values that differ', share, share_different, { item: input });
    for (const { of, bytes_hex } of decoded) {
      const picture = await read(of === 'output' ? output : of === 'input' ? input : of);
      // The row's text allows 2 of 136 bits of a JPEG; the others are exact.
      const allowed = /\.q\d+/.test(of) ? 2 : 0;
      const bits = differingBits(decodeWatermark(picture), bytes_hex);
      compare.error(`bits decoded of ${of}`, bits, allowed, { item: input });
    }
    const own = differingBits(decodeWatermark(marked), decoded[0]?.bytes_hex ?? '');
    compare.error('bits decoded of our output', own, 0, { item: input });
  }
}

function differingBits(got: Uint8Array, hex: string): number {
  const want = Buffer.from(hex, 'hex');
  if (want.length !== got.length) return Number.POSITIVE_INFINITY;
  return got.reduce((sum, byte, i) => sum + (byte ^ (want[i] as number)).toString(2).replaceAll('0', '').length, 0);
}
