/** The settings in a picture, for `sd inspect`: as A1111's text (also those of other programs), our own record, and what else the file says. */

import { inspectImageFile, imageFormatOf } from '../image/codec/image-file.ts';
import { readImageMetadata } from '../image/metadata/image-metadata.ts';
import { parseInfotext } from '../image/metadata/infotext.ts';
import { openRegular, readFileOf } from '../files/open-node.ts';

export interface PictureInfo {
  readonly path: string;
  readonly format: string;
  readonly width: number;
  readonly height: number;
  /** A1111's text; undefined without one. */
  readonly parameters: string | undefined;
  /** The text, taken apart. */
  readonly settings: Readonly<Record<string, unknown>> | undefined;
  /** The record by which `sd replay` makes the picture again. */
  readonly record: unknown;
  /** Further texts of a PNG, such as ComfyUI's `prompt` and `workflow`. */
  readonly texts: Readonly<Record<string, string>>;
}

/** Undefined where the file is not a picture by its first bytes. Throws as opening and reading a picture do. */
export async function pictureInfo(path: string): Promise<PictureInfo | undefined> {
  const { handle } = await openRegular(path);
  const head = new Uint8Array(32);
  try {
    await handle.read(head, 0, head.length, 0);
  } finally {
    await handle.close();
  }
  if (imageFormatOf(head) === undefined) return undefined;
  const bytes = await readFileOf('picture', path);
  const { format, width, height } = inspectImageFile(bytes);
  const { parameters, record, texts, source } = readImageMetadata(bytes);
  const others = [...texts].filter(([name]) => !['parameters', 'stable-diffusion-ts', source].includes(name));
  return {
    path,
    format,
    width,
    height,
    parameters,
    settings: parameters === undefined ? undefined : parseInfotext(parameters),
    record,
    texts: Object.fromEntries(others),
  };
}
