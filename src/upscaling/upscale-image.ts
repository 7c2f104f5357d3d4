/** Pictures through an upscaler as A1111 does it: BGR planes in [0, 1], tiles, rounding half to even. */

import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import { createImage, type Image } from '../image/image.ts';
import { resize } from '../image/resize.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import { strideStarts, upscaleInGrid } from './tiles.ts';
import type { Upscaler } from './upscaler.ts';
import { roundHalfEven } from '../tensor/round-half-even.ts';
import { cropPlanes } from '../tensor/crop-planes.ts';

/** How tiles are joined: blended in 8 bits along their overlap, or the mean of overlapping pixels. */
export type TileBlending = 'grid' | 'mean';

export interface UpscaleOptions {
  /** Side of a tile, pixels of the original; 0 turns tiling off. Default: A1111's for the architecture. */
  readonly tile?: number;
  /** Pixels that neighbours share. Default: A1111's, 8. */
  readonly overlap?: number;
  readonly signal?: AbortSignal;
  readonly onTile?: (done: number, count: number) => void;
}

/** A1111's settings of each architecture. */
const defaults: Readonly<Record<string, { readonly tile: number; readonly blending: TileBlending }>> = {
  ESRGAN: { tile: 192, blending: 'grid' },
  Compact: { tile: 192, blending: 'grid' },
  DAT: { tile: 192, blending: 'grid' },
  SwinIR: { tile: 192, blending: 'mean' },
  SCUNet: { tile: 256, blending: 'mean' },
};

/** Planes blue, green, red in [0, 1]; grey networks get the mean of the colours. */
function toPlanes({ width, height, data }: Image<3>, channels: number): Tensor<'float32'> {
  const n = width * height;
  const planes = new Float32Array(channels * n);
  for (let i = 0; i < n; i++) {
    const [r = 0, g = 0, b = 0] = [data[3 * i], data[3 * i + 1], data[3 * i + 2]];
    if (channels === 1) planes[i] = (0.299 * r + 0.587 * g + 0.114 * b) / 255;
    else for (const [plane, value] of [b, g, r].entries()) planes[plane * n + i] = Math.fround(value / 255);
  }
  return float32([1, channels, height, width], planes);
}

function fromPlanes({ shape, data }: Tensor<'float32'>): Image<3> {
  const [, channels = 3, height = 1, width = 1] = shape;
  const n = width * height;
  const image = createImage(width, height, 3);
  for (let i = 0; i < n; i++)
    for (let c = 0; c < 3; c++) {
      const plane = channels === 1 ? 0 : 2 - c;
      image.data[3 * i + c] = roundHalfEven(Math.fround(255 * (data[plane * n + i] as number)));
    }
  return image;
}

function checkFinite(out: Tensor<'float32'>, upscaler: Upscaler): Tensor<'float32'> {
  if (out.data.every(Number.isFinite)) return out;
  throw new StableDiffusionError(
    'not-finite',
    `The ${upscaler.network.architecture} upscaler made values that are not finite. Check its file, or use another one.`,
  );
}

/** The mean of overlapping tiles, in floats over the whole picture. */
async function upscaleByMean(
  image: Image<3>,
  upscaler: Upscaler,
  tile: number,
  overlap: number,
  { signal, onTile }: UpscaleOptions,
): Promise<Image<3>> {
  const x = toPlanes(image, upscaler.channels);
  const side = Math.min(tile, image.width, image.height);
  if (side <= 0) return fromPlanes(checkFinite(await upscaler.runOnPicture(x, signal), upscaler));
  const { scale, channels } = upscaler;
  const [width, height] = [image.width * scale, image.height * scale];
  const sums = new Float32Array(channels * width * height);
  const counts = new Uint16Array(width * height);
  const rows = strideStarts(image.height, side, Math.min(overlap, side - 1));
  const columns = strideStarts(image.width, side, Math.min(overlap, side - 1));
  let done = 0;
  for (const top of rows)
    for (const left of columns) {
      throwIfAborted(signal);
      const out = checkFinite(
        await upscaler.runOnPicture(cropPlanes(x, { top, left, height: side, width: side }), signal),
        upscaler,
      );
      const made = side * scale;
      for (let row = 0; row < made; row++)
        for (let column = 0; column < made; column++) {
          const to = (top * scale + row) * width + left * scale + column;
          counts[to] = (counts[to] as number) + 1;
          for (let c = 0; c < channels; c++)
            sums[c * width * height + to] =
              (sums[c * width * height + to] as number) + (out.data[(c * made + row) * made + column] as number);
        }
      onTile?.(++done, rows.length * columns.length);
    }
  const mean = sums.map((sum, i) => sum / (counts[i % (width * height)] as number));
  return fromPlanes(float32([1, channels, height, width], mean));
}

/** One pass of the network: the picture `scale` times as large. Throws `aborted`, `not-finite`, `engine-failed`. */
export async function upscaleOnce(
  image: Image<3>,
  upscaler: Upscaler,
  options: UpscaleOptions = {},
): Promise<Image<3>> {
  const known = defaults[upscaler.network.architecture] ?? { tile: 192, blending: 'grid' };
  const { tile = known.tile, overlap = 8, signal, onTile } = options;
  if (!Number.isInteger(tile) || tile < 0 || !Number.isInteger(overlap) || overlap < 0 || (tile > 0 && overlap >= tile))
    throw new StableDiffusionError(
      'invalid-argument',
      `A tile of ${tile} pixels with an overlap of ${overlap} is impossible; the overlap must be smaller than the tile.`,
    );
  if (known.blending === 'mean') return upscaleByMean(image, upscaler, tile, overlap, options);
  const make = async (part: Image<3>): Promise<Image<3>> => {
    throwIfAborted(signal);
    return fromPlanes(checkFinite(await upscaler.runOnPicture(toPlanes(part, upscaler.channels), signal), upscaler));
  };
  return upscaleInGrid(image, { tile, overlap, scale: upscaler.scale }, make, onTile);
}

/** No picture has more pixels than this after upscaling. */
const largestPicture = 2 ** 28;

/**
 * The picture enlarged by `scale` (`Upscaler.upscale` of A1111): both sides rounded down to multiples of 8, the network applied up to three
 * times until they are reached, then Lanczos to the exact size. Throws `too-large` before memory is spent.
 */
export async function upscaleBy(
  image: Image<3>,
  scale: number,
  once: (image: Image<3>) => Promise<Image<3>>,
): Promise<Image<3>> {
  if (!(Number.isFinite(scale) && scale > 0))
    throw new StableDiffusionError('invalid-argument', `The scale must be a positive number, got ${scale}.`);
  const width = Math.floor((image.width * scale) / 8) * 8;
  const height = Math.floor((image.height * scale) / 8) * 8;
  if (width < 8 || height < 8)
    throw new StableDiffusionError(
      'invalid-argument',
      `${image.width} x ${image.height} pixels times ${scale} is smaller than 8 x 8 pixels.`,
    );
  if (width * height > largestPicture)
    throw new StableDiffusionError(
      'too-large',
      `${width} x ${height} pixels are more than the ${largestPicture} pixels allowed. Use a smaller scale.`,
    );
  let made = image;
  for (let pass = 0; pass < 3; pass++) {
    if (made.width >= width && made.height >= height && (pass > 0 || scale !== 1)) break;
    const next = await once(made);
    const unchanged = next.width === made.width && next.height === made.height;
    made = next;
    if (unchanged) break;
  }
  return made.width === width && made.height === height ? made : resize(made, width, height, 'lanczos');
}
