/** Resizing of latents by spherical interpolation of channel vectors, along x and then y: ComfyUI's `bislerp`. */

import type { Tensor } from './tensor.ts';

type Float32 = Tensor<'float32'>;

/** Between two vectors, lengths linearly and directions along the arc. */
function slerp(a: readonly number[], b: readonly number[], r: number): number[] {
  const length = (v: readonly number[]): number => Math.sqrt(v.reduce((sum, x) => sum + x * x, 0));
  const [la, lb] = [length(a), length(b)];
  const [na, nb] = [a.map((x) => (la === 0 ? 0 : x / la)), b.map((x) => (lb === 0 ? 0 : x / lb))];
  const dot = na.reduce((sum, x, i) => sum + x * (nb[i] as number), 0);
  if (dot > 1 - 1e-5) return [...a];
  if (dot < 1e-5 - 1) return a.map((x, i) => x * (1 - r) + (b[i] as number) * r);
  const omega = Math.acos(dot);
  const whole = Math.sin(omega);
  const [wa, wb] = [Math.sin((1 - r) * omega) / whole, Math.sin(r * omega) / whole];
  const size = la * (1 - r) + lb * r;
  return na.map((x, i) => (x * wa + (nb[i] as number) * wb) * size);
}

/** Along the last axis of [n, c, h, w] where `isRows` is false, else along the one before it. */
function resizeAxis(x: Float32, to: number, isRows: boolean): Float32 {
  const [n = 0, c = 0, h = 1, w = 1] = x.shape;
  const from = isRows ? h : w;
  const [height, width] = isRows ? [to, w] : [h, to];
  const data = new Float32Array(n * c * height * width);
  const scale = Math.fround(from / to);
  for (let i = 0; i < to; i++) {
    const at = Math.min(from - 1, Math.max(0, Math.fround(scale * (i + 0.5) - 0.5)));
    const low = Math.floor(at);
    const high = Math.min(low + 1, from - 1);
    for (let b = 0; b < n; b++)
      for (let other = 0; other < (isRows ? w : h); other++) {
        const vector = (position: number): number[] =>
          Array.from({ length: c }, (_, k) => {
            const place = isRows ? position * w + other : other * w + position;
            return x.data[(b * c + k) * h * w + place] as number;
          });
        const place = isRows ? i * width + other : other * width + i;
        for (const [k, value] of slerp(vector(low), vector(high), at - low).entries())
          data[(b * c + k) * height * width + place] = value;
      }
  }
  return { dtype: 'float32', shape: [n, c, height, width], data };
}

export const bislerp = (x: Float32, height: number, width: number): Float32 =>
  resizeAxis(resizeAxis(x, width, false), height, true);
