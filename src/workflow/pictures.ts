/**
 * Pictures between nodes and files. IMAGE is float32 [b, h, w, c] in 0…1. To 8 bits values are cut, not rounded, as ComfyUI's
 * `clip(255 * x)`.
 */

import { createImage, type Image } from '../image/image.ts';
import { type PrintOptions, printExactJson } from '../formats/exact-json.ts';
import { writePngText } from '../image/metadata/png-text.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import { takeBatch } from '../tensor/batches.ts';
import type { FileReference, PictureFolder } from './context.ts';
import { graphObject } from './graph.ts';
import { nameInBatch, numberedName } from './numbered-name.ts';
import type { NodeContext } from './context-in-run.ts';

type Float32 = Tensor<'float32'>;

/** `clip(255 x, 0, 255)` cut to a whole number. */
export const byteOf = (value: number): number => Math.trunc(Math.min(255, Math.max(0, Math.fround(255 * value))) || 0);

/** Values that become bytes between the turns of others, some ten milliseconds of work. */
const slice = 2 ** 22;

/** Values from `begin` to before `end` as bytes. A loop: `Uint8Array.from` takes twenty times as long. */
function writeBytes(values: Float32Array, begin: number, end: number, bytes: Uint8Array): void {
  for (let i = begin; i < end; i++) {
    const value = Math.fround(255 * (values[i] as number));
    // As `byteOf`: the array cuts the fraction, and takes NaN for 0.
    bytes[i] = value >= 255 ? 255 : Math.max(0, value);
  }
}

function emptyLike({ shape: [, height = 1, width = 1, channels = 3] }: Float32): Image {
  return createImage(width, height, channels as 1 | 3 | 4);
}

/** Item `i` of a batch as 8-bit pixels. */
export function imageOf(images: Float32, i: number): Image {
  const { data } = takeBatch(images, i, i + 1);
  const image = emptyLike(images);
  writeBytes(data, 0, data.length, image.data);
  return image;
}

/** As `imageOf`, for large pictures: others have their turn between its parts. */
export async function imageInTurns(images: Float32, i: number): Promise<Image> {
  const size = images.data.length / (images.shape[0] ?? 1);
  const values = images.data.subarray(i * size, (i + 1) * size);
  const image = emptyLike(images);
  for (let at = 0; at < size; at += slice) {
    writeBytes(values, at, Math.min(size, at + slice), image.data);
    if (at + slice < size) await new Promise((resolve) => setTimeout(resolve));
  }
  return image;
}

/** Pixels as IMAGE, [1, h, w, c]. @public */
export function imageValue({ width, height, channels, data }: Image): Float32 {
  const values = new Float32Array(data.length);
  for (let i = 0; i < values.length; i++) values[i] = (data[i] as number) / 255;
  return float32([1, height, width, channels], values);
}

/** [b, h, w, c] as [b, c, h, w], and back. */
export function channelsFirst({ shape, data }: Float32): Float32 {
  const [batch = 1, height = 1, width = 1, channels = 1] = shape;
  const plane = height * width;
  const out = new Float32Array(data.length);
  for (let b = 0; b < batch; b++)
    for (let i = 0; i < plane; i++)
      for (let c = 0; c < channels; c++)
        out[(b * channels + c) * plane + i] = data[(b * plane + i) * channels + c] as number;
  return float32([batch, channels, height, width], out);
}

export function channelsLast({ shape, data }: Float32): Float32 {
  const [batch = 1, channels = 1, height = 1, width = 1] = shape;
  const plane = height * width;
  const out = new Float32Array(data.length);
  for (let b = 0; b < batch; b++)
    for (let i = 0; i < plane; i++)
      for (let c = 0; c < channels; c++)
        out[(b * plane + i) * channels + c] = data[(b * channels + c) * plane + i] as number;
  return float32([batch, height, width, channels], out);
}

/** The texts of a PNG file: the graph, then every further key, as Python's JSON. */
export function workflowTexts(context: NodeContext): readonly [keyword: string, text: string][] {
  const { prompt, extraPngInfo, withoutMetadata, isFloatInput } = context;
  if (withoutMetadata) return [];
  const python: PrintOptions = { like: 'python' };
  const isFloat: PrintOptions['isFloat'] = ([id = '', part, input = '', ...deeper]) =>
    part === 'inputs' && deeper.length === 0 && isFloatInput(prompt.get(id)?.class_type ?? '', input);
  return [
    ['prompt', printExactJson(graphObject(prompt), { ...python, isFloat })],
    ...Object.entries(extraPngInfo ?? {}).map(([key, value]): [string, string] => [key, printExactJson(value, python)]),
  ];
}

/** Writes the pictures of a batch and says how clients find them. */
export async function savePictures(
  images: Float32,
  { folder, prefix }: { readonly folder: PictureFolder; readonly prefix: string },
  context: NodeContext,
): Promise<FileReference[]> {
  const { files, codec } = context;
  const [batch = 0, height = 0, width = 0] = images.shape;
  const place = await files.place(folder, prefix, { width, height });
  const texts = workflowTexts(context);
  const saved: FileReference[] = [];
  for (let i = 0; i < batch; i++) {
    const name = nameInBatch(place.name, i);
    const bytes = await codec.encode(await imageInTurns(images, i), { format: 'png' });
    const named = texts.length > 0 ? writePngText(bytes, texts) : bytes;
    saved.push(await files.write(folder, place.subfolder, numberedName(name, place.counter + i, 'png'), named));
  }
  return saved;
}
