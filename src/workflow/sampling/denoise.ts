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
  let result = patches.guide
    ? await patches.guide(parts, call)
    : guide(parts.unconditional, parts.conditional, parts.scale);
  for (const change of patches.afterGuidance ?? []) result = await change(result, parts, call);
  return result;
}

/** Options with the network that the model's patches choose for a level. */
export function atLevel(options: PredictOptions, sigma: number): PredictOptions {
  const { networkAt = [] } = options.model.patches;
  if (networkAt.length === 0) return options;
  return { ...options, network: networkAt.reduce((network, choose) => choose(network, sigma), options.model.network) };
}

/** Further predictions of two prompts at one level. */
export function callOf(
  options: PredictOptions,
  [conditional, unconditional]: readonly [readonly Region[], readonly Region[]],
  x: Latent,
  sigma: number,
): ModelCall {
  return {
    signal: options.signal,
    async predict(which, { x: other = x, inputs } = {}) {
      const regions = which === 'conditional' ? conditional : unconditional;
      const own = { ...options, perImage: inputs, watch: undefined };
      return (await predictPrompts(own, [regions], other, sigma))[0] as Latent;
    },
    async predictPrompt(prompt) {
      const own = { ...options, watch: undefined };
      return (await predictPrompts(own, [await options.regionsFor(prompt)], x, sigma))[0] as Latent;
    },
  };
}

/** A denoiser of a positive and a negative prompt. `needsUnconditional` for CFG++. */
export function guidedDenoiser(
  options: PredictOptions,
  prompts: readonly [readonly Region[], readonly Region[]],
  scale: number,
  needsUnconditional: boolean,
): Denoiser {
  const { patches } = options.model;
  const leavesOut = isOne(scale) && !needsUnconditional && !patches.keepsUnconditional;
  const parts = async (x: Latent, sigma: number): Promise<DenoisedParts> => {
    let watched: Tensor | undefined;
    const own = { ...atLevel(options, sigma), watch: (seen: Tensor) => (watched = seen) };
    const [conditional, unconditional = zeros('float32', x.shape)] = (await predictPrompts(
      own,
      leavesOut ? prompts.slice(0, 1) : prompts,
      x,
      sigma,
    )) as [Latent, Latent?];
    const given = { x, sigma, scale, conditional, unconditional, watched, isUnguided: leavesOut };
    return { denoised: await guided(patches, given, callOf(own, prompts, x, sigma)), unconditional };
  };
  return Object.assign(async (x: Latent, sigma: number) => (await parts(x, sigma)).denoised, { parts });
}
