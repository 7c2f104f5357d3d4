/** int8 programs of both engines: the graph's large layers and their weights in 8 bits. */

import { StableDiffusionError } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import { quantise } from '../graph/quantise.ts';
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

/** The graph and weights to compile. Throws `invalid-argument` where int8 is not possible. */
export function prepared(
  provider: Provider,
  graph: Graph,
  weights: WeightSource,
  { precision, parameters = 'fixed' }: CompileOptions,
): Prepared {
  if (precisionOf(precision).storage !== 'int8') return { graph, weights, isQuantised: false };
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
