/** Changes of classifier-free guidance on denoised predictions, and of what a mask means at a level. */

import type { Tensor } from '../../tensor/tensor.ts';
import type { GuidanceParts, ModelPatches } from '../values/model.ts';
import type { ModelSampling } from './model-sampling.ts';

type Float32 = Tensor<'float32'>;
type After = NonNullable<ModelPatches['afterGuidance']>[number];

const itemSize = ({ data, shape }: Float32): number => data.length / (shape[0] ?? 1);

function deviation(values: Float32Array): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}

/** Guidance on v-predictions whose deviation is moved to the conditional one's (Lin et al. 2023, arXiv 2305.08891, section 3.4). */
export function rescaledGuidance(share: number): NonNullable<ModelPatches['guide']> {
  return ({ x, sigma, scale, conditional, unconditional }) => {
    const variance = sigma ** 2 + 1;
    const root = Math.sqrt(variance);
    const velocity = (denoised: Float32): Float32Array =>
      denoised.data.map((value, i) => (((x.data[i] as number) / variance - value) * root) / sigma);
    const [c, u] = [velocity(conditional), velocity(unconditional)];
    const size = itemSize(x);
    const data = new Float32Array(x.data.length);
    for (let start = 0; start < data.length; start += size) {
      const own = c.subarray(start, start + size);
      const guided = own.map((value, i) => (u[start + i] as number) + scale * (value - (u[start + i] as number)));
      const factor = share * (deviation(own) / deviation(guided)) + (1 - share);
      for (let i = 0; i < size; i++)
        data[start + i] = (x.data[start + i] as number) / variance - ((guided[i] as number) * factor * sigma) / root;
    }
    return { ...x, data };
  };
}

/** Mahiro: the more the guided result points where the unconditional one does, the more it counts. */
export const mahiroGuidance: After = (guided, { scale, conditional, unconditional }) => {
  const root = (value: number): number => Math.sqrt(Math.abs(value)) * Math.sign(value);
  const leap = conditional.data.map((value) => value * scale);
  const a = unconditional.data.map((value) => root(value * scale));
  const b = leap.map((value, i) => root((value + (guided.data[i] as number)) / 2));
  const [batch = 1, channels = 1] = guided.shape;
  const plane = guided.data.length / (batch * channels);
  let sum = 0;
  for (let item = 0; item < batch; item++)
    for (let i = 0; i < plane; i++) {
      let [dot, aa, bb] = [0, 0, 0];
      for (let c = 0; c < channels; c++) {
        const [p, q] = [a[(item * channels + c) * plane + i], b[(item * channels + c) * plane + i]] as [number, number];
        dot += p * q;
        aa += p * p;
        bb += q * q;
      }
      sum += dot / Math.max(Math.sqrt(aa) * Math.sqrt(bb), 1e-8);
    }
  const share = 2 * (sum / (batch * plane) + 1);
  return { ...guided, data: guided.data.map((value, i) => (share * value + (4 - share) * (leap[i] as number)) / 4) };
};

/** CFG-Zero*: the unconditional prediction scaled to the conditional one (Fan et al. 2025, arXiv 2503.18886). */
export const zeroStar: After = (guided, { x, scale, conditional, unconditional }) => {
  const size = itemSize(x);
  const data = new Float32Array(x.data.length);
  for (let start = 0; start < data.length; start += size) {
    let [dot, square] = [0, 1e-8];
    for (let i = start; i < start + size; i++) {
      const value = x.data[i] as number;
      const [p, n] = [value - (conditional.data[i] as number), value - (unconditional.data[i] as number)];
      dot += p * n;
      square += n * n;
    }
    const alpha = dot / square;
    for (let i = start; i < start + size; i++) {
      const u = unconditional.data[i] as number;
      data[i] = (guided.data[i] as number) + u * (alpha - 1) + scale * u * (1 - alpha);
    }
  }
  return { ...guided, data };
};

/** The predicted noise divided by a factor (Ning et al. 2023, arXiv 2308.15321). */
export const epsilonScaling =
  (factor: number): After =>
  (guided, { x }) => ({
    ...guided,
    data: guided.data.map((value, i) => (x.data[i] as number) - ((x.data[i] as number) - value) / factor),
  });

/** APG: the part of the guidance along the prediction weakened, its length bounded, with momentum (Sadat et al. 2024, arXiv 2410.02416). */
export function adaptiveProjection({
  eta,
  threshold,
  momentum,
}: {
  readonly eta: number;
  readonly threshold: number;
  readonly momentum: number;
}): (parts: GuidanceParts) => GuidanceParts {
  let last: { readonly sigma: number; readonly running: Float32Array | undefined } | undefined;
  return (parts) => {
    const { sigma, scale, conditional, unconditional } = parts;
    const before = last && sigma <= last.sigma ? last.running : undefined;
    const own = conditional.data.map((value, i) => value - (unconditional.data[i] as number));
    const guidance =
      momentum !== 0 && before ? own.map((value, i) => momentum * (before[i] as number) + value) : own.slice();
    last = { sigma, running: momentum === 0 ? undefined : guidance.slice() };
    const size = itemSize(conditional);
    const data = new Float32Array(own.length);
    for (let start = 0; start < data.length; start += size) {
      const [g, c] = [guidance.subarray(start, start + size), conditional.data.subarray(start, start + size)];
      const length = Math.sqrt(g.reduce((sum, value) => sum + value * value, 0));
      const bound = threshold > 0 ? Math.min(1, threshold / length) : 1;
      const norm = Math.max(1e-12, Math.sqrt(c.reduce((sum, value) => sum + value * value, 0)));
      const along = g.reduce((sum, value, i) => sum + (value * bound * (c[i] as number)) / norm, 0);
      for (let i = 0; i < size; i++) {
        const parallel = (along * (c[i] as number)) / norm;
        const rest = (g[i] as number) * bound - parallel;
        data[start + i] =
          (unconditional.data[start + i] as number) + rest + eta * parallel + (own[start + i] as number) / scale;
      }
    }
    return { ...parts, conditional: { ...conditional, data } };
  };
}

/** Differential diffusion: where the mask is low, what is kept is let go of late (Levin and Fried 2023, arXiv 2306.00950). */
export function differential(sampling: ModelSampling, strength: number): NonNullable<ModelPatches['denoiseMask']> {
  return (mask, sigma, sigmas) => {
    const last = Math.max(sampling.sigmaMin, sigmas[sigmas.length - 1] as number);
    const [from, to] = [sampling.timestep(sigmas[0] as number), sampling.timestep(last)];
    const threshold = Math.fround((sampling.timestep(sigma) - to) / (from - to));
    const own = strength > 0 && strength < 1 ? strength : 1;
    return { ...mask, data: mask.data.map((value) => own * Number(value >= threshold) + (1 - own) * value) };
  };
}
