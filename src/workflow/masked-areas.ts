/** Masks [b, h, w] and pictures [b, h, w, c] under them, as comfyui-inpaint-nodes has them: grown, blurred, filled, colours matched. */

import { labToRgb, rgbToLab } from '../image/lab.ts';
import { StableDiffusionError } from '../errors.ts';
import { clamped, type Float32, mapped } from './grids.ts';
import { dilated, eroded } from './morphology.ts';
import { toBatch } from './sampling/to-batch.ts';

/** The next odd number; 0 stays. */
export const odd = (size: number): number => (size > 0 && size % 2 === 0 ? size + 1 : size);

const full = (mask: Float32): Float32 => mapped(mask, (value) => Number(value >= 0.99));

/** Where the square of that radius is all 1; the border counts as 1. */
const shrunkTo = (mask: Float32, radius: number): Float32 =>
  eroded(
    mapped(mask, (value) => Number(value === 1)),
    2 * radius + 1,
  );
/** Where the square of that radius is anywhere above 0. */
const grownTo = (mask: Float32, radius: number): Float32 =>
  dilated(
    mapped(mask, (value) => Number(value > 0)),
    2 * radius + 1,
  );

type Kernel = Float64Array;

function gaussian(size: number): Kernel {
  const sigma = 0.3 * (size - 1) + 0.8;
  return normalized(
    Float64Array.from({ length: size }, (_, i) => Math.exp(-((i - (size - 1) / 2) ** 2) / (2 * sigma * sigma))),
  );
}
const box = (size: number): Kernel => new Float64Array(size).fill(1 / size);
function linear(size: number): Kernel {
  const half = size >> 1;
  if (size === 3) return box(3);
  const rise = (i: number): number => (half === 1 ? 1 / half : 1 / half + (i * (half - 2)) / half / (half - 1));
  return normalized(
    Float64Array.from({ length: size }, (_, i) => (i === half ? 1 : rise(i < half ? i : size - 1 - i))),
  );
}
const normalized = (kernel: Kernel): Kernel => {
  const sum = kernel.reduce((total, value) => total + value, 0);
  return kernel.map((value) => value / sum);
};

export const blurKinds = ['box', 'linear', 'gaussian'] as const;
const kernels: Readonly<Record<string, (size: number) => Kernel>> = { box, linear, gaussian };

/** Along one axis, the border mirrored without its edge. */
function along(x: Float32, kernel: Kernel, step: number, count: number): Float32 {
  const radius = kernel.length >> 1;
  if (radius >= count)
    throw new StableDiffusionError(
      'shape-mismatch',
      `A blur of ${kernel.length} pixels is too wide for a side of ${count}. Use a smaller one.`,
    );
  return mapped(x, (_, i) => {
    const place = Math.floor(i / step) % count;
    let sum = 0;
    for (let k = -radius; k <= radius; k++) {
      const at = place + k;
      const mirrored = at < 0 ? -at : at >= count ? 2 * count - 2 - at : at;
      sum += (kernel[k + radius] as number) * (x.data[i + (mirrored - place) * step] as number);
    }
    return sum;
  });
}

/** `inner` numbers at each place of [b, h, w, inner]. */
function blurred(x: Float32, kernel: Kernel): Float32 {
  const [, height = 1, width = 1, inner = 1] = x.shape;
  return along(along(x, kernel, inner, width), kernel, inner * width, height);
}

const blurredMask = (mask: Float32, size: number, kind: string): Float32 =>
  size <= 2 ? mask : blurred(mask, (kernels[kind] ?? gaussian)(size));

export function expandedMask(mask: Float32, by: number, blur: number, kind: string): Float32 {
  return blurredMask(by > 0 ? grownTo(mask, by) : mask, odd(blur), kind);
}

export function shrunkMask(mask: Float32, by: number, blur: number, kind: string): Float32 {
  return blurredMask(by > 0 ? shrunkTo(mask, by) : mask, odd(blur), kind);
}

/** How strongly each place is changed: fully inside, less towards the edge over `falloff` pixels. */
function alphaOf(mask: Float32, falloff: number): Float32 {
  const inside = full(mask);
  if (falloff <= 0) return inside;
  const soft = blurred(shrunkTo(inside, falloff), gaussian(falloff));
  return mapped(inside, (value, i) => value * (soft.data[i] as number));
}

function checkFits(image: Float32, mask: Float32): Float32 {
  if (image.shape.slice(1, 3).join() === mask.shape.slice(1, 3).join()) return toBatch(mask, image.shape[0] ?? 1);
  throw new StableDiffusionError(
    'shape-mismatch',
    `The picture has ${image.shape[2]} by ${image.shape[1]} pixels and the mask ${mask.shape[2]} by ${mask.shape[1]}; they must be of one size.`,
  );
}

/** Grey under the mask. */
export function neutralUnder(image: Float32, mask: Float32, falloff: number): Float32 {
  const alpha = alphaOf(checkFits(image, mask), odd(falloff)).data;
  const channels = image.shape[3] ?? 3;
  return mapped(image, (value, i) => {
    if (i % channels > 2) return value;
    return (value - 0.5) * (1 - (alpha[Math.floor(i / channels)] as number)) + 0.5;
  });
}

/** Blurred under the mask. */
export function blurredUnder(image: Float32, mask: Float32, blur: number, falloff: number): Float32 {
  const size = odd(blur);
  const alpha = alphaOf(checkFits(image, mask), Math.min(odd(falloff), size - 2)).data;
  const channels = image.shape[3] ?? 3;
  const soft = blurred(image, gaussian(size)).data;
  return mapped(
    image,
    (value, i) => value + ((soft[i] as number) - value) * (alpha[Math.floor(i / channels)] as number),
  );
}

interface Moments {
  readonly mean: number;
  readonly deviation: number;
}

function momentsOf(lab: Float32Array, channel: number, counts: (place: number) => boolean): Moments {
  const places = lab.length / 3;
  let [sum, square] = [0, 0];
  for (let i = 0; i < places; i++) {
    const value = counts(i) ? (lab[3 * i + channel] as number) : 0;
    sum += value;
    square += value * value;
  }
  const mean = sum / places;
  return { mean, deviation: Math.sqrt(Math.max(0, square / places - mean * mean)) };
}

/** A picture with the mean and deviation of another's colours in CIE L*a*b*, both measured where the mask is below 0.5. */
export function colorsMatched(
  target: Float32,
  reference: Float32,
  exclude: { readonly target: Float32; readonly reference: Float32 } | undefined,
  strength: number,
): Float32 {
  const [batch = 1, height = 1, width = 1] = target.shape;
  const size = height * width * 3;
  const others = (reference.data.length / (reference.shape[0] ?? 1)) | 0;
  const data = new Float32Array(target.data.length);
  const outside = (mask: Float32 | undefined, item: number, plane: number) => (place: number) =>
    !mask || (mask.data[(item % (mask.shape[0] ?? 1)) * plane + place] as number) < 0.5;
  for (let b = 0; b < batch; b++) {
    const own = rgbToLab(target.data.subarray(b * size, (b + 1) * size));
    const item = b % (reference.shape[0] ?? 1);
    const other = rgbToLab(reference.data.subarray(item * others, (item + 1) * others));
    const lab = new Float32Array(size);
    for (let c = 0; c < 3; c++) {
      const from = momentsOf(own, c, outside(exclude?.target, b, size / 3));
      const to = momentsOf(other, c, outside(exclude?.reference, item, others / 3));
      const factor = to.deviation / Math.max(1e-6, from.deviation);
      for (let i = c; i < size; i += 3) lab[i] = ((own[i] as number) - from.mean) * factor + to.mean;
    }
    data.set(labToRgb(lab), b * size);
  }
  return mapped({ ...target, data }, (value, i) =>
    clamped((1 - strength) * (target.data[i] as number) + strength * value),
  );
}
