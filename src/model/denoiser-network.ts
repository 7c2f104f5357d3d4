/** The network that predicts noise (or v, or x0), as guidance and samplers call it: batches no larger than the engine can run. */

import { denoiserChannels, type DenoiserConfig, denoiserUnit } from '../config/network-config.ts';
import type { Network } from '../diffusion/guidance.ts';
import { inBatchesOf } from '../diffusion/network-batches.ts';
import { type NetworkSet, runForOne } from './network-set.ts';

export interface DenoiserNetwork {
  /** Channels of the latent, without those that a condition appends. */
  readonly latentChannels: number;
  /** Width and height of the latent must be multiples of this. */
  readonly latentUnit: number;
  /** It says a variance behind its prediction. */
  readonly learnsVariance: boolean;
  readonly predict: Network;
}

/** The denoiser `network` of a set. */
export function denoiserNetwork(config: DenoiserConfig, networks: NetworkSet, network = 'unet'): DenoiserNetwork {
  return {
    latentChannels: denoiserChannels(config),
    latentUnit: denoiserUnit(config),
    learnsVariance: config.kind === 'if_unet',
    predict(inputs, signal) {
      const [, , height = 1, width = 1] = inputs.x.shape;
      const most = Math.max(1, Math.floor(networks.engine.limits.latentPositions / (height * width)));
      const run: Network = (given, stop) => runForOne(networks, { network, output: 'out' }, given, stop);
      // Without a text for the style, DeepFloyd IF's UNets pool the text itself.
      const styled = config.kind === 'if_unet' && inputs['context'] ? { style: inputs['context'], ...inputs } : inputs;
      return inBatchesOf(most, run)(styled, signal);
    },
  };
}
