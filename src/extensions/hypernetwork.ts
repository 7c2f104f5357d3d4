/**
 * Hypernetworks (A1111's modules/hypernetworks, v1.10.1): small networks that change the context from which attentions make keys and values,
 * x + strength · network(x); one pair for each width of context. `adapters/hypernetwork.ts` reads their files.
 */

import type { HypernetworkFile, HypernetworkLayer, HypernetworkActivation } from '../adapters/hypernetwork.ts';
import {
  abs,
  add,
  clamp,
  div,
  exp,
  gelu,
  layerNorm,
  leakyRelu,
  linear,
  minimum,
  mul,
  relu,
  sigmoid,
  silu,
  softplus,
  sub,
  tanh,
} from '../graph/functions.ts';
import { Params, type Sym } from '../graph/trace.ts';
import { fixedSize } from '../nn/fixed-size.ts';
import type { Extension } from './extension.ts';

const elu = (x: Sym, alpha = 1): Sym => add(relu(x), mul(sub(exp(minimum(x, 0)), 1), alpha));

/** By PyTorch's lower-case class names; A1111's `swish` is Hardswish. */
const activations: { readonly [A in HypernetworkActivation]: (x: Sym) => Sym } = {
  linear: (x) => x,
  relu,
  leakyrelu: (x) => leakyRelu(x, 0.01),
  elu: (x) => elu(x),
  swish: (x) => mul(x, div(clamp(add(x, 3), 0, 6), 6)),
  hardswish: (x) => mul(x, div(clamp(add(x, 3), 0, 6), 6)),
  tanh,
  sigmoid,
  gelu,
  mish: (x) => mul(x, tanh(softplus(x))),
  softsign: (x) => div(x, add(abs(x), 1)),
  silu,
  softplus,
  relu6: (x) => clamp(x, 0, 6),
  hardtanh: (x) => clamp(x, -1, 1),
  hardsigmoid: (x) => div(clamp(add(x, 3), 0, 6), 6),
  selu: (x) => mul(elu(x, 1.6732632423543772), 1.0507009873554805),
  celu: (x) => elu(x),
};

function run(p: Params, x: Sym, layers: readonly HypernetworkLayer[]): Sym {
  let h = x;
  for (const layer of layers) {
    if (layer.kind === 'activation') {
      h = activations[layer.name](h);
      continue;
    }
    const scope = p.at(layer.name);
    const width = fixedSize(h, -1);
    h =
      layer.kind === 'linear'
        ? linear(h, scope.get('weight', [layer.out, width]), scope.get('bias', [layer.out]))
        : layerNorm(h, scope.get('weight', [width]), scope.get('bias', [width]), { epsilon: 1e-5 });
  }
  return h;
}

/** One hypernetwork at a strength. `prefix` distinguishes its parameters from others': see `hypernetworkWeights`. */
export function hypernetwork(file: HypernetworkFile, strength: number, prefix: string): Extension {
  return {
    name: `hypernetwork ${prefix} ${file.label} ${strength}`,
    inputs: () => ({}),
    hooks: () => ({
      attentionContext(context, role, { p }) {
        const width = fixedSize(context, -1);
        const layers = file.modules.get(width);
        if (!layers) return context;
        const scope = new Params(p.builder, `${prefix}.${width}.${role === 'key' ? 0 : 1}`, p.prefix);
        return add(context, mul(run(scope, context, layers), strength));
      },
    }),
  };
}
