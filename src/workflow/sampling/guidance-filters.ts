/** Changes of the guidance by its length, its direction or its frequencies, on denoised predictions, as ComfyUI's nodes have them. */

import { guide } from '../../diffusion/guidance.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { ConditioningValue } from '../values/conditioning.ts';
import type { GuidanceParts, ModelPatches } from '../values/model.ts';

type Float32 = Tensor<'float32'>;

/** The guided result times a strength, its channel vectors at most as long as the conditional prediction's. */
export const normBounded =
  (strength: number): NonNullable<ModelPatches['afterGuidance']>[number] =>
  (guided, { conditional }) => {
    const [batch = 1, channels = 1] = guided.shape;
    const plane = guided.data.length / (batch * channels);
    const data = new Float32Array(guided.data.length);
    for (let item = 0; item < batch; item++)
      for (let i = 0; i < plane; i++) {
        let [own, most] = [0, 0];
        for (let c = 0; c < channels; c++) {
          const at = (item * channels + c) * plane + i;
          own += (guided.data[at] as number) ** 2;
          most += (conditional.data[at] as number) ** 2;
        }
        const factor = Math.min(1, Math.sqrt(most) / (Math.sqrt(own) + 1e-8)) * strength;
        for (let c = 0; c < channels; c++) {
          const at = (item * channels + c) * plane + i;
          data[at] = (guided.data[at] as number) * factor;
        }
      }
    return { ...guided, data };
  };

/** Guidance below a level alone, each image at most `most` times as long as its conditional prediction; 0 leaves the length. */
export const renormed =
  (below: number, most: number): NonNullable<ModelPatches['guide']> =>
  ({ sigma, scale, conditional, unconditional }) => {
    if (sigma >= below) return conditional;
    const result = guide(unconditional, conditional, scale);
    if (most <= 0) return result;
    const size = result.data.length / (result.shape[0] ?? 1);
    const data = result.data.slice();
    const length = (value: Float32, start: number): number => {
      let sum = 0;
      for (let i = start; i < start + size; i++) sum += (value.data[i] as number) ** 2;
      return Math.sqrt(sum);
    };
    for (let start = 0; start < data.length; start += size) {
      const [own, limit] = [length(result, start), length(conditional, start) * most];
      if (own < limit || own === 0) continue;
      for (let i = start; i < start + size; i++) data[i] = (data[i] as number) * (limit / own);
    }
    return { ...result, data };
  };

/** Share of the first of two vectors along the direction that both have most in common, the first right singular vector. */
function tangential(u: Float32Array, c: Float32Array): Float32Array {
  let [uu, uc, cc] = [0, 0, 0];
  for (let i = 0; i < u.length; i++) {
    const [a, b] = [u[i] as number, c[i] as number];
    uu += a * a;
    uc += a * b;
    cc += b * b;
  }
  // The greater eigenvector of [[uu, uc], [uc, cc]].
  const angle = Math.atan2(2 * uc, uu - cc) / 2;
  const [p, q] = [Math.cos(angle), Math.sin(angle)];
  const square = p * p * uu + 2 * p * q * uc + q * q * cc;
  const along = square > 0 ? (p * uu + q * uc) / square : 0;
  return u.map((value, i) => along * (p * value + q * (c[i] as number)));
}

/** TCFG: the unconditional prediction without what is across to the conditional one (Kwon et al. 2025, arXiv 2503.18137). */
export const tangentiallyDamped = (parts: GuidanceParts): GuidanceParts => {
  const { x, conditional, unconditional, isUnguided } = parts;
  if (isUnguided) return parts;
  const size = x.data.length / (x.shape[0] ?? 1);
  const data = new Float32Array(x.data.length);
  const away = (value: Float32): Float32Array => x.data.map((one, i) => one - (value.data[i] as number));
  const [u, c] = [away(unconditional), away(conditional)];
  for (let start = 0; start < data.length; start += size) {
    const damped = tangential(u.subarray(start, start + size), c.subarray(start, start + size));
    for (const [i, value] of damped.entries()) data[start + i] = (x.data[start + i] as number) - value;
  }
  return { ...parts, unconditional: { ...unconditional, data } };
};

/** Complex [n, n]: the projection onto `count` frequencies from `first` on, of a centred spectrum. */
function projection(n: number, first: number, count: number): { readonly re: Float64Array; readonly im: Float64Array } {
  const [re, im] = [new Float64Array(n * n), new Float64Array(n * n)];
  for (let distance = 0; distance < n; distance++) {
    let [sumRe, sumIm] = [0, 0];
    for (let k = first; k < first + count; k++) {
      const angle = (2 * Math.PI * ((k * distance) % n)) / n;
      sumRe += Math.cos(angle) / n;
      sumIm += Math.sin(angle) / n;
    }
    for (let to = 0; to < n; to++) {
      const from = (to - distance + n) % n;
      re[to * n + from] = sumRe;
      im[to * n + from] = sumIm;
    }
  }
  return { re, im };
}

/** Frequencies below a cutoff, in both directions, of a plane [h, w]: the real part of the box around the middle of its spectrum. */
function lowFrequencies(plane: Float32Array, height: number, width: number, cutoff: number): Float64Array {
  const box = (n: number) => {
    const middle = Math.floor(n / 2);
    const half = Math.min(cutoff, middle);
    // The shifted spectrum begins at frequency -floor(n / 2).
    return projection(n, n - half, 2 * half);
  };
  const [rows, columns] = [box(height), box(width)];
  const [re, im] = [new Float64Array(plane.length), new Float64Array(plane.length)];
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      let [a, b] = [0, 0];
      for (let k = 0; k < width; k++) {
        const value = plane[y * width + k] as number;
        a += value * (columns.re[x * width + k] as number);
        b += value * (columns.im[x * width + k] as number);
      }
      re[y * width + x] = a;
      im[y * width + x] = b;
    }
  const out = new Float64Array(plane.length);
  for (let y = 0; y < height; y++)
    for (let k = 0; k < height; k++) {
      const [p, q] = [rows.re[y * height + k] as number, rows.im[y * height + k] as number];
      for (let x = 0; x < width; x++)
        out[y * width + x] =
          (out[y * width + x] as number) + p * (re[k * width + x] as number) - q * (im[k * width + x] as number);
    }
  return out;
}

/** FreSca: low and high frequencies of the guidance by factors of their own (Huang et al. 2025, arXiv 2504.02154). */
export const frequencyScaled =
  ({ low, high, cutoff }: { readonly low: number; readonly high: number; readonly cutoff: number }) =>
  (parts: GuidanceParts): GuidanceParts => {
    const { conditional, unconditional, isUnguided } = parts;
    if (isUnguided) return parts;
    const [height = 1, width = 1] = conditional.shape.slice(-2);
    const plane = height * width;
    const guidance = conditional.data.map((value, i) => value - (unconditional.data[i] as number));
    const data = new Float32Array(guidance.length);
    for (let start = 0; start < data.length; start += plane) {
      const own = guidance.subarray(start, start + plane);
      const lows = lowFrequencies(own, height, width, cutoff);
      for (const [i, value] of own.entries())
        data[start + i] = (unconditional.data[start + i] as number) + high * value + (low - high) * (lows[i] as number);
    }
    return { ...parts, conditional: { ...conditional, data } };
  };

/** Perp-Neg against the prediction of a third prompt (Armandpour et al. 2023, arXiv 2304.04968). */
export function perpendicularTo(
  [positive, negative, empty]: readonly [Float32, Float32, Float32],
  scale: number,
  negativeScale: number,
): Float32 {
  const away = (value: Float32): Float32Array => value.data.map((one, i) => one - (empty.data[i] as number));
  const [pos, neg] = [away(positive), away(negative)];
  const dot = neg.reduce((sum, value, i) => sum + value * (pos[i] as number), 0);
  const square = pos.reduce((sum, value) => sum + value * value, 0);
  const data = empty.data.map((value, i) => {
    const across = ((neg[i] as number) - (dot / square) * (pos[i] as number)) * negativeScale;
    return value + scale * ((pos[i] as number) - across);
  });
  return { ...empty, data };
}

/** Guidance by Perp-Neg, its third prompt predicted in a call of its own. */
export const perpendicular =
  (empty: ConditioningValue, negativeScale: number): NonNullable<ModelPatches['guide']> =>
  async ({ conditional, unconditional, scale }, { predictPrompt }) =>
    perpendicularTo([conditional, unconditional, await predictPrompt(empty)], scale, negativeScale);
