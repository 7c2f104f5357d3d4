/**
 * LoRA in a traced network (Hu et al. 2022): parallel to each chosen linear layer or convolution a path of low rank,
 * W x + alpha / rank · up(down(dropout(x))), whose factors are parameters of their own. The network itself is not changed by it, and
 * gradients need never have the size of W.
 */

import { StableDiffusionError } from '../../errors.ts';
import { add, conv2d, linear, matmul, mul, reshape } from '../../graph/functions.ts';
import type { AnyNode, Graph, Value } from '../../graph/graph.ts';
import { applyNode, replay } from '../../graph/replay.ts';
import { simplify } from '../../graph/simplify.ts';
import type { GraphBuilder, Sym } from '../../graph/trace.ts';
import type { Shape } from '../../tensor/tensor.ts';
import { dropout } from './dropout.ts';

export interface LoraPath {
  /** Name of the weight in the graph, with its network's prefix: a matrix [out, in], or [out, in, kh, kw]. */
  readonly weight: string;
  readonly rank: number;
  readonly alpha: number;
}

/** Names and shapes of a path's two parameters. */
export interface LoraParameters {
  readonly down: { readonly name: string; readonly shape: Shape };
  readonly up: { readonly name: string; readonly shape: Shape };
}

/** down [rank, in, …kernel], up [out, rank, …1]. Throws `shape-mismatch` for other layers than matrices and convolutions. */
export function loraParameters({ weight, rank }: LoraPath, shape: Shape): LoraParameters {
  const [out = 0, ...rest] = shape;
  if (shape.length !== 2 && shape.length !== 4)
    throw new StableDiffusionError(
      'shape-mismatch',
      `${weight} is [${shape.join(', ')}]; a LoRA is for linear layers and convolutions.`,
    );
  const module = weight.replace(/\.weight$/, '');
  return {
    down: { name: `${module}.lora_down.weight`, shape: [rank, ...rest] },
    up: { name: `${module}.lora_up.weight`, shape: [out, rank, ...rest.slice(1).map(() => 1)] },
  };
}

/** Name of the input that a graph with dropout has: a float32 scalar, another one for each step. */
export const dropoutSeedInput = 'dropout_seed';

export interface LoraGraphOptions {
  /** Probability that an element of a path's input is left out (PEFT's `lora_dropout`). Default 0. */
  readonly dropout?: number;
}

/**
 * The graph with paths parallel to the layers that use the given weights. A weight that is used otherwise (reshaped, gathered) becomes
 * W + alpha / rank · up · down, without dropout.
 * @throws `invalid-argument` for a weight that the graph does not have
 */
export function withLoraPaths(graph: Graph, paths: readonly LoraPath[], options: LoraGraphOptions = {}): Graph {
  const wanted = new Map(paths.map((path) => [path.weight, path]));
  const targets = new Map<number, { readonly path: LoraPath; readonly shape: Shape; readonly index: number }>();
  for (const { name, value } of graph.parameters) {
    const path = wanted.get(name);
    if (path) targets.set(value.id, { path, shape: value.shape as Shape, index: targets.size });
    wanted.delete(name);
  }
  if (wanted.size > 0)
    throw new StableDiffusionError(
      'invalid-argument',
      `The network has no weights ${[...wanted.keys()].slice(0, 5).join(', ')}.`,
    );
  const merged = new Map<number, Sym>();
  let seed: Sym | undefined;

  const factors = (builder: GraphBuilder, path: LoraPath, shape: Shape): { readonly down: Sym; readonly up: Sym } => {
    const { down, up } = loraParameters(path, shape);
    return {
      down: builder.parameter(down.name, down.shape, 'float32'),
      up: builder.parameter(up.name, up.shape, 'float32'),
    };
  };
  const withDelta = (builder: GraphBuilder, value: Value, weight: Sym): Sym => {
    const target = targets.get(value.id);
    if (!target) return weight;
    const known = merged.get(value.id);
    if (known) return known;
    const { path, shape } = target;
    const { down, up } = factors(builder, path, shape);
    const delta = matmul(reshape(up, [shape[0] ?? 1, path.rank]), reshape(down, [path.rank, -1]));
    const sum = add(weight, reshape(mul(delta, path.alpha / path.rank), shape));
    merged.set(value.id, sum);
    return sum;
  };
  const beside = (builder: GraphBuilder, node: AnyNode, inputs: readonly Sym[]): Sym | undefined => {
    const target = targets.get(node.inputs[1]?.id ?? -1);
    const [x] = inputs;
    if (
      !target ||
      !x ||
      (node.op !== 'linear' && node.op !== 'conv2d') ||
      (node.op === 'conv2d' && node.attributes.groups !== 1)
    )
      return undefined;
    const { path, shape, index } = target;
    const { down, up } = factors(builder, path, shape);
    let input = x;
    if (options.dropout) {
      seed ??= builder.input(dropoutSeedInput, 'float32', []);
      input = dropout(x, options.dropout, seed, index + 1);
    }
    const low =
      node.op === 'linear'
        ? linear(linear(input, down), up)
        : conv2d(conv2d(input, down, undefined, { stride: node.attributes.stride, padding: node.attributes.pads }), up);
    return add(applyNode(builder, node, inputs), mul(low, path.alpha / path.rank));
  };

  const { builder, outputs } = replay(
    graph,
    (b, node, inputs) =>
      beside(b, node, inputs) ??
      applyNode(
        b,
        node,
        inputs.map((input, i) => withDelta(b, node.inputs[i] as Value, input)),
      ),
  );
  return simplify(builder.graph(outputs));
}
