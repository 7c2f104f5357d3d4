/** A network run on few images at a time: one run needs memory for all its intermediate values, which grow with the batch. */

import { throwIfAborted } from '../errors.ts';
import { joinBatches, takeInputs } from '../tensor/batches.ts';
import type { Network } from './guidance.ts';

/** The network, with batches of more than `most` images run in parts, one after another. */
export function inBatchesOf(most: number, network: Network): Network {
  return async (inputs, signal) => {
    const count = inputs.x.shape[0] as number;
    if (count <= most) return network(inputs, signal);
    const outputs = [];
    for (let start = 0; start < count; start += most) {
      throwIfAborted(signal);
      outputs.push(await network(takeInputs(inputs, start, Math.min(count, start + most)), signal));
    }
    return joinBatches(outputs);
  };
}
