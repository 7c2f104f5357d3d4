/**
 * A1111's preparation of inpainting (modules/processing.py `StableDiffusionProcessingImg2Img.init`, modules/masking.py, v1.10.1): the mask is
 * inverted and blurred, the part around it is cut out, the hole is filled; afterwards what was not masked is laid over the result.
 */

import { alphaOf, createImage, crop, flatten, type Image, paste, toGrey, toRgb } from './image.ts';
import { fillHole } from './mask-fill.ts';
import { fitImage, type ResizeMode } from './fit-image.ts';
import { blurMask } from './mask-blur.ts';

/** How an inpainting job crops, blurs and fills the masked area. */
export interface RegionSettings {
  /** Size of the picture that is generated. */
  readonly width: number;
  readonly height: number;
  readonly resizeMode?: ResizeMode;
  /** Seed of the noise that fills the hole. */
  readonly seeds: readonly (number | string)[];
  readonly inpaint?: {
    /** Standard deviation of the blur of the mask's edge, pixels. */
    readonly blurX: number;
    readonly blurY: number;
    readonly fill: 'fill' | 'original' | 'latent noise' | 'latent nothing';
    /** Paint only the part around the mask, with this margin in pixels; undefined paints the whole picture. */
    readonly onlyMaskedPadding?: number;
    /** Paint where the mask is black. */
    readonly invert: boolean;
    /** A mask in the alpha channel counts as black or white; grey masks stay grey. Default true. */
    readonly round?: boolean;
  };
}

export interface InpaintRegion {
  /** The initial picture, at the job's size. */
  readonly image: Image<3>;
  /** The mask at the job's size; white is regenerated. */
  readonly mask: Image<1>;
  readonly overlay: Overlay;
}

/** Composites a generated picture into the original: the crop is pasted, and unmasked pixels are restored. */
export interface Overlay {
  readonly original: Image<3>;
  /** White shows the generated picture. */
  readonly mask: Image<1>;
  /** Position of the generated picture, if it is only a part. */
  readonly region: Rectangle | undefined;
}

export interface Rectangle {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** `create_binary_mask`: the alpha of a mask where that varies, with `round` white from 129 on; else its grey value as it is. */
function greyMask(mask: Image, round: boolean): Image<1> {
  const alpha = mask.channels === 4 ? alphaOf(mask) : undefined;
  if (!alpha?.data.some((value) => value !== 255)) return toGrey(mask);
  const { width, height, data } = alpha;
  return createImage(width, height, 1, round ? data.map((value) => (value > 128 ? 255 : 0)) : data);
}

/** The rectangle around what is not black, widened by `padding`; undefined where all is black. */
export function maskRectangle({ width, height, data }: Image<1>, padding: number): Rectangle | undefined {
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (data[i] === 0) continue;
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < top) top = y;
      bottom = y;
    }
  }
  if (right < 0) return undefined;
  return {
    left: Math.max(0, left - padding),
    top: Math.max(0, top - padding),
    right: Math.min(width, right + 1 + padding),
    bottom: Math.min(height, bottom + 1 + padding),
  };
}

/** `expand_crop_region`: widened to the proportions of the job, within the picture. */
export function expandRectangle(
  region: Rectangle,
  width: number,
  height: number,
  imageWidth: number,
  imageHeight: number,
): Rectangle {
  const grow = (from: number, to: number, wanted: number, most: number): [number, number] => {
    const difference = wanted - (to - from);
    let start = from - Math.floor(difference / 2);
    let end = start + wanted;
    if (end >= most) {
      start -= end - most;
      end = most;
    }
    if (start < 0) {
      end -= start;
      start = 0;
    }
    return [start, Math.min(end, most)];
  };
  const { left, top, right, bottom } = region;
  if ((right - left) / (bottom - top) > width / height) {
    const [from, to] = grow(top, bottom, Math.trunc((right - left) / (width / height)), imageHeight);
    return { left, top: from, right, bottom: to };
  }
  const [from, to] = grow(left, right, Math.trunc((bottom - top) * (width / height)), imageWidth);
  return { left: from, top, right: to, bottom };
}

const plainSettings: NonNullable<RegionSettings['inpaint']> = { blurX: 4, blurY: 4, fill: 'original', invert: false };

/** A caller's mask at the size of its picture: grey, inverted and blurred as the settings say. */
export function preparedMask(
  sketch: Image,
  { width, height }: Pick<Image, 'width' | 'height'>,
  { inpaint: settings = plainSettings }: Pick<RegionSettings, 'inpaint'>,
): Image<1> {
  let mask = greyMask(sketch, settings.round ?? true);
  if (mask.width !== width || mask.height !== height) mask = fitImage(mask, width, height, 'stretch');
  if (settings.invert)
    mask = createImage(
      mask.width,
      mask.height,
      1,
      mask.data.map((value) => 255 - value),
    );
  return settings.blurX > 0 || settings.blurY > 0 ? blurMask(mask, settings.blurX, settings.blurY) : mask;
}

/** Prepares the input of an inpainting job. `picture` and `sketch` are the caller's image and mask. */
export function inpaintRegion(picture: Image, sketch: Image, request: RegionSettings): InpaintRegion {
  const { width, height, resizeMode = 'stretch', inpaint: settings = plainSettings } = request;
  const whole = picture.channels === 4 ? flatten(picture) : toRgb(picture);
  const mask = preparedMask(sketch, whole, request);

  const around = settings.onlyMaskedPadding === undefined ? undefined : maskRectangle(mask, settings.onlyMaskedPadding);
  const region = around && expandRectangle(around, width, height, mask.width, mask.height);
  const cut = <C extends 1 | 3>(image: Image<C>): Image<C> => {
    if (!region) return fitImage(image, width, height, resizeMode);
    return fitImage(
      crop(image, region.left, region.top, region.right - region.left, region.bottom - region.top),
      width,
      height,
      'fill',
    );
  };
  const regionMask = cut(mask);
  const base = cut(whole);
  // Without a cut the overlay is at the job's size, and its edge a little sharper, as there.
  const overlayMask = region
    ? mask
    : createImage(
        width,
        height,
        1,
        regionMask.data.map((value) => Math.min(255, value * 2)),
      );
  return {
    image: settings.fill === 'fill' ? fillHole(base, regionMask) : base,
    mask: regionMask,
    overlay: { original: region ? whole : base, mask: overlayMask, region },
  };
}

/** The overlay with another mask of the generated picture; around the picture the original shows. */
export function withShownMask({ original, region }: Overlay, shown: Image<1>): Overlay {
  if (!region) return { original, mask: shown, region };
  const { left, top, right, bottom } = region;
  const mask = createImage(original.width, original.height, 1);
  paste(mask, fitImage(shown, right - left, bottom - top, 'crop'), left, top);
  return { original, mask, region };
}

/** The complete picture with the generated part in it. */
export function composeInpainted({ original, mask, region }: Overlay, made: Image<3>): Image<3> {
  const { width, height } = original;
  const below = region ? createImage(width, height, 3) : made;
  if (region)
    paste(
      below,
      fitImage(made, region.right - region.left, region.bottom - region.top, 'crop'),
      region.left,
      region.top,
    );
  const data = new Uint8Array(below.data.length);
  for (let i = 0, at = 0; i < mask.data.length; i++) {
    const fresh = mask.data[i] as number;
    for (let c = 0; c < 3; c++, at++)
      data[at] = Math.round(((below.data[at] as number) * fresh + (original.data[at] as number) * (255 - fresh)) / 255);
  }
  return createImage(width, height, 3, data);
}
