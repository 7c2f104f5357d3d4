/** The tasks of the image process. */

import { StableDiffusionError } from '../../errors.ts';
import type { ControlFields } from '../../generation/control-fields.ts';
import { nodeImageCodec } from '../../image/codec/codec-node.ts';
import type { Frames } from '../../image/codec/frames.ts';
import { decodeFrames } from '../../image/codec/frames-node.ts';
import { inspectImageFile } from '../../image/codec/image-file.ts';
import { type Enlargement, enlarge } from '../../image/enlarge.ts';
import { resize } from '../../image/resize.ts';
import { clipSquare } from '../../image/clip-image.ts';
import { fitImage } from '../../image/fit-image.ts';
import { alphaOf, createImage, flatten, type Image, toRgb } from '../../image/image.ts';
import { readImageMetadata } from '../../image/metadata/image-metadata.ts';
import { writePngText } from '../../image/metadata/png-text.ts';
import { parseInfotext } from '../../image/metadata/infotext.ts';
import type { JobRequest } from '../job.ts';
import type { JobControl } from '../job-controls.ts';
import { type PreparedPictures, preparePictures } from '../run/prepare-pictures.ts';
import type { ControlPicturesOf, PreparedControl, PreparedReference } from './control-work.ts';

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

/** A picture as somebody wants to look at it. JPEG never has an alpha channel. */
export interface ViewForm {
  readonly format: 'png' | 'webp' | 'jpeg';
  readonly quality: number;
  /** `a`: black, with the alpha channel alone. */
  readonly channels: 'all' | 'rgb' | 'a';
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
  /** A picture with the alpha channel of another of the same size, as PNG with the texts it had. */
  readonly masked: readonly [given: { readonly picture: Uint8Array; readonly mask: Uint8Array }, made: Uint8Array];
  /** A picture in another format or with other channels. */
  readonly view: readonly [given: { readonly bytes: Uint8Array; readonly form: ViewForm }, made: Uint8Array];
  /** Every frame with its transparency, for workflows. */
  readonly frames: readonly [given: { readonly bytes: Uint8Array }, made: Frames];
  readonly settings: readonly [given: { readonly bytes: Uint8Array }, made: PictureSettings];
  /** Inputs of a job. */
  readonly prepare: readonly [
    given: { readonly picture: Uint8Array; readonly sketch: Uint8Array | undefined; readonly request: JobRequest },
    made: PreparedPictures,
  ];
  /** A control of a job: its map, or what a network is to look at. */
  readonly control: readonly [
    given: { readonly control: JobControl; readonly files: ControlFiles; readonly request: JobRequest },
    made: PreparedControl,
  ];
  /** The map of a picture as PNG; the picture itself where a network is to draw it. */
  readonly map: readonly [
    given: { readonly bytes: Uint8Array; readonly mask: Uint8Array | undefined; readonly fields: ControlFields },
    made: { readonly png: Uint8Array } | { readonly picture: Image },
  ];
  /** The picture as a network looks at it: a square of `side` pixels, without transparency. */
  readonly square: readonly [
    given: { readonly bytes: Uint8Array; readonly fit: 'stretch' | 'fill' | 'centre'; readonly side: number },
    made: Image<3>,
  ];
  /** Pictures for an image encoder that takes squares of `side` pixels. */
  readonly reference: readonly [
    given: {
      readonly pictures: readonly Uint8Array[];
      readonly region: Uint8Array | undefined;
      readonly side: number;
      readonly request: JobRequest;
    },
    made: PreparedReference,
  ];
}

/** The files of a control's pictures. */
export type ControlFiles = { readonly [K in keyof ControlPicturesOf]?: Uint8Array | undefined };

export type PictureWorkKind = keyof PictureWorks;

/** Pixels of an uploaded picture, by its header. */
export interface PictureLimits {
  readonly maxPixels: number;
  /** Characters of a settings text that is taken apart. */
  readonly infotextLength: number;
}

/** Pixels. */
const thumbnailSide = 320;
/** Pixels with four channels; what has no alpha is opaque. */
function withAlpha(image: Image<3 | 4>, alpha?: Image<3 | 4>): Image<4> {
  const made = createImage(image.width, image.height, 4);
  for (let i = 0; i < image.width * image.height; i++) {
    for (let c = 0; c < 3; c++) made.data[4 * i + c] = image.data[image.channels * i + c] ?? 0;
    const from = alpha ?? image;
    made.data[4 * i + 3] = from.channels === 4 ? (from.data[4 * i + 3] ?? 0) : 255;
  }
  return made;
}

/** Without the alpha channel, and not blended with anything. */
function withoutAlpha(image: Image<3 | 4>): Image<3> {
  if (image.channels === 3) return image as Image<3>;
  const made = createImage(image.width, image.height, 3);
  for (let i = 0; i < image.width * image.height; i++) made.data.set(image.data.subarray(4 * i, 4 * i + 3), 3 * i);
  return made;
}

async function maskedPicture(picture: Uint8Array, mask: Uint8Array, limits: PictureLimits): Promise<Uint8Array> {
  const [image, alpha] = [await decode(picture, limits), await decode(mask, limits)];
  if (image.width !== alpha.width || image.height !== alpha.height)
    throw new StableDiffusionError(
      'invalid-argument',
      `The mask has ${alpha.width}x${alpha.height} pixels, and the picture that it belongs to ${image.width}x${image.height}. Send a mask of the same size.`,
    );
  const { texts } = readImageMetadata(picture);
  return writePngText(await nodeImageCodec.encode(withAlpha(image, alpha), { format: 'png' }), [...texts]);
}

async function viewedPicture(
  bytes: Uint8Array,
  { format, quality, channels }: ViewForm,
  limits: PictureLimits,
): Promise<Uint8Array> {
  const image = await decode(bytes, limits);
  const opaque = channels === 'rgb' || format === 'jpeg';
  const shown = channels === 'a' ? withAlpha(createImage(image.width, image.height, 3), withAlpha(image)) : image;
  const made = opaque ? withoutAlpha(image) : shown;
  return nodeImageCodec.encode(made, format === 'png' ? { format } : { format, quality });
}

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
  masked: ({ picture, mask }, limits) => maskedPicture(picture, mask, limits),
  frames: ({ bytes }, { maxPixels }) => decodeFrames(bytes, maxPixels),
  view: ({ bytes, form }, limits) => viewedPicture(bytes, form, limits),
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
  async control({ control, files, request }, limits) {
    const { prepareControl } = await import('./control-work.ts');
    const opened: Partial<Record<keyof ControlFiles, Image>> = {};
    for (const [name, bytes] of Object.entries(files))
      if (bytes) opened[name as keyof ControlFiles] = await decode(bytes, limits);
    return prepareControl(control, opened, request);
  },
  async map({ bytes, mask, fields }, limits) {
    const { detectedMap } = await import('./control-work.ts');
    return detectedMap(await decode(bytes, limits), mask && (await decode(mask, limits)), fields);
  },
  async square({ bytes, fit, side }, limits) {
    const image = toRgb(await decode(bytes, limits));
    if (fit === 'centre') return clipSquare(image, side);
    return fit === 'fill' ? fitImage(image, side, side, 'fill') : resize(image, side, side, 'bicubic');
  },
  async reference({ pictures, region, side, request }, limits) {
    const { prepareReference } = await import('./control-work.ts');
    const opened: Image[] = [];
    for (const bytes of pictures) opened.push(await decode(bytes, limits));
    return prepareReference(opened, region && (await decode(region, limits)), side, request);
  },
};
