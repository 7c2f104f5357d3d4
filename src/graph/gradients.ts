/**
 * Reverse-mode differentiation of graphs (Griewank & Walther 2008): one rule for every operation of the table.
 *
 * `backward` works on a graph that is being traced, so that a gradient can be part of a loss or of an optimiser's step; `gradients`
 * takes a finished graph. Either way the result is a graph like any other.
 */

import { StableDiffusionError } from '../errors.ts';
import { add, barrier, scalar } from './functions.ts';
import { attentionInSteps, probabilitiesMade } from './gradients/attention.ts';
import { contractionGradients } from './gradients/contractions.ts';
import { elementwiseGradients } from './gradients/elementwise.ts';
import { imageGradients } from './gradients/images.ts';
import { layoutGradients } from './gradients/layout.ts';
import { int8Gradients } from './gradients/int8.ts';
import { groupNormInSteps, normalisationGradients, standardisedInputs } from './gradients/normalisation.ts';
import type { GradientRule, GradientRules } from './gradients/rule.ts';
import type { AnyNode, Graph, Value } from './graph.ts';
import type { Attributes, OpName } from './operations.ts';
import { applyNode, replay } from './replay.ts';
import { simplify } from './simplify.ts';
import { splitLinears } from './split-linears.ts';
import type { GraphBuilder, Sym } from './trace.ts';

export const gradientRules: GradientRules<OpName> = {
  ...elementwiseGradients,
  ...contractionGradients,
  ...int8Gradients,
  ...normalisationGradients,
  ...layoutGradients,
  ...imageGradients,
};

export interface BackwardOptions {
  /** Gradient that arrives at the loss, of its shape; by default 1 for a scalar. */
  readonly seed?: Sym;
  /**
   * Activation checkpointing (Chen et al. 2016): the block a module belongs to, by the module's path, or undefined for none. What a
   * block makes inside is not kept for the backward pass but calculated again from the block's inputs.
   */
  readonly checkpoint?: (scope: string) => string | undefined;
}

/** The values that depend on `wrt`, among nodes made up to `last`. */
function dependents(nodes: readonly AnyNode[], wrt: readonly Sym[]): ReadonlySet<number> {
  const reached = new Set(wrt.map(({ id }) => id));
  for (const node of nodes) if (node.inputs.some(({ id }) => reached.has(id))) reached.add(node.output.id);
  return reached;
}

/** Calculates a block's inner values again, late: from its inputs behind a barrier that waits for the block's gradient. */
class Recomputation {
  readonly #builder: GraphBuilder;
  readonly #inner: ReadonlyMap<number, AnyNode>;
  readonly #activations: ReadonlySet<number>;
  readonly #after: Sym;
  /** Recomputed inner values, and late ones of the block's inputs. */
  readonly #late = new Map<number, Sym>();

  /** `inner` are the nodes of the block whose values no other block reads; `activations` every value that is a node's output. */
  constructor(
    builder: GraphBuilder,
    inner: ReadonlyMap<number, AnyNode>,
    activations: ReadonlySet<number>,
    after: Sym,
  ) {
    this.#builder = builder;
    this.#inner = inner;
    this.#activations = activations;
    this.#after = after;
  }

  /** Recomputes an inner value; returns any other unchanged. */
  value(original: Value): Sym {
    return this.#inner.has(original.id) ? this.#recompute(original) : symOf(this.#builder, original);
  }

  #recompute(original: Value): Sym {
    const known = this.#late.get(original.id);
    if (known) return known;
    const node = this.#inner.get(original.id);
    let late = symOf(this.#builder, original);
    if (node) {
      const inputs = node.inputs.map((input) => this.#recompute(input));
      this.#builder.scope = node.scope;
      late = this.#builder.apply<OpName>(node.op, inputs, node.attributes as Attributes[OpName]);
    } else if (this.#activations.has(original.id)) late = barrier(late, this.#after);
    this.#late.set(original.id, late);
    return late;
  }
}

const symOf = (builder: GraphBuilder, value: Value): Sym => ({
  id: value.id,
  dtype: value.dtype,
  shape: value.shape,
  builder,
});

/** For each block, the nodes whose values only the block itself reads. */
function innerNodes(
  nodes: readonly AnyNode[],
  blockOf: (node: AnyNode) => string | undefined,
  kept: readonly Value[],
): Map<string, Map<number, AnyNode>> {
  const home = new Map(nodes.map((node) => [node.output.id, blockOf(node)]));
  const shared = new Set(kept.map(({ id }) => id));
  for (const node of nodes) {
    const block = blockOf(node);
    for (const { id } of node.inputs) if (home.get(id) !== block) shared.add(id);
  }
  const blocks = new Map<string, Map<number, AnyNode>>();
  for (const node of nodes) {
    const block = blockOf(node);
    if (block === undefined || shared.has(node.output.id)) continue;
    const inner = blocks.get(block) ?? new Map<number, AnyNode>();
    inner.set(node.output.id, node);
    blocks.set(block, inner);
  }
  return blocks;
}

/**
 * Gradients of `loss` with respect to values it may depend on, in their order; undefined for those that it does not depend on.
 * @throws `shape-mismatch` if the loss is not a scalar and no seed is given
 */
export function backward(loss: Sym, wrt: readonly Sym[], options: BackwardOptions = {}): (Sym | undefined)[] {
  const { builder } = loss;
  if (!options.seed && loss.shape.length > 0)
    throw new StableDiffusionError(
      'shape-mismatch',
      `A loss must be a scalar, not of ${loss.shape.length} dimensions; sum it, or give a seed.`,
    );
  const nodes = builder.nodes.filter((node) => node.output.id <= loss.id);
  const reached = dependents(nodes, wrt);
  const { checkpoint } = options;
  const blockOf = (node: AnyNode): string | undefined => checkpoint?.(node.scope);
  const inner = checkpoint ? innerNodes(nodes, blockOf, [loss]) : new Map<string, Map<number, AnyNode>>();
  const activations = new Set(nodes.map((node) => node.output.id));
  const recomputations = new Map<string, Recomputation>();
  const gradients = new Map<number, Sym>([[loss.id, options.seed ?? scalar(loss, 1)]]);
  const outer = builder.scope;
  for (const node of nodes.toReversed()) {
    const gradient = gradients.get(node.output.id);
    if (!gradient || !reached.has(node.output.id)) continue;
    if (!wrt.some(({ id }) => id === node.output.id)) gradients.delete(node.output.id);
    const block = blockOf(node);
    let recomputation = block === undefined ? undefined : recomputations.get(block);
    const members = block === undefined ? undefined : inner.get(block);
    if (block !== undefined && members && !recomputation) {
      recomputation = new Recomputation(builder, members, activations, gradient);
      recomputations.set(block, recomputation);
    }
    const current = (value: Value): Sym => recomputation?.value(value) ?? symOf(builder, value);
    builder.scope = node.scope;
    const rule = gradientRules[node.op] as GradientRule<OpName>;
    const rules = rule(gradient, {
      inputs: node.inputs.map(current),
      attributes: node.attributes as Attributes[OpName],
      output: current(node.output),
    });
    for (const [i, { id }] of node.inputs.entries()) {
      const make = rules[i];
      if (!make || !reached.has(id)) continue;
      builder.scope = node.scope;
      const part = make();
      const before = gradients.get(id);
      gradients.set(id, before ? add(before, part) : part);
    }
  }
  builder.scope = outer;
  return wrt.map(({ id }) => gradients.get(id));
}

export interface GradientOptions extends Pick<BackwardOptions, 'checkpoint'> {
  /** Outputs of the graph to keep in addition to the gradients. Default: all. */
  readonly outputs?: readonly string[];
}

/**
 * The graph with outputs `grad.NAME` added: the gradients of its scalar output `loss` with respect to the named parameters and inputs.
 * A name the loss does not depend on gets no output, as PyTorch leaves its gradient at None.
 * @throws `invalid-argument` for unknown names, `shape-mismatch` if the loss is not a scalar
 */
export function gradients(given: Graph, loss: string, wrt: readonly string[], options: GradientOptions = {}): Graph {
  const fixed = new Set(given.parameters.filter(({ name }) => !wrt.includes(name)).map(({ value }) => value.id));
  const graph = splitLinears(given, ({ id }) => !fixed.has(id));
  const { builder, sym, outputs } = replay(graph);
  const find = (
    name: string,
    among: readonly { readonly name: string; readonly value: Value }[],
    what: string,
  ): Value => {
    const found = among.find((item) => item.name === name);
    if (!found)
      throw new StableDiffusionError(
        'invalid-argument',
        `The graph has no ${what} ${name}; it has ${among
          .map((item) => item.name)
          .slice(0, 20)
          .join(', ')}.`,
      );
    return found.value;
  };
  const leaves = [...graph.parameters, ...graph.inputs];
  const found = backward(
    sym(find(loss, graph.outputs, 'output')),
    wrt.map((name) => sym(find(name, leaves, 'parameter or input'))),
    options,
  );
  const kept =
    options.outputs === undefined
      ? outputs
      : options.outputs.map((name) => ({ name, value: sym(find(name, graph.outputs, 'output')) }));
  const made = wrt.flatMap((name, i) => {
    const value = found[i];
    return value ? [{ name: `grad.${name}`, value }] : [];
  });
  return simplify(shareSteps(builder.graph([...kept, ...made])));
}

/** The graph with group normalisations and attention in steps, where the backward pass takes the same. */
function shareSteps(graph: Graph): Graph {
  const standardised = standardisedInputs(graph.nodes);
  const hasProbabilities = probabilitiesMade(graph.nodes);
  const { builder, outputs } = replay(graph, (b, node, inputs) => {
    const [x, second, third] = inputs;
    const [value, key] = node.inputs;
    if (x && second && third && value && key) {
      if (node.op === 'groupNorm' && standardised.has(value.id))
        return groupNormInSteps(x, second, third, node.attributes);
      if (node.op === 'attention' && hasProbabilities(value, key))
        return attentionInSteps(inputs, node.attributes) ?? applyNode(b, node, inputs);
    }
    return applyNode(b, node, inputs);
  });
  return builder.graph(outputs);
}
