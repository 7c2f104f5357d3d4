/** The same weights in another element type: floating-point tensors are rounded while being read; integers, the noise schedule and the latent scale are unchanged. */

import { StableDiffusionError } from '../errors.ts';
import { convert, toFloat32 } from '../tensor/convert.ts';
import { floatDTypes } from '../tensor/dtype.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { weightView } from './view.ts';
import type { WeightSource } from './weight-source.ts';

/** Buffers of a CompVis checkpoint that `DDPM.register_schedule` computes from the noise schedule. */
export const scheduleBuffers =
  /^(betas|alphas_cumprod|alphas_cumprod_prev|(sqrt|log)_one_minus_alphas_cumprod|sqrt_(recip|recipm1)_alphas_cumprod|sqrt_alphas_cumprod|posterior_(variance|log_variance_clipped|mean_coef[12])|lvlb_weights)$/;

/** Reading throws `not-finite` where a number is too large for the new type. */
export function withDType(source: WeightSource, dtype: 'float32' | 'float16' | 'bfloat16'): WeightSource {
  const tensors = Array.from(source.entries.values(), (entry) => {
    const changes =
      floatDTypes.has(entry.dtype) &&
      entry.dtype !== dtype &&
      entry.name !== 'scale_factor' &&
      !scheduleBuffers.test(entry.name);
    return {
      entry: changes ? { ...entry, dtype } : entry,
      async read(signal?: AbortSignal): Promise<Tensor> {
        const value = await source.read(entry.name, signal);
        return changes ? rounded(value, dtype, `${source.label}: ${entry.name}`) : value;
      },
      locate: () => (changes ? undefined : source.locate?.(entry.name)),
    };
  });
  return weightView(source.label, tensors, [source]);
}

function rounded(value: Tensor, dtype: 'float32' | 'float16' | 'bfloat16', what: string): Tensor {
  const result = convert(value, dtype);
  if (
    dtype === 'float16' &&
    hasInfinity(result.data as Uint16Array) &&
    !toFloat32(value).data.some((number) => Math.abs(number) === Number.POSITIVE_INFINITY)
  ) {
    throw new StableDiffusionError(
      'not-finite',
      `${what} has numbers above 65504, which float16 cannot hold. Use bfloat16 or float32.`,
    );
  }
  return result;
}

function hasInfinity(bits: Uint16Array): boolean {
  return bits.some((value) => (value & 0x7fff) === 0x7c00);
}
