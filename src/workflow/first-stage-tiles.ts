/**
 * Encoding and decoding in tiles, as ComfyUI's: the mean of three tilings (t by t, t/2 by 2t, 2t by t), each feathered linearly where tiles
 * overlap. The memory needed grows with the tile and not with the picture.
 */

import { throwIfAborted, StableDiffusionError } from '../errors.ts';
import { joinBatches, takeBatch } from '../tensor/batches.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import type { NodeContext } from './context-in-run.ts';
import { autoencoder, croppedToUnits } from './first-stage.ts';
import { channelsFirst } from './pictures.ts';
import type { VaeValue } from './values/vae.ts';
import { cropPlanes } from '../tensor/crop-planes.ts';

type Float32 = Tensor<'float32'>;

interface Tiling {
  readonly height: number;
  readonly width: number;
  /** In elements of the input. */
  readonly overlap: number;
  /** Elements of the output for one of the input. */
  readonly scale: number;
  readonly channels: number;
}

/** Starts of tiles along an axis. */
function starts(length: number, tile: number, overlap: number): number[] {
  if (length <= tile) return [0];
  const step = tile - overlap;
  if (step < 1)
    throw new StableDiffusionError(
      'invalid-argument',
      `Tiles of ${tile} cannot overlap by ${overlap}. Use a larger tile_size or a smaller overlap.`,
    );
  const found: number[] = [];
  for (let at = 0; at < length - overlap; at += step) found.push(Math.max(0, Math.min(length - overlap, at)));
  return found;
}

/** One tiling of one item [1, c, h, w]. */
export async function tiled(
  x: Float32,
  tiling: Tiling,
  run: (tile: Float32) => Promise<Float32>,
  context: NodeContext,
): Promise<Float32> {
  const [, , h = 1, w = 1] = x.shape;
  const { height, width, overlap, scale, channels } = tiling;
  if (h <= height && w <= width) return run(x);
  const [H, W] = [Math.round(h * scale), Math.round(w * scale)];
  const sum = new Float32Array(channels * H * W);
  const weight = new Float32Array(channels * H * W);
  const feather = Math.round(overlap * scale);
  for (const top of starts(h, height, overlap))
    for (const left of starts(w, width, overlap)) {
      throwIfAborted(context.signal);
      const area = { top, left, height: Math.min(height, h - top), width: Math.min(width, w - left) };
      const made = await run(cropPlanes(x, area));
      const [, , mh = 1, mw = 1] = made.shape;
      const [y0, x0] = [Math.round(top * scale), Math.round(left * scale)];
      const ramp = (i: number, length: number): number => {
        let share = 1;
        if (feather < length) {
          if (i < feather) share *= (i + 1) / feather;
          if (length - 1 - i < feather) share *= (length - i) / feather;
        }
        return share;
      };
      for (let y = 0; y < mh; y++)
        for (let xx = 0; xx < mw; xx++) {
          const share = Math.fround(ramp(y, mh) * ramp(xx, mw));
          for (let c = 0; c < channels; c++) {
            const at = (c * H + y0 + y) * W + x0 + xx;
            sum[at] = (sum[at] as number) + Math.fround((made.data[(c * mh + y) * mw + xx] as number) * share);
            weight[at] = (weight[at] as number) + share;
          }
        }
    }
  return float32(
    [1, channels, H, W],
    sum.map((value, i) => value / (weight[i] as number)),
  );
}

/** The mean of three tilings of every item. */
async function threeTilings(
  values: Float32,
  tile: number,
  options: Omit<Tiling, 'height' | 'width'>,
  run: (tile: Float32) => Promise<Float32>,
  context: NodeContext,
): Promise<Float32> {
  const items: Float32[] = [];
  const half = Math.floor(tile / 2);
  for (let i = 0; i < (values.shape[0] ?? 0); i++) {
    const one = takeBatch(values, i, i + 1);
    const made: Float32[] = [];
    for (const [width, height] of [
      [half, tile * 2],
      [tile * 2, half],
      [tile, tile],
    ] as const)
      made.push(await tiled(one, { ...options, width, height }, run, context));
    const [a, b, c] = made as [Float32, Float32, Float32];
    items.push({
      ...a,
      data: a.data.map((value, at) =>
        Math.fround(Math.fround(Math.fround(value + (b.data[at] as number)) + (c.data[at] as number)) / 3),
      ),
    });
  }
  return joinBatches(items);
}

export interface TileOptions {
  /** Pixels. */
  readonly tileSize: number;
  readonly overlap: number;
}

/** Latents → pictures [b, 3, h, w] in 0…1. */
export async function decodeTiled(
  vae: VaeValue,
  samples: Float32,
  options: TileOptions,
  context: NodeContext,
): Promise<Float32> {
  const { tileSize } = options;
  const overlap = tileSize < options.overlap * 4 ? tileSize >> 2 : options.overlap;
  const unit = vae.downsampling;
  const stage = autoencoder(vae, context);
  const made = await threeTilings(
    samples,
    Math.floor(tileSize / unit),
    { overlap: Math.floor(overlap / unit), scale: unit, channels: 3 },
    (tile) => stage.decode(tile, context.signal),
    context,
  );
  return { ...made, data: made.data.map((x) => Math.min(1, Math.max(0, Math.fround(Math.fround(x + 1) / 2)))) };
}

/** IMAGE → latents. */
export function encodeTiled(
  vae: VaeValue,
  pixels: Float32,
  { tileSize, overlap }: TileOptions,
  context: NodeContext,
): Promise<Float32> {
  const stage = autoencoder(vae, context);
  const picture = channelsFirst(croppedToUnits(vae, pixels).picture);
  const channels = vae.network.config.kind === 'identity' ? 3 : vae.network.config.embed_dim;
  return threeTilings(
    { ...picture, data: picture.data.map((x) => Math.fround(x * 2) - 1) },
    tileSize,
    { overlap, scale: 1 / vae.downsampling, channels },
    async (tile) => stage.posterior(await stage.encode(tile, context.signal)).mean,
    context,
  );
}
