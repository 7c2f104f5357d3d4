/** What a process for callers' pictures makes of one control of a job: its map at the sizes of the passes, or the picture that its network looks at. */

import { clipSquare } from '../../image/clip-image.ts';
import type { ControlFields } from '../../generation/control-fields.ts';
import type { ControlMap } from '../../generation/control-inputs.ts';
import { nodeImageCodec } from '../../image/codec/codec-node.ts';
import { fitImage } from '../../image/fit-image.ts';
import { createImage, crop, flatten, type Image, toGrey, toRgb } from '../../image/image.ts';
import { preparedMask } from '../../image/inpaint-region.ts';
import { drawMap, fittedMap, shownMap, takesMask } from '../../pipelines/control-maps.ts';
import { digest } from '../../pipelines/digest.ts';
import { windowRuleOf } from '../../pipelines/run-controls.ts';
import { findPreprocessor } from '../../preprocessors/index.ts';
import type { JobRequest } from '../job.ts';
import type { JobControl } from '../job-controls.ts';
import { preparePictures } from '../run/prepare-pictures.ts';

/** Decoded pictures of one control, and those of its job where it needs them. */
export interface ControlPicturesOf {
  readonly picture?: Image | undefined;
  readonly mask?: Image | undefined;
  readonly region?: Image | undefined;
  readonly jobPicture?: Image | undefined;
  readonly jobMask?: Image | undefined;
}

/** One thing for each pass. */
export interface OfPasses<T> {
  readonly first: T;
  /** Of "hires. fix". */
  readonly second?: T | undefined;
}

export interface PreparedControl {
  /** Undefined where a network of the server is to look at `picture`. */
  readonly maps?: OfPasses<ControlMap> | undefined;
  readonly picture?: Image | undefined;
  readonly regions?: OfPasses<Image<3>> | undefined;
  /** Maps as PNG, as A1111's extension returns them: of the second pass first. */
  readonly shown: readonly Uint8Array[];
  /** SHA-256 of the pixels of the given pictures. */
  readonly digests: {
    readonly pictures: readonly string[];
    readonly mask?: string | undefined;
    readonly region?: string | undefined;
  };
}

interface Size {
  readonly width: number;
  readonly height: number;
}

function sizesOf({ width, height, hires }: JobRequest): OfPasses<Size> {
  return { first: { width, height }, ...(hires ? { second: { width: hires.width, height: hires.height } } : {}) };
}

async function ofPasses<T>(
  { first, second }: OfPasses<Size>,
  make: (size: Size) => T | Promise<T>,
): Promise<OfPasses<T>> {
  return { first: await make(first), ...(second ? { second: await make(second) } : {}) };
}

/** A mask that was drawn on the picture counts as the picture, unless it is empty or full ("canvas scribble" of the extension). */
function drawnOn(mask: Image | undefined): Image<1> | undefined {
  if (!mask) return undefined;
  const grey = toGrey(mask);
  return grey.data.every((value) => value <= 5) || grey.data.every((value) => value >= 250) ? undefined : grey;
}

/** The picture and the mask that a control looks at, and how they are brought to the result's size. */
function sourceOf(
  control: JobControl,
  given: ControlPicturesOf,
  request: JobRequest,
): { readonly picture: Image; readonly mask: Image | undefined; readonly resize: ControlFields['resize'] } {
  const masked = takesMask(control);
  const scribble = masked ? undefined : drawnOn(given.mask);
  const own = scribble ?? given.picture;
  const picture = own ?? flatten(given.jobPicture as Image);
  const ofJob = given.jobMask && request.inpaint ? preparedMask(given.jobMask, picture, request) : given.jobMask;
  const empty = own ? undefined : createImage(picture.width, picture.height, 1);
  return {
    picture,
    mask: masked ? (given.mask ?? ofJob ?? empty) : undefined,
    resize: own ? control.resize : (request.resizeMode ?? 'stretch'),
  };
}

/** In a job that paints the masked part alone, the same part of a control's picture (`try_crop_image_with_a1111_mask`). */
function partOf<C extends 1 | 3>(
  image: Image<C>,
  resize: ControlFields['resize'],
  { jobPicture, jobMask }: ControlPicturesOf,
  request: JobRequest,
): Image<C> {
  if (!jobPicture || !jobMask) return image;
  const { overlay } = preparePictures(jobPicture, jobMask, request);
  if (!overlay?.region) return image;
  const { left, top, right, bottom } = overlay.region;
  const { width, height } = overlay.original;
  const cut = crop(fitImage(image, width, height, resize), left, top, right - left, bottom - top);
  return fitImage(cut, request.width, request.height, 'fill');
}

const isDrawnByNetwork = ({ preprocessor }: Pick<ControlFields, 'preprocessor'>): boolean =>
  findPreprocessor(preprocessor)?.network !== undefined;

const pngOf = (map: ControlMap): Promise<Uint8Array> => nodeImageCodec.encode(shownMap(map), { format: 'png' });

/** The maps of a drawn picture at the sizes of the passes, and as PNG. */
export async function mapsOf(
  drawn: Image<3>,
  {
    control,
    mask,
    request,
  }: { readonly control: JobControl; readonly mask: Image | undefined; readonly request: JobRequest },
): Promise<Required<Pick<PreparedControl, 'maps' | 'shown'>> & { readonly maps: OfPasses<ControlMap> }> {
  const byContent = windowRuleOf(request) === 'a1111';
  const maps = await ofPasses(sizesOf(request), (size) => fittedMap(drawn, { fields: control, mask, size, byContent }));
  const shown = control.returnsMap ? [maps.second, maps.first].flatMap((map) => (map ? [map] : [])) : [];
  return { maps, shown: await Promise.all(shown.map(pngOf)) };
}

/** Seed of preprocessors that draw random numbers. */
const seedOf = ({ seeds }: JobRequest): number => Number(BigInt.asUintN(32, BigInt(seeds[0] ?? 0)));

export async function prepareControl(
  control: JobControl,
  given: ControlPicturesOf,
  request: JobRequest,
): Promise<PreparedControl> {
  const { picture, mask, resize } = sourceOf(control, given, request);
  const crops = request.inpaint?.onlyMaskedPadding !== undefined && control.cropsPicture !== false;
  const part = <C extends 1 | 3>(image: Image<C>): Image<C> => (crops ? partOf(image, resize, given, request) : image);
  const seen = crops ? part(toRgb(picture)) : picture;
  const seenMask = mask && part(fitImage(toGrey(mask), picture.width, picture.height, 'stretch'));
  const region = given.region && toRgb(given.region);
  const common = {
    regions:
      region && (await ofPasses(sizesOf(request), ({ width, height }) => fitImage(region, width, height, 'stretch'))),
    digests: {
      pictures: given.picture ? [await digest(given.picture)] : [],
      mask: given.mask && (await digest(given.mask)),
      region: given.region && (await digest(given.region)),
    },
  };
  if (isDrawnByNetwork(control)) return { ...common, picture: seen, shown: [] };
  const fields = { ...control, resize };
  const size = { width: request.width, height: request.height };
  const drawn = await drawMap({ fields, picture: seen, size, seed: seedOf(request) });
  return { ...common, ...(await mapsOf(drawn, { control: fields, mask: seenMask, request })) };
}

/** The map of a picture at the preprocessor's resolution, for a caller that asks for it alone. */
export async function detectedMap(
  picture: Image,
  mask: Image | undefined,
  fields: ControlFields,
): Promise<{ readonly png: Uint8Array } | { readonly picture: Image }> {
  if (isDrawnByNetwork(fields)) return { picture };
  const { width, height } = picture;
  const drawn = await drawMap({ fields, picture, size: { width, height }, seed: 0 });
  if (!takesMask(fields)) return { png: await nodeImageCodec.encode(drawn, { format: 'png' }) };
  return { png: await pngOf(fittedMap(drawn, { fields, mask, size: { width, height }, byContent: true })) };
}

export interface PreparedReference {
  /** At the size that the image encoder takes. */
  readonly pictures: readonly Image<3>[];
  readonly regions?: OfPasses<Image<3>> | undefined;
  readonly digests: PreparedControl['digests'];
}

/** Pictures of an IP-Adapter or a style adapter, as the image encoder will see them. */
export async function prepareReference(
  pictures: readonly Image[],
  region: Image | undefined,
  side: number,
  request: JobRequest,
): Promise<PreparedReference> {
  const whole = region && toRgb(region);
  return {
    pictures: pictures.map((picture) => clipSquare(picture, side)),
    regions:
      whole && (await ofPasses(sizesOf(request), ({ width, height }) => fitImage(whole, width, height, 'stretch'))),
    digests: {
      pictures: await Promise.all(pictures.map(digest)),
      region: region && (await digest(region)),
    },
  };
}
