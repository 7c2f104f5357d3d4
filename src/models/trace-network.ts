/** Tracing of whole networks: the reference's tensor names as inputs and outputs, and the choice of outputs. */

import { StableDiffusionError } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import { type InputSpec, type Params, type Sym, trace } from '../graph/trace.ts';

export interface NetworkTraceOptions {
  /** Where the parameters lie in the checkpoint, without the last dot, e.g. `first_stage_model`; by default as in CompVis checkpoints. */
  readonly prefix?: string;
  /** Module paths to tap, or 'all': outputs `intermediate.PATH`. */
  readonly taps?: readonly string[] | 'all';
  /** Names of the outputs that are wanted; by default all. The engine computes nothing for the others. */
  readonly outputs?: readonly string[];
}

/** Named inputs of a network; one that the network needs is fetched with `need`. */
export interface NetworkInputs {
  readonly [name: string]: Sym;
}

/** Throws `invalid-argument` where the network was given no input of this name. */
export function need(inputs: NetworkInputs, name: string): Sym {
  const found = inputs[name];
  if (!found) throw new StableDiffusionError('invalid-argument', `The network needs an input ${name}; it was given ${Object.keys(inputs).join(', ') || 'none'}.`);
  return found;
}

/** Traces `network` with its parameters under `options.prefix`, or else under `prefix`. */
export function traceNetwork(
  prefix: string,
  inputs: Readonly<Record<string, InputSpec>>,
  network: (p: Params, inputs: NetworkInputs) => Readonly<Record<string, Sym>>,
  options: NetworkTraceOptions = {},
): Graph {
  const graph = trace(inputs, (symbols, p) => network(p, symbols), { prefix: options.prefix ?? prefix, ...(options.taps ? { taps: options.taps } : {}) });
  const wanted = options.outputs;
  if (!wanted) return graph;
  const known = new Set(graph.outputs.map(({ name }) => name));
  for (const name of wanted) {
    if (!known.has(name)) throw new StableDiffusionError('invalid-argument', `The network has no output ${name}; it has ${[...known].join(', ')}.`);
  }
  return { ...graph, outputs: graph.outputs.filter(({ name }) => wanted.includes(name) || name.startsWith('intermediate.')) };
}
