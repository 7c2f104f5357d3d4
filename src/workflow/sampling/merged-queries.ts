/** Token merging of queries (`extensions/query-merging.ts`): the tokens that others merge into, drawn at each attention of each call. */

import { fieldSide, fullSizeAttentions, queryMerging, tokenOrderInput } from '../../extensions/query-merging.ts';
import { tokenFields } from '../../extensions/token-merging.ts';
import type { TorchGenerator } from '../../random/torch-generator.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { UNetConfig } from '../../config/network-config.ts';
import { type FurtherInputs, type ModelValue, patched, withExtension } from '../values/model.ts';

/** Orders of the tokens for the attentions of one call: [batch, attentions, tokens]. */
function tokenOrders(random: TorchGenerator, attentions: number, x: Tensor): Tensor {
  const [batch = 1, , height = 1, width = 1] = x.shape;
  const fields = [Math.floor(height / fieldSide), Math.floor(width / fieldSide)] as const;
  const orders = Array.from({ length: attentions }, () => {
    const choice = random.randint(0, fieldSide ** 2, [...fields, 1]).data;
    const { destinations, sources } = tokenFields(height, width, fieldSide, fieldSide, choice);
    return [...[...destinations].sort((a, b) => a - b), ...sources].map(BigInt);
  });
  const one = BigInt64Array.from(orders.flat());
  const data = new BigInt64Array(batch * one.length);
  for (let b = 0; b < batch; b++) data.set(one, b * one.length);
  return { dtype: 'int64', shape: [batch, attentions, height * width], data } as Tensor;
}

/** A model whose largest self-attentions have fewer queries. */
export function withMergedQueries(model: ModelValue, ratio: number): ModelValue {
  if (ratio === 0 || fullSizeAttentions(model.network.config) === 0) return model;
  const further =
    (random: TorchGenerator): FurtherInputs =>
    ({ config }, { x }) => ({
      [tokenOrderInput]: tokenOrders(random, fullSizeAttentions(config as UNetConfig), x as Tensor),
    });
  return patched(withExtension(model, queryMerging(ratio)), { furtherInputs: [further] });
}
