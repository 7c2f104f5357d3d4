/** From a control's picture to the map that its network takes, at the size of the result. */

import { isReferenceMode, referenceModes } from '../diffusion/control/reference-modes.ts';
import { StableDiffusionError } from '../errors.ts';
import type { ControlFields } from '../generation/control-fields.ts';
import type { ControlMap } from '../generation/control-inputs.ts';
import { fitMap, fitMaskedMap, pixelPerfectResolution, wholeLatents } from '../image/control-map.ts';
import { fitImage } from '../image/fit-image.ts';
import { floatImage } from '../image/float-image.ts';
import { createImage, type Image, toRgb } from '../image/image.ts';
import type { Annotator } from '../models/annotators/annotator.ts';
import { findPreprocessor, preprocess, preprocessors } from '../preprocessors/index.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';
import type { PictureSize } from './picture-size.ts';

/** Preprocessors that hand the picture on with its mask: the network paints where the mask is white. */
const masking = ['inpaint', 'inpaint_only', 'inpaint_global_harmonious'];
/** Preprocessors that hand the picture on, and hold the result to its colours. */
const colouring = ['tile_colorfix', 'tile_colorfix+sharp'];

export function takesMask({ preprocessor }: Pick<ControlFields, 'preprocessor'>): boolean {
  return masking.includes(preprocessor);
}

/** Whether a preprocessor hands the picture on as it is. */
export function passesOn(preprocessor: string): boolean {
  return (
    preprocessor === 'none' ||
    isReferenceMode(preprocessor) ||
    masking.includes(preprocessor) ||
    colouring.includes(preprocessor)
  );
}

/** Whether the result is held to the picture (`keep-known.ts`). */
function holdsToPicture({ preprocessor }: Pick<ControlFields, 'preprocessor'>): boolean {
  return preprocessor === 'inpaint_only' || colouring.includes(preprocessor);
}

/** Whether the network takes the latent of the picture. */
export function takesLatent(fields: Pick<ControlFields, 'preprocessor'>): boolean {
  return holdsToPicture(fields) || isReferenceMode(fields.preprocessor);
}

/** Values of a plane of pixels in [0, 1], float32 [1, 1, h, w], at a size. */
export function planeOf(image: Image, { width, height }: PictureSize): Tensor<'float32'> {
  const fitted = fitImage(toRgb(image), width, height, 'stretch');
  const data = new Float32Array(width * height);
  for (let i = 0; i < data.length; i++) data[i] = (fitted.data[3 * i] as number) / 255;
  return tensor('float32', [1, 1, height, width], data);
}

/** The hint of an inpainting network: colours in [0, 1], and -1 where it is to paint. */
export function maskedHint(hint: Tensor<'float32'>, mask: Tensor<'float32'>): Tensor<'float32'> {
  const plane = mask.data.length;
  const data = hint.data.map((value, i) => ((mask.data[i % plane] as number) > 0.5 ? -1 : value));
  return tensor('float32', hint.shape, data);
}

/** Interleaved samples of 0 to 255 as planes in [0, 1]: channels [from, to). */
function planesOf(
  {
    width,
    height,
    channels,
    data,
  }: { readonly width: number; readonly height: number; readonly channels: number; readonly data: ArrayLike<number> },
  from: number,
  to: number,
): Tensor<'float32'> {
  const size = width * height;
  const out = new Float32Array((to - from) * size);
  for (let c = from; c < to; c++)
    for (let i = 0; i < size; i++) out[(c - from) * size + i] = (data[i * channels + c] as number) / 255;
  return tensor('float32', [1, to - from, height, width], out);
}

/** What the preprocessor makes of a picture. Throws `invalid-argument` for one that is not known, or lacks its network. */
export async function drawMap({ fields, annotator, picture, size, seed }: DrawOptions): Promise<Image<3>> {
  const { preprocessor: name, pixelPerfect, resize, thresholdA, thresholdB } = fields;
  if (passesOn(name)) return toRgb(picture);
  const preprocessor = findPreprocessor(name);
  if (!preprocessor)
    throw new StableDiffusionError(
      'invalid-argument',
      `control.preprocessor is ${JSON.stringify(name)}, which is not known; there are ${[...preprocessors.map((one) => one.name), ...masking, ...colouring, ...referenceModes].join(', ')}.`,
    );
  const target = { width: wholeLatents(size.width), height: wholeLatents(size.height) };
  const resolution = pixelPerfect ? pixelPerfectResolution(picture, target, resize) : fields.resolution;
  return preprocess(preprocessor, picture, { resolution, a: thresholdA, b: thresholdB, seed }, annotator);
}

export interface DrawOptions {
  readonly fields: ControlFields;
  /** The network of the preprocessor, for those that need one. */
  readonly annotator?: Annotator | undefined;
  readonly picture: Image;
  readonly size: PictureSize;
  /** Of preprocessors that draw random numbers, below 2^32. */
  readonly seed: number;
}

export interface FitOptions {
  readonly fields: ControlFields;
  /** Of the run, or the control's own. */
  readonly mask: Image | undefined;
  readonly size: PictureSize;
  /** Resized by what the map shows, as A1111's extension; else as a picture. */
  readonly byContent: boolean;
}

/** Throws `invalid-argument` for a preprocessor that is not known, or lacks its mask or its network. */
export async function controlMap(options: DrawOptions & FitOptions): Promise<ControlMap> {
  return fittedMap(await drawMap(options), options);
}

/** A map of any size at the size of the result, as tensors. Throws `invalid-argument` where the preprocessor lacks its mask. */
export function fittedMap(map: Image<3>, { fields, mask, size, byContent }: FitOptions): ControlMap {
  const { width, height } = size;
  if (!takesMask(fields)) {
    const fitted = byContent ? fitMap(map, size, fields.resize) : fitImage(map, width, height, fields.resize);
    const hint = planesOf(fitted, 0, 3);
    return { hint, colours: hint };
  }
  if (!mask)
    throw new StableDiffusionError(
      'invalid-argument',
      `The preprocessor ${fields.preprocessor} needs a mask, and there is none.`,
    );
  const painted = toRgb(fitImage(mask, map.width, map.height, 'stretch'));
  const joined = floatImage(map.width, map.height, 4);
  for (let i = 0; i < map.width * map.height; i++)
    joined.data.set([...map.data.subarray(3 * i, 3 * i + 3), painted.data[3 * i] as number], 4 * i);
  const fitted = fitMaskedMap(joined, size, fields.resize);
  const [colours, plane] = [planesOf(fitted, 0, 3), planesOf(fitted, 3, 4)];
  return { hint: maskedHint(colours, plane), colours, mask: plane };
}

/** A map as a picture: where a mask belongs to it, its alpha is halved where the network paints, as A1111's extension shows it. */
export function shownMap({ colours, mask }: ControlMap): Image<3 | 4> {
  const [, , height = 1, width = 1] = colours.shape;
  const size = width * height;
  const image = createImage(width, height, mask ? 4 : 3);
  const { channels } = image;
  for (let i = 0; i < size; i++) {
    for (let c = 0; c < 3; c++) image.data[i * channels + c] = Math.round(255 * (colours.data[c * size + i] as number));
    if (mask) image.data[4 * i + 3] = 255 - Math.floor((255 * (mask.data[i] as number)) / 2);
  }
  return image;
}
