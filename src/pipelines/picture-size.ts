/** Sizes in pixels that a model can make. */

import type { PatchOptions } from '../diffusion/patches.ts';
import { StableDiffusionError } from '../errors.ts';
import type { AnyInputs } from '../generation/inputs.ts';
import type { GenerationRequest } from '../generation/request.ts';
import type { Model } from '../model/model.ts';
import { pictureConditions } from './picture-conditions.ts';
import { isPixelStage, stageSize } from './pixel-stage.ts';

/** Most pixels of one batch (16384 x 4096): a larger request is a mistake. */
const largestBatch = 2 ** 26;

export interface PictureSize {
  readonly width: number;
  readonly height: number;
}

/** The size that an image to start from asks for: its own, of an upscaler what it becomes; none of an image that is only looked at. */
function startSize(model: Model, { image, tensors }: AnyInputs): PictureSize | undefined {
  const { checkpoint, downsampling } = model;
  const { pixels = tensors.small } = tensors;
  const [, , rows = 0, columns = 0] = pixels?.shape ?? [];
  const own = image ?? (pixels && { width: columns, height: rows });
  if (!own || checkpoint.kind === 'variation') return undefined;
  if (isPixelStage(model)) return stageSize(own, model.nativeSize);
  const factor = checkpoint.kind === 'upscale' ? downsampling : 1;
  return { width: factor * own.width, height: factor * own.height };
}

/**
 * The size that a request means: its own, the initial image's, that of the start noise, or the model's. With an initial image sides are cut to a multiple of the
 * model's unit, as CompVis's scripts cut them. Throws `invalid-argument` where nothing is left.
 */
export function pictureSize(model: Model, request: GenerationRequest, inputs: AnyInputs): PictureSize {
  const { startNoise, tensors } = inputs;
  const { nativeSize, downsampling } = model;
  const condition = inputs.image && pictureConditions[model.checkpoint.kind];
  const ofPixels = tensors.pixels && pictureConditions[model.checkpoint.kind]?.sizeOfPixels;
  if (tensors.pixels && ofPixels) return ofPixels(model, tensors.pixels);
  if (inputs.image && condition) return { ...condition.size(model, inputs.image), ...sidesOf(request) };
  const [, , rows, columns] = (tensors.latent ?? startNoise)?.shape ?? [];
  const image = startSize(model, inputs);
  const { width = image?.width ?? (columns === undefined ? nativeSize : columns * downsampling) } = request;
  const { height = image?.height ?? (rows === undefined ? nativeSize : rows * downsampling) } = request;
  if (!image) return { width, height };
  const { unit } = model;
  if (width < unit || height < unit) {
    throw new StableDiffusionError(
      'invalid-argument',
      `An image of ${width}x${height} pixels is too small: each side must be at least ${unit}. Give a larger image, or a width and height.`,
    );
  }
  return { width: width - (width % unit), height: height - (height % unit) };
}

/** The sides that a request names. */
function sidesOf({ width, height }: GenerationRequest): Partial<PictureSize> {
  return { ...(width === undefined ? {} : { width }), ...(height === undefined ? {} : { height }) };
}

/** Checks a picture's size against the model. Throws `invalid-argument` or `too-large`, before memory is spent. */
export function checkSize(model: Model, width: number, height: number, batch: number, patches?: PatchOptions): void {
  const { unit } = model;
  for (const [name, size] of [
    ['width', width],
    ['height', height],
  ] as const) {
    if (!Number.isInteger(size) || size < unit || size % unit !== 0) {
      throw new StableDiffusionError(
        'invalid-argument',
        `The ${name} is ${size}; this model makes pictures whose sides are multiples of ${unit} pixels.`,
      );
    }
  }
  if (width * height * batch > largestBatch) {
    throw new StableDiffusionError(
      'too-large',
      `${batch} pictures of ${width} x ${height} pixels are more than the ${largestBatch} pixels allowed at once. Use a smaller size or batch.`,
    );
  }
  model.checkDecodable(height / model.downsampling, width / model.downsampling, patches);
}
