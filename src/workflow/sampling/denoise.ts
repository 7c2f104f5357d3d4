/**
 * The guided model of a run as a denoiser: classifier-free guidance on denoised predictions, u + scale (c - u), with what nodes change of
 * it. After ComfyUI's `sampling_function` and `cfg_function` (samplers.py). At scale 1 the negative prompt is left out.
 */

import type { DenoisedParts, Denoiser } from '../../diffusion/denoiser.ts';
import { guide } from '../../diffusion/guidance.ts';
import { zeros, type Tensor } from '../../tensor/tensor.ts';
import type { GuidanceParts, ModelCall, ModelPatches } from '../values/model.ts';
import { type PredictOptions, predictPrompts } from './predict.ts';
import type { Region } from './regions.ts';

type Latent = Tensor<'float32'>;

const isOne = (scale: number): boolean => Math.abs(scale - 1) <= 1e-9 * Math.max(Math.abs(scale), 1);

/** The guided result of predictions. */
export async function guided(patches: ModelPatches, given: GuidanceParts, call: ModelCall): Promise<Latent> {
  const parts = (patches.beforeGuidance ?? []).reduce((before, change) => change(before), given);
  let result = patches.guide ? patches.guide(parts) : guide(parts.unconditional, parts.conditional, parts.scale);
  for (const change of patches.afterGuidance ?? []) result = await change(result, parts, call);
  return result;
}

/** A denoiser of a positive and a negative prompt. `needsUnconditional` for CFG++. */
export function guidedDenoiser(
  options: PredictOptions,
  [positive, negative]: readonly [readonly Region[], readonly Region[]],
  scale: number,
  needsUnconditional: boolean,
): Denoiser {
  const { model, signal } = options;
  const { patches } = model;
  const parts = async (x: Latent, sigma: number): Promise<DenoisedParts> => {
    const network = patches.networkAt?.(options.network ?? model.network, sigma);
    const own = network ? { ...options, network } : options;
    const leavesOut = isOne(scale) && !needsUnconditional && !patches.keepsUnconditional;
    const [conditional, unconditional = zeros('float32', x.shape)] = (await predictPrompts(
      own,
      leavesOut ? [positive] : [positive, negative],
      x,
      sigma,
    )) as [Latent, Latent?];
    const call: ModelCall = {
      signal,
      predict: async (which, { x: other = x, network: change } = {}) => {
        const base = own.network ?? model.network;
        const changed = change ? { ...own, network: change(base) } : own;
        const regions = which === 'conditional' ? positive : negative;
        return (await predictPrompts(changed, [regions], other, sigma))[0] as Latent;
      },
    };
    const denoised = await guided(patches, { x, sigma, scale, conditional, unconditional }, call);
    return { denoised, unconditional };
  };
  return Object.assign(async (x: Latent, sigma: number) => (await parts(x, sigma)).denoised, { parts });
}
