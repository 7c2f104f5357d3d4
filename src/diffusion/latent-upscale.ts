/**
 * Enlarging latents as A1111's "hires. fix" does it (`latent_upscale_modes`, v1.10.1): `torch.nn.functional.interpolate` without aligned
 * corners, with or without smoothing.
 */

import { StableDiffusionError } from '../errors.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';

type Interpolation = 'bilinear' | 'bicubic' | 'nearest' | 'nearest-exact';

/** A1111's names. */
export const latentUpscaleModes = {
  Latent: { mode: 'bilinear', antialias: false },
  'Latent (antialiased)': { mode: 'bilinear', antialias: true },
  'Latent (bicubic)': { mode: 'bicubic', antialias: false },
  'Latent (bicubic antialiased)': { mode: 'bicubic', antialias: true },
  'Latent (nearest)': { mode: 'nearest', antialias: false },
  'Latent (nearest-exact)': { mode: 'nearest-exact', antialias: false },
} as const satisfies Readonly<Record<string, { readonly mode: Interpolation; readonly antialias: boolean }>>;
export type LatentUpscaleMode = keyof typeof latentUpscaleModes;

/** The inputs of one output element along an axis: positions and weights. */
type Taps = readonly (readonly [position: number, weight: number])[];

const { fround } = Math;

function cubic(a: number): (distance: number) => number {
  return (distance) => {
    const x = Math.abs(distance);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
  };
}

const triangle = (distance: number): number => Math.max(0, 1 - Math.abs(distance));

/** With smoothing: the filter widens when the axis shrinks; what lies outside is left out and the rest weighs more. */
function smoothTaps(mode: 'bilinear' | 'bicubic', from: number, to: number): Taps[] {
  const scale = fround(from / to);
  const widened = Math.max(scale, 1);
  const [kernel, reach] = mode === 'bicubic' ? [cubic(-0.5), 2] : [triangle, 1];
  const support = reach * widened;
  return Array.from({ length: to }, (_, i) => {
    const centre = scale * (i + 0.5);
    const start = Math.max(Math.trunc(centre - support + 0.5), 0);
    const end = Math.min(Math.trunc(centre + support + 0.5), from);
    const raw = Array.from({ length: end - start }, (__, k) => kernel((start + k - centre + 0.5) / widened));
    const sum = raw.reduce((total, weight) => total + weight, 0);
    return raw.map((weight, k) => [start + k, fround(weight / sum)] as const);
  });
}

function plainTaps(mode: Interpolation, from: number, to: number): Taps[] {
  const scale = fround(from / to);
  const inside = (position: number): number => Math.min(Math.max(position, 0), from - 1);
  return Array.from({ length: to }, (_, i): Taps => {
    if (mode === 'nearest') return [[inside(Math.floor(i * scale)), 1]];
    if (mode === 'nearest-exact') return [[inside(Math.floor((i + 0.5) * scale)), 1]];
    const at = fround(scale * (i + 0.5) - 0.5);
    if (mode === 'bilinear') {
      const centre = Math.max(at, 0);
      const low = inside(Math.floor(centre));
      const share = fround(centre - low);
      return [
        [low, fround(1 - share)],
        [inside(low + 1), share],
      ];
    }
    const low = Math.floor(at);
    const kernel = cubic(-0.75);
    return [-1, 0, 1, 2].map((step) => [inside(low + step), fround(kernel(at - low - step))] as const);
  });
}

/** Weighted sums along the middle axis of [outer, length, inner]. */
function along(data: Float32Array, length: number, inner: number, taps: readonly Taps[]): Float32Array {
  const outer = data.length / (length * inner);
  const out = new Float32Array(outer * taps.length * inner);
  for (let o = 0, to = 0; o < outer; o++)
    for (const tap of taps)
      for (let j = 0; j < inner; j++, to++) {
        let sum = 0;
        for (const [position, weight] of tap) sum += weight * (data[(o * length + position) * inner + j] as number);
        out[to] = sum;
      }
  return out;
}

/** Latents [b, c, h, w] at another size, in latent elements. */
export function upscaleLatent(
  latent: Tensor<'float32'>,
  height: number,
  width: number,
  name: LatentUpscaleMode,
): Tensor<'float32'> {
  const [b = 0, c = 0, h = 0, w = 0] = latent.shape;
  if (!(Number.isSafeInteger(height) && Number.isSafeInteger(width) && height > 0 && width > 0))
    throw new StableDiffusionError(
      'invalid-argument',
      `A latent cannot be resized to ${width}x${height}: width and height are whole numbers from 1.`,
    );
  const { mode, antialias } = latentUpscaleModes[name];
  const taps = (from: number, to: number): Taps[] =>
    antialias ? smoothTaps(mode, from, to) : plainTaps(mode, from, to);
  const rows = along(latent.data as Float32Array, w, 1, taps(w, width));
  return float32([b, c, height, width], along(rows, h, width, taps(h, height)));
}
