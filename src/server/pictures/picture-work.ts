/** The tasks of the image process. */

import { nodeImageCodec } from '../../image/codec/codec-node.ts';
import { inspectImageFile } from '../../image/codec/image-file.ts';
import { type Enlargement, enlarge } from '../../image/enlarge.ts';
import { resize } from '../../image/resize.ts';
import { alphaOf, createImage, flatten, type Image } from '../../image/image.ts';
import { readImageMetadata } from '../../image/metadata/image-metadata.ts';
import { parseInfotext } from '../../image/metadata/infotext.ts';
import type { JobRequest } from '../job.ts';
import { type PreparedPictures, preparePictures } from '../run/prepare-pictures.ts';

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** The settings in a picture, as A1111's `png-info` returns them. */
export interface PictureSettings {
  readonly info: string;
  readonly items: Readonly<Record<string, string>>;
  readonly parameters: Readonly<Record<string, unknown>>;
}

/** Each kind of work: what it is given, and what comes back. */
export interface PictureWorks {
  /** Decodes the picture and gives its size, upright. */
  readonly check: readonly [given: { readonly bytes: Uint8Array }, made: Size];
  /** A mask of what is transparent, as PNG; undefined for an opaque picture. */
  readonly transparency: readonly [given: { readonly bytes: Uint8Array }, made: Uint8Array | undefined];
  /** The picture enlarged, as PNG with the settings it had. */
  readonly enlarge: readonly [
    given: { readonly bytes: Uint8Array; readonly enlargement: Enlargement },
    made: Uint8Array,
  ];
  /** A JPEG of at most 320 pixels a side. */
  readonly thumbnail: readonly [given: { readonly bytes: Uint8Array }, made: Uint8Array];
  readonly settings: readonly [given: { readonly bytes: Uint8Array }, made: PictureSettings];
  /** Inputs of a job. */
  readonly prepare: readonly [
    given: { readonly picture: Uint8Array; readonly sketch: Uint8Array | undefined; readonly request: JobRequest },
    made: PreparedPictures,
  ];
}

export type PictureWorkKind = keyof PictureWorks;

/** Pixels of an uploaded picture, by its header. */
export interface PictureLimits {
  readonly maxPixels: number;
  /** Characters of a settings text that is taken apart. */
  readonly infotextLength: number;
}

/** Pixels. */
const thumbnailSide = 320;

const decode = (bytes: Uint8Array, { maxPixels }: PictureLimits): Promise<Image<3 | 4>> =>
  nodeImageCodec.decode(bytes, { maxPixels });

export const pictureWorks: {
  readonly [K in PictureWorkKind]: (given: PictureWorks[K][0], limits: PictureLimits) => Promise<PictureWorks[K][1]>;
} = {
  async check({ bytes }, limits) {
    const { width, height } = await decode(bytes, limits);
    return { width, height };
  },
  async transparency({ bytes }, limits) {
    const image = await decode(bytes, limits);
    if (image.channels !== 4) return undefined;
    const { width, height, data } = alphaOf(image);
    const mask = createImage(width, height, 1, data);
    for (let i = 0; i < data.length; i++) mask.data[i] = 255 - (data[i] ?? 0);
    return nodeImageCodec.encode(mask, { format: 'png' });
  },
  async enlarge({ bytes, enlargement }, limits) {
    const larger = enlarge(flatten(await decode(bytes, limits)), enlargement);
    const { parameters } = readImageMetadata(bytes);
    return nodeImageCodec.encode(larger, { format: 'png', ...(parameters ? { metadata: { parameters } } : {}) });
  },
  async thumbnail({ bytes }, limits) {
    const image = flatten(await decode(bytes, limits));
    const scale = Math.min(1, thumbnailSide / Math.max(image.width, image.height));
    const side = (length: number): number => Math.max(1, Math.round(length * scale));
    const small = resize(image, side(image.width), side(image.height), 'lanczos');
    return nodeImageCodec.encode(small, { format: 'jpeg', quality: 85 });
  },
  async settings({ bytes }, { maxPixels, infotextLength }) {
    inspectImageFile(bytes, maxPixels);
    const { parameters: info = '', texts } = readImageMetadata(bytes);
    const items = { ...Object.fromEntries(texts), ...(info === '' ? {} : { parameters: info }) };
    const isText = info !== '' && info.length <= infotextLength;
    return { info, items, parameters: isText ? parseInfotext(info) : {} };
  },
  async prepare({ picture, sketch, request }, limits) {
    return preparePictures(await decode(picture, limits), sketch && (await decode(sketch, limits)), request);
  },
};
