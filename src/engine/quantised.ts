/** int8 programs of both engines: the graph's large layers and their weights in 8 bits. The passes load when the first such program is compiled. */

import { StableDiffusionError } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import type { CompileOptions, Provider } from './engine.ts';
import { precisionOf } from './precision.ts';
import { checkParameters } from './weights.ts';

export interface Prepared {
  readonly graph: Graph;
  readonly weights: WeightSource;
  /** True if layers of the graph are in int8. */
  readonly isQuantised: boolean;
  /** The largest number of a weight in int8. */
  readonly largestWeight?: number;
}

/** Linear layers whose weights a file has in blocks run on these. */
async function withStoredBlocks(graph: Graph, weights: WeightSource): Promise<Prepared> {
  const { blocks } = weights;
  if (!blocks || !graph.parameters.some(({ name }) => blocks.call(weights, name)))
    return { graph, weights, isQuantised: false };
  checkParameters(graph, weights);
  const { withBlockLinears } = await import('../graph/block-linears.ts');
  const { blockWeights } = await import('../weights/block-weights.ts');
  const made = withBlockLinears(graph, (name) => blocks.call(weights, name)?.bits);
  return { graph: made.graph, weights: blockWeights(weights, made.parts), isQuantised: false };
}

/** The graph and weights to compile; `largestWeight` says up to which number weights become int8 (default: 127). Throws `invalid-argument` where int8 is not possible. */
export async function prepared(
  provider: Provider,
  graph: Graph,
  weights: WeightSource,
  { precision, parameters = 'fixed' }: CompileOptions,
  largestWeight?: () => Promise<number>,
): Promise<Prepared> {
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
  const { quantise } = await import('../graph/quantise.ts');
  const { int8Weights, largestInt8 } = await import('../weights/int8-weights.ts');
  const quantised = quantise(graph);
  if (quantised.parts.length === 0) return { graph: quantised.graph, weights, isQuantised: false };
  const largest = (await largestWeight?.()) ?? largestInt8.whole;
  return {
    graph: quantised.graph,
    weights: int8Weights(weights, quantised.parts, largest),
    isQuantised: true,
    largestWeight: largest,
  };
}
