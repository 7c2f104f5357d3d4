/** Tracing of whole networks: the reference's tensor names as inputs and outputs, and the choice of outputs. */

import { StableDiffusionError } from '../errors.ts';
import type { Extension } from '../extensions/extension.ts';
import type { SeamlessAxes } from '../extensions/seamless.ts';
import type { Graph } from '../graph/graph.ts';
import { neededFor } from '../graph/needed.ts';
import { type InputSpec, type Params, type Sym, trace } from '../graph/trace.ts';

export interface NetworkTraceOptions {
  /** Put in front of every parameter's name, without the last dot, e.g. `first_stage_model`: for weights of a whole checkpoint. */
  readonly prefix?: string;
  /** Module paths to tap, or 'all': outputs `intermediate.PATH`. */
  readonly taps?: readonly string[] | 'all';
  /** Names of the outputs to keep. Default: all. Nodes, inputs and parameters that only other outputs need are removed. */
  readonly outputs?: readonly string[] | undefined;
  /** Only of UNets; other networks refuse them. */
  readonly extensions?: readonly Extension[] | undefined;
  /** UNets: height and width of the latent, for a graph of that size alone. Default: any size. */
  readonly size?: readonly [height: number, width: number] | undefined;
  /** Autoencoders: axes along which convolutions wrap around (`extensions/seamless.ts`). Default none. */
  readonly seamless?: SeamlessAxes | undefined;
}

/** Named inputs of a network; one that the network needs is fetched with `need`. */
export interface NetworkSymbols {
  readonly [name: string]: Sym;
}

/** Throws `invalid-argument` where the network was given no input of this name. */
export function need(inputs: NetworkSymbols, name: string): Sym {
  const found = inputs[name];
  if (!found)
    throw new StableDiffusionError(
      'invalid-argument',
      `The network needs an input ${name}; it was given ${Object.keys(inputs).join(', ') || 'none'}.`,
    );
  return found;
}

/** Traces `network`. Its parameters have their canonical names, those of a CompVis checkpoint without the part's prefix. */
export function traceNetwork(
  inputs: Readonly<Record<string, InputSpec>>,
  network: (p: Params, inputs: NetworkSymbols) => Readonly<Record<string, Sym>>,
  options: NetworkTraceOptions = {},
): Graph {
  if (options.extensions && options.extensions.length > 0)
    throw new StableDiffusionError('invalid-argument', 'This network takes no extensions; only a UNet does.');
  const graph = trace(inputs, (symbols, p) => network(p, symbols), options);
  return prune(graph, options.outputs);
}

/** Removes nodes that no output needs; with `wanted`, also other outputs (except taps), inputs and parameters. */
function prune(graph: Graph, wanted: readonly string[] | undefined): Graph {
  for (const name of wanted ?? []) {
    if (!graph.outputs.some((output) => output.name === name)) {
      throw new StableDiffusionError(
        'invalid-argument',
        `The network has no output ${name}; it has ${graph.outputs.map((output) => output.name).join(', ')}.`,
      );
    }
  }
  const outputs = wanted
    ? graph.outputs.filter(({ name }) => wanted.includes(name) || name.startsWith('intermediate.'))
    : graph.outputs;
  const { nodes, has } = neededFor(graph, outputs);
  return {
    inputs: wanted ? graph.inputs.filter(has) : graph.inputs,
    parameters: wanted ? graph.parameters.filter(has) : graph.parameters,
    constants: graph.constants.filter(has),
    nodes,
    outputs,
  };
}
