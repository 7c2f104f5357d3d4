/** Steps of DeepCache (`extensions/deep-cache.ts`): every `interval`-th step runs the whole network, the others its shallow blocks on what is kept. */

import type { Tensor } from '../tensor/tensor.ts';
import type { Latent } from './denoiser.ts';
import type { DenoiserInputs, Network } from './guidance.ts';

/** The two forms of the network. */
export interface CachedNetworks {
  readonly full: (
    inputs: DenoiserInputs,
    signal?: AbortSignal,
  ) => Promise<{ readonly out: Latent; readonly features: Tensor<'float32'> }>;
  readonly shallow: (inputs: DenoiserInputs, features: Tensor<'float32'>, signal?: AbortSignal) => Promise<Latent>;
}

/** A network for one run. A step is a timestep; several calls at one timestep keep their own features, in their order. */
export function cachedNetwork({ full, shallow }: CachedNetworks, interval: number): Network {
  let [step, call] = [-1, 0];
  let timestep: number | undefined;
  const kept: Tensor<'float32'>[] = [];
  return async (inputs, signal) => {
    const now = inputs.timesteps.data[0] as number;
    if (now !== timestep) {
      step += 1;
      call = 0;
      timestep = now;
    }
    const own = call++;
    const known = kept[own];
    if (step % interval !== 0 && known && known.shape[0] === inputs.x.shape[0]) return shallow(inputs, known, signal);
    const { out, features } = await full(inputs, signal);
    kept[own] = features;
    return out;
  };
}
