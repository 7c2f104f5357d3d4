/** A network run on few pictures at a time: the memory of one run is for what it computes on the way, which grows with the batch. */

import { throwIfAborted } from '../errors.ts';
import { joinBatches, takeBatch } from '../tensor/arithmetic.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Network, NetworkInputs } from './guidance.ts';

/** The network, with batches of more than `most` pictures run in parts, one after another. */
export function inBatchesOf(most: number, network: Network): Network {
  return async (inputs, signal) => {
    const count = inputs.x.shape[0] as number;
    if (count <= most) return network(inputs, signal);
    const outputs = [];
    for (let start = 0; start < count; start += most) {
      const part = <T extends Tensor>(tensor: T): T => takeBatch(tensor, start, Math.min(count, start + most));
      const { x, timesteps, context, y } = inputs;
      const taken: NetworkInputs = {
        x: part(x),
        timesteps: part(timesteps),
        ...(context && { context: part(context) }),
        ...(y && { y: part<Tensor<'int64'> | Tensor<'float32'>>(y) }),
      };
      throwIfAborted(signal);
      outputs.push(await network(taken, signal));
    }
    return joinBatches(outputs);
  };
}
