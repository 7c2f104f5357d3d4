/** Parts of latents: masks that follow their batch, feathered overlays, mixtures that keep lengths, batches divided again. */

import { joinBatches, takeBatch } from '../tensor/batches.ts';
import { type Float32, mapped, placed, zipped } from './grids.ts';
import { toBatch } from './sampling/to-batch.ts';
import type { LatentValue } from './values.ts';

/** The masks of some items of a batch of `count`; one mask for all stays one. */
export function maskSlice(mask: Float32, count: number, start: number, length: number): Float32 {
  return mask.shape[0] === 1 ? mask : takeBatch(toBatch(mask, count), start, start + length);
}

/** The masks of a repeated batch; one mask for all stays one. */
export function maskRepeated(mask: Float32, count: number, times: number): Float32 {
  return mask.shape[0] === 1 ? mask : toBatch(toBatch(mask, count), count * times);
}

/** A latent over another at a place, fading over `feather` elements at edges inside. */
export function featheredLatent(
  to: Float32,
  from: Float32,
  { x, y, feather }: { readonly x: number; readonly y: number; readonly feather: number },
): Float32 {
  const [batch = 1, channels = 1, H = 1, W = 1] = to.shape;
  const own = toBatch(from, batch);
  const [h, w] = [Math.min(own.shape[2] ?? 1, H - y), Math.min(own.shape[3] ?? 1, W - x)];
  if (h < 1 || w < 1) return to;
  const source = placed(own, false, [h, w], (row, column) => [row, column]);
  const [wholeHeight, wholeWidth] = [own.shape[2] ?? 1, own.shape[3] ?? 1];
  const step = (t: number): number => (t < feather ? (t + 1) / feather : 1);
  // At the far edge a feather longer than the source counts on from its end, as Python's slices do.
  const rise = (i: number, length: number, start: number, end: number, whole: number): number =>
    (start === 0 ? 1 : step(i)) *
    (end < whole ? step(length - 1 - i) * (i < length - 1 ? step(2 * length - 1 - i) : 1) : 1);
  const data = to.data.slice();
  for (let plane = 0; plane < batch * channels; plane++)
    for (let row = 0; row < h; row++)
      for (let column = 0; column < w; column++) {
        const share = rise(row, h, y, y + wholeHeight, H) * rise(column, w, x, x + wholeWidth, W);
        const at = (plane * H + y + row) * W + x + column;
        const over = source.data[(plane * h + row) * w + column] as number;
        data[at] = Math.fround(over * share) + Math.fround((data[at] as number) * (1 - share));
      }
  return { ...to, data };
}

/** Lengths of channel vectors [b, 1, h, w], repeated over the channels. */
export function vectorLengths(x: Float32): Float32 {
  const [batch = 1, channels = 1] = x.shape;
  const plane = x.data.length / (batch * channels);
  return mapped(x, (_, i) => {
    const item = Math.floor(i / (plane * channels));
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += (x.data[(item * channels + c) * plane + (i % plane)] as number) ** 2;
    return Math.sqrt(sum);
  });
}

const quotient = (a: Float32, b: Float32): Float32 => zipped(a, b, (x, y) => (y === 0 ? 0 : x / y));

/** a · ratio + b · (1 - ratio), directions and lengths apart. */
export function interpolated(a: Float32, b: Float32, ratio: number): Float32 {
  const [la, lb] = [vectorLengths(a), vectorLengths(b)];
  const mix = (x: Float32, y: Float32): Float32 => zipped(x, y, (p, q) => p * ratio + q * (1 - ratio));
  const direction = mix(quotient(a, la), quotient(b, lb));
  return zipped(quotient(direction, vectorLengths(direction)), mix(la, lb), (x, y) => x * y);
}

/** A mask for each item; without one, a mask of ones in the latent's pixels. */
function itemMask({ samples, noiseMask }: LatentValue, i: number): Float32 {
  const [count = 1, , h = 1, w = 1] = samples.shape;
  if (noiseMask) return takeBatch(toBatch(noiseMask, count), i, i + 1);
  return { dtype: 'float32', shape: [1, 1, h * 8, w * 8], data: new Float32Array(h * w * 64).fill(1) };
}

/** Latents of one size after another in batches of at most `size`. */
export function rebatchedLatents(latents: readonly LatentValue[], size: number): LatentValue[] {
  const made: LatentValue[] = [];
  let held: { samples: Float32; mask: Float32 | undefined; index: number }[] = [];
  const finish = (): void => {
    if (held.length === 0) return;
    const masked = held.some(({ mask }) => mask);
    made.push({
      samples: joinBatches(held.map(({ samples }) => samples)),
      batchIndex: held.map(({ index }) => index),
      ...(masked && { noiseMask: joinBatches(held.flatMap(({ mask }) => mask ?? [])) }),
    });
    held = [];
  };
  let counted = 0;
  for (const latent of latents) {
    const count = latent.samples.shape[0] ?? 0;
    for (let i = 0; i < count; i++) {
      const samples = takeBatch(latent.samples, i, i + 1);
      const [first] = held;
      if (first && (first.samples.shape.join() !== samples.shape.join() || held.length >= size)) finish();
      held.push({
        samples,
        mask: latents.some(({ noiseMask }) => noiseMask) ? itemMask(latent, i) : undefined,
        index: latent.batchIndex?.[i] ?? counted + i,
      });
    }
    counted += count;
  }
  finish();
  return made;
}
