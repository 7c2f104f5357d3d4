/**
 * The generation settings in a picture file: A1111's `parameters` text, and our own JSON record under `stable-diffusion-ts`.
 *
 * PNG: text chunks of these names. JPEG and WebP: EXIF, the parameters as user comment (as A1111 writes them with piexif), the record as
 * image description. Without EXIF, the comment of a JPEG or GIF, as A1111 reads it (`read_info_from_image`, modules/images.py, v1.10.1).
 * Settings of other programs are read as A1111's text: see other-programs.ts.
 */

import { StableDiffusionError } from '../../errors.ts';
import { readExif, writeExif } from './exif.ts';
import { inspectImageFile } from '../codec/image-file.ts';
import { readFileComment } from './file-comment.ts';
import { novelAiParameters } from './novelai.ts';
import { otherSettings } from './other-programs.ts';
import { readPngText, writePngText } from './png-text.ts';
import { writeWebpExif } from './webp-chunks.ts';

export const recordKeyword = 'stable-diffusion-ts';
export const parametersKeyword = 'parameters';

export interface ImageMetadata {
  /** A1111 infotext: see infotext.ts. */
  readonly parameters?: string;
  /** Our own record: any JSON value. */
  readonly record?: unknown;
}

export interface FoundMetadata extends ImageMetadata {
  /** Every text of a PNG by keyword, those above included; of a JPEG or GIF its comment, as `comment`. */
  readonly texts: ReadonlyMap<string, string>;
  /** Keyword of another program's text that `parameters` was read from. */
  readonly source?: string;
}

function parseRecord(text: string | undefined): { readonly record?: unknown } {
  if (text === undefined) return {};
  try {
    return { record: JSON.parse(text) as unknown };
  } catch {
    return {}; // somebody else's text under our name
  }
}

/** Reads the metadata; a file without any is not an error. Throws like `inspectImageFile` if the file is not an image, but has no size limit. */
export function readImageMetadata(bytes: Uint8Array): FoundMetadata {
  const file = inspectImageFile(bytes, Number.POSITIVE_INFINITY);
  const chunks = file.format === 'png' ? readPngText(bytes).texts : new Map<string, string>();
  const exif = file.exif ? readExif(file.exif) : {};
  // Pillow reads a comment only where there is no EXIF.
  const comment = file.exif ? undefined : readFileComment(bytes, file.format);
  const texts = comment === undefined ? chunks : new Map([...chunks, ['comment', comment]]);
  const own = chunks.get(parametersKeyword) ?? exif.userComment ?? comment ?? novelAiParameters(chunks, file);
  const other = otherSettings(own === undefined ? chunks : new Map([[parametersKeyword, own]]));
  const parameters = other?.parameters ?? own;
  const description = exif.imageDescription?.startsWith(`${recordKeyword}:`)
    ? exif.imageDescription.slice(recordKeyword.length + 1)
    : undefined;
  return {
    texts,
    ...(parameters === undefined ? {} : { parameters }),
    ...(other ? { source: other.keyword } : {}),
    ...parseRecord(texts.get(recordKeyword) ?? description),
  };
}

/** Longest EXIF block a JPEG segment holds. */
const maxJpegExif = 65533 - 6;

function writeJpegExif(bytes: Uint8Array, block: Uint8Array): Uint8Array {
  // After SOI and the JFIF segment, if there is one, as readers expect.
  const jfif = bytes[2] === 0xff && bytes[3] === 0xe0;
  const at = jfif ? 4 + (((bytes[4] as number) << 8) | (bytes[5] as number)) : 2;
  const length = block.length + 8;
  const head = Uint8Array.of(0xff, 0xe1, length >> 8, length & 0xff, 0x45, 0x78, 0x69, 0x66, 0, 0);
  const out = new Uint8Array(bytes.length + head.length + block.length);
  out.set(bytes.subarray(0, at));
  out.set(head, at);
  out.set(block, at + head.length);
  out.set(bytes.subarray(at), at + head.length + block.length);
  return out;
}

/**
 * A copy of a PNG, JPEG or WebP file with the metadata in it; for JPEG and WebP the file must have no EXIF yet (one just encoded has none).
 *
 * JPEG holds 64 KiB: a record that does not fit is left out, parameters that do not are `too-large`. Throws `file-unsupported` for GIF.
 */
export function writeImageMetadata(bytes: Uint8Array, { parameters, record }: ImageMetadata): Uint8Array {
  const json = record === undefined ? undefined : JSON.stringify(record);
  const { format } = inspectImageFile(bytes, Number.POSITIVE_INFINITY);
  if (format === 'png') {
    const texts: [string, string][] = [];
    if (parameters !== undefined) texts.push([parametersKeyword, parameters]);
    if (json !== undefined) texts.push([recordKeyword, json]);
    return writePngText(bytes, texts);
  }
  if (format === 'gif')
    throw new StableDiffusionError('file-unsupported', 'Settings cannot be written into a GIF. Use PNG, JPEG or WebP.');
  const comment = parameters === undefined ? {} : { userComment: parameters };
  let block = writeExif({
    ...comment,
    ...(json === undefined ? {} : { imageDescription: `${recordKeyword}:${json}` }),
  });
  if (format === 'webp') return writeWebpExif(bytes, block);
  if (block.length > maxJpegExif) block = writeExif(comment);
  if (block.length > maxJpegExif) {
    throw new StableDiffusionError(
      'too-large',
      `The settings take ${block.length} bytes, and a JPEG holds ${maxJpegExif}. Save as PNG instead.`,
    );
  }
  return writeJpegExif(bytes, block);
}
