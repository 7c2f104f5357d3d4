/** A network run on few images at a time: one run needs memory for all its intermediate values, which grow with the batch. */

import { throwIfAborted } from '../errors.ts';
import { joinBatches, takeInputs } from '../tensor/batches.ts';
import type { Network } from './guidance.ts';

/** The network, with batches of more than `maximum` images run in parts, one after another. */
export function inBatchesOf(maximum: number, network: Network): Network {
  return async (inputs, signal) => {
    const count = inputs.x.shape[0] as number;
    if (count <= maximum) return network(inputs, signal);
    const outputs = [];
    for (let start = 0; start < count; start += maximum) {
      throwIfAborted(signal);
      outputs.push(await network(takeInputs(inputs, start, Math.min(count, start + maximum)), signal));
    }
    return joinBatches(outputs);
  };
}
