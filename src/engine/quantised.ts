/** int8 programs of both engines: the graph's large layers and their weights in 8 bits. */

import { StableDiffusionError } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import { withBlockLinears } from '../graph/block-linears.ts';
import { quantise } from '../graph/quantise.ts';
import { blockWeights } from '../weights/block-weights.ts';
import { int8Weights } from '../weights/int8-weights.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import type { CompileOptions, Provider } from './engine.ts';
import { precisionOf } from './precision.ts';
import { checkParameters } from './weights.ts';

export interface Prepared {
  readonly graph: Graph;
  readonly weights: WeightSource;
  /** True if layers of the graph are in int8. */
  readonly isQuantised: boolean;
}

/** Linear layers whose weights a file has in blocks run on these. */
function withStoredBlocks(graph: Graph, weights: WeightSource): Prepared {
  const { blocks } = weights;
  if (!blocks || !graph.parameters.some(({ name }) => blocks.call(weights, name)))
    return { graph, weights, isQuantised: false };
  checkParameters(graph, weights);
  const made = withBlockLinears(graph, (name) => blocks.call(weights, name)?.bits);
  return { graph: made.graph, weights: blockWeights(weights, made.parts), isQuantised: false };
}

/** The graph and weights to compile. Throws `invalid-argument` where int8 is not possible. */
export function prepared(
  provider: Provider,
  graph: Graph,
  weights: WeightSource,
  { precision, parameters = 'fixed' }: CompileOptions,
): Prepared {
  const { storage, compute } = precisionOf(precision);
  if (storage === 'float32' && compute === 'float32' && provider === 'cpu' && parameters === 'fixed')
    return withStoredBlocks(graph, weights);
  if (storage !== 'int8') return { graph, weights, isQuantised: false };
  if (provider === 'webgpu' || provider === 'cuda')
    throw new StableDiffusionError(
      'invalid-argument',
      `Precision int8 runs on the CPU and in WebAssembly, not on ${provider}. Use float16 there.`,
    );
  if (parameters !== 'fixed')
    throw new StableDiffusionError('invalid-argument', 'Precision int8 needs weights that are part of the program.');
  checkParameters(graph, weights);
  const quantised = quantise(graph);
  return {
    graph: quantised.graph,
    weights: int8Weights(weights, quantised.parts),
    isQuantised: quantised.parts.length > 0,
  };
}
