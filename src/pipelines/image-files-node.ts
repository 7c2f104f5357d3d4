/** Pictures as files in Node: with the settings they were made with, and written whole or not at all. */

import { readFile } from 'node:fs/promises';
import { dirname, extname } from 'node:path';
import { StableDiffusionError } from '../errors.ts';
import { nodeImageCodec } from '../image/codec/codec-node.ts';
import type { Image } from '../image/image.ts';
import { fileError } from '../files/byte-source-node.ts';
import { makeFolder } from '../files/make-folder-node.ts';
import { writeFileAtomic } from '../files/write-file-node.ts';
import type { GeneratedImage } from './events.ts';
import { recordInfotext } from '../generation/record.ts';

/** Reads a PNG, JPEG, WebP or GIF file. Throws `file-not-found`, `file-corrupt`, `file-truncated`, `file-unsupported`, `too-large`. */
export async function openImage(path: string): Promise<Image> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw fileError(path, cause);
  });
  return nodeImageCodec.decode(bytes);
}

/** Writes a picture with its settings in it; the name's ending says whether PNG, JPEG or WebP. Makes its folder. Throws `invalid-argument`, `file-access`, `aborted`. */
export async function saveImage(
  path: string,
  { image, record }: Pick<GeneratedImage, 'image' | 'record'>,
  options: { readonly signal?: AbortSignal } = {},
): Promise<void> {
  await makeFolder(dirname(path));
  const metadata = { parameters: recordInfotext(record), record };
  await writeFileAtomic(path, [await nodeImageCodec.encode(image, { format: formatOf(path), metadata })], options);
}

/** Writes a picture alone. Makes its folder. Throws as `saveImage`. */
export async function saveImageFile(
  path: string,
  image: Image,
  options: { readonly signal?: AbortSignal } = {},
): Promise<void> {
  await makeFolder(dirname(path));
  await writeFileAtomic(path, [await nodeImageCodec.encode(image, { format: formatOf(path) })], options);
}

function formatOf(path: string): 'png' | 'jpeg' | 'webp' {
  const ending = extname(path).toLowerCase();
  if (ending === '.png') return 'png';
  if (ending === '.jpg' || ending === '.jpeg') return 'jpeg';
  if (ending === '.webp') return 'webp';
  throw new StableDiffusionError(
    'invalid-argument',
    `${path} ends in ${ending || 'nothing'}; pictures are written as .png, .jpg or .webp.`,
  );
}
