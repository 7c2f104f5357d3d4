/** Pictures as files in Node: with the settings they were made with, and written whole or not at all. */

import { demand, fieldsOf } from '../arguments.ts';
import { checkOptions } from '../config/known-options.ts';
import { dirname, extname } from 'node:path';
import { StableDiffusionError } from '../errors.ts';
import { nodeImageCodec } from '../image/codec/codec-node.ts';
import type { Image } from '../image/image.ts';
import { makeFolder } from '../files/make-folder-node.ts';
import { readFileOf } from '../files/open-node.ts';
import { type WriteFileOptions, writeNewFile } from '../files/write-file-node.ts';
import type { GeneratedImage } from './events.ts';
import { recordInfotext } from '../generation/record-infotext.ts';

/** Reads a PNG, JPEG, WebP or GIF file. Throws `file-not-found`, `file-corrupt`, `file-truncated`, `file-unsupported`, `too-large`. */
export async function openImage(path: string): Promise<Image> {
  demand(typeof path === 'string', 'The file of a picture', 'a path', path);
  const bytes = await readFileOf('picture', path);
  try {
    return await nodeImageCodec.decode(bytes);
  } catch (error) {
    // The codec knows bytes alone; a person has many files.
    if (!(error instanceof StableDiffusionError) || error.code === 'aborted') throw error;
    throw new StableDiffusionError(error.code, `${path}: ${error.message}`, { cause: error, details: error.details });
  }
}

export interface EncodeOptions {
  /** Default `png`. */
  readonly format?: 'png' | 'jpeg' | 'webp';
  /** Of JPEG and WebP, 1 to 100. Default: the codec's. */
  readonly quality?: number;
}

const madePicture = "one of a run's pictures, with its image and its record";

/** The bytes of a picture file with its settings in it, for an answer over HTTP. Throws `too-large` where a JPEG cannot hold the settings. */
export async function encodeImage(
  picture: Pick<GeneratedImage, 'image' | 'record'>,
  options: EncodeOptions = {},
): Promise<Uint8Array> {
  checkOptions(options, { format: true, quality: true }, 'encodeImage');
  const { image, record } = fieldsOf(picture, 'The picture', madePicture) as typeof picture;
  demand(image !== undefined && record !== undefined, 'The picture', madePicture, Object.keys(picture));
  const { format = 'png', quality } = options;
  const metadata = { parameters: recordInfotext(record), record };
  const lossy = quality === undefined ? {} : { quality };
  return nodeImageCodec.encode(image, format === 'png' ? { format, metadata } : { format, ...lossy, metadata });
}

/**
 * Writes a picture with its settings in it; the name's ending says whether PNG, JPEG or WebP. Makes its
 * folder. A file of that name is replaced, unless `replace` is false.
 * Throws `invalid-argument`, `file-access`, `file-exists`, `aborted`.
 */
export async function saveImage(
  path: string,
  picture: Pick<GeneratedImage, 'image' | 'record'>,
  options: Pick<WriteFileOptions, 'signal' | 'replace'> = {},
): Promise<void> {
  checkOptions(options, { signal: true, replace: true }, 'saveImage');
  const format = formatOf(path);
  const bytes = await encodeImage(picture, { format });
  await makeFolder(dirname(path));
  await writeNewFile(path, [bytes], { ...options, replace: options.replace ?? true });
}

/** Writes a picture alone. Makes its folder. Throws as `saveImage`. */
export async function saveImageFile(
  path: string,
  image: Image,
  options: Pick<WriteFileOptions, 'signal' | 'replace'> = {},
): Promise<void> {
  await makeFolder(dirname(path));
  const bytes = await nodeImageCodec.encode(image, { format: formatOf(path) });
  await writeNewFile(path, [bytes], { ...options, replace: options.replace ?? true });
}

function formatOf(path: string): 'png' | 'jpeg' | 'webp' {
  demand(typeof path === 'string', 'The path of a picture', 'a text such as "face.png"', path);
  const ending = extname(path).toLowerCase();
  if (ending === '.png') return 'png';
  if (ending === '.jpg' || ending === '.jpeg') return 'jpeg';
  if (ending === '.webp') return 'webp';
  throw new StableDiffusionError(
    'invalid-argument',
    `${path} ends in ${ending || 'nothing'}; pictures are written as .png, .jpg or .webp.`,
  );
}
