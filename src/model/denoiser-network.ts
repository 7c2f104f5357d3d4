/** The network that predicts noise (or v, or x0), as guidance and samplers call it: batches no larger than the engine can run. */

import { denoiserChannels, type DenoiserConfig, denoiserUnit } from '../config/network-config.ts';
import type { DenoiserInputs, Network } from '../diffusion/guidance.ts';
import { inBatchesOf } from '../diffusion/network-batches.ts';
import { throwIfAborted } from '../errors.ts';
import { joinInputs, type NetworkInputs, takeInputs } from '../tensor/batches.ts';
import { type NetworkSet, runForOne } from './network-set.ts';

export interface DenoiserNetwork {
  /** Channels of the latent, without those that a condition appends. */
  readonly latentChannels: number;
  /** Width and height of the latent must be multiples of this. */
  readonly latentUnit: number;
  /** It says a variance behind its prediction. */
  readonly learnsVariance: boolean;
  readonly predict: Network;
  /** Other outputs of the network. */
  readonly observe: (
    inputs: DenoiserInputs,
    outputs: readonly string[],
    signal?: AbortSignal,
  ) => Promise<NetworkInputs>;
}

/** Images that the engine can run at once. */
function mostAtOnce({ engine }: NetworkSet, height: number, width: number): number {
  return Math.max(1, Math.floor(engine.limits.latentPositions / (height * width)));
}

/** The denoiser `network` of a set. */
export function denoiserNetwork(config: DenoiserConfig, networks: NetworkSet, network = 'unet'): DenoiserNetwork {
  return {
    latentChannels: denoiserChannels(config),
    latentUnit: denoiserUnit(config),
    learnsVariance: config.kind === 'if_unet',
    async observe(inputs, outputs, signal) {
      const [count = 1, , height = 1, width = 1] = inputs.x.shape;
      const most = mostAtOnce(networks, height, width);
      const parts: NetworkInputs[] = [];
      for (let start = 0; start < count; start += most) {
        throwIfAborted(signal);
        const part = takeInputs(inputs, start, Math.min(count, start + most));
        parts.push(await networks.run({ network, outputs }, part, signal));
      }
      return joinInputs(parts);
    },
    predict(inputs, signal) {
      const [, , height = 1, width = 1] = inputs.x.shape;
      const most = mostAtOnce(networks, height, width);
      const run: Network = (given, stop) => runForOne(networks, { network, output: 'out' }, given, stop);
      // Without a text for the style, DeepFloyd IF's UNets pool the text itself.
      const styled = config.kind === 'if_unet' && inputs['context'] ? { style: inputs['context'], ...inputs } : inputs;
      return inBatchesOf(most, run)(styled, signal);
    },
  };
}
