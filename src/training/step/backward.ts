/**
 * The program that calculates loss and gradients of a batch, whole or in parts that run one after the other. Of parts, the gradients that
 * are finished can be summed over ranks while the next part runs, and need not be in memory all at once.
 */

import type { DType } from '../../tensor/dtype.ts';
import type { EngineState, Program, Tensors } from '../../engine/engine.ts';
import { bindShape, evaluateShape } from '../../graph/dim.ts';
import type { Graph, NamedValue } from '../../graph/graph.ts';
import { partitionAt } from '../../graph/partition.ts';
import { elementCount, float32, type Shape, type Tensor, zeros } from '../../tensor/tensor.ts';
import { stateNames } from './optimiser.ts';
import type { Pack } from './packs.ts';
import { type TrainStepOptions, treatmentOf } from './step-options.ts';

/** Names of the graph's outputs that are gradients. */
const gradientName = (parameter: string): string => `grad.${parameter}`;

export interface BackwardPart {
  readonly graph: Graph;
  /** Packs whose gradients are finished with this part. */
  readonly packs: readonly Pack[];
}

/** Where in the graph the gradient of each parameter is finished. */
export function finishedAt({ nodes, outputs }: Graph): (parameter: string) => number {
  const places = new Map(nodes.map((node, i) => [node.output.id, i]));
  const ids = new Map(outputs.map(({ name, value }) => [name, value.id]));
  return (parameter) => places.get(ids.get(gradientName(parameter)) ?? -1) ?? -1;
}

/** A mean over ranks: what a part of the program makes, and what later parts read. */
interface RankMean {
  readonly own: string;
  readonly mean: string;
  readonly shape: Shape;
}

/** A graph that takes the means over ranks as inputs and gives this rank's values as outputs. */
interface SplitGraph {
  readonly graph: Graph;
  readonly means: readonly RankMean[];
  /** Nodes after which a part ends, because a mean follows. */
  readonly ends: readonly number[];
}

export function splitRankMeans(graph: Graph): SplitGraph {
  const means: RankMean[] = [];
  const [inputs, outputs]: [NamedValue[], NamedValue[]] = [[...graph.inputs], [...graph.outputs]];
  const nodes: Graph['nodes'][number][] = [];
  const ends = new Set<number>();
  for (const node of graph.nodes) {
    const [given] = node.inputs;
    if (node.op !== 'rankMean' || !given) {
      nodes.push(node);
      continue;
    }
    const own = `of rank ${node.output.id}`;
    const mean = `mean ${node.output.id}`;
    inputs.push({ name: mean, value: node.output });
    outputs.push({ name: own, value: given });
    means.push({ own, mean, shape: given.shape as Shape });
    ends.add(nodes.length - 1);
  }
  return { graph: { ...graph, inputs, outputs, nodes }, means, ends: [...ends] };
}

/** Cuts a graph of gradients into at most `count` parts with about the same number of gradients, and after each of `ends`. */
export function backwardParts(
  graph: Graph,
  packs: readonly Pack[],
  state: EngineState,
  count: number,
  ends: readonly number[] = [],
): BackwardPart[] {
  const placeOf = finishedAt(graph);
  const endOf = new Map(packs.map((pack) => [pack, Math.max(...pack.members.map(placeOf))]));
  const sizeOf = ({ name }: Pack): number => elementCount(state.entries.get(name)?.shape ?? []);
  const ordered = [...packs].sort((a, b) => (endOf.get(a) ?? 0) - (endOf.get(b) ?? 0));
  const limit = ordered.reduce((sum, pack) => sum + sizeOf(pack), 0) / count;
  const groups: Pack[][] = [[]];
  let size = 0;
  for (const pack of ordered) {
    if (size >= limit && groups.length < count) {
      groups.push([]);
      size = 0;
    }
    groups.at(-1)?.push(pack);
    size += sizeOf(pack);
  }
  const full = groups.slice(0, -1).map((group) => endOf.get(group.at(-1) as Pack) ?? 0);
  const cuts = [...new Set([...full, ...ends])].sort((a, b) => a - b);
  return partitionAt(graph, cuts).map((part, i) => {
    const [after, last] = [cuts[i - 1] ?? Number.NEGATIVE_INFINITY, cuts[i] ?? Number.POSITIVE_INFINITY];
    const own = ordered.filter((pack) => (endOf.get(pack) ?? 0) > after && (endOf.get(pack) ?? 0) <= last);
    return { graph: part, packs: own };
  });
}

export interface BackwardHooks {
  /** Name in the state of a parameter's gradient. */
  readonly place: (name: string) => string;
  /** Before a part that writes to gradients of these packs. */
  readonly before?: (packs: readonly Pack[]) => Promise<void>;
  /** When gradients of packs are finished; `more` is true if another part follows. */
  readonly after?: (packs: readonly Pack[], more: boolean) => Promise<void>;
  /** The mean of numbers over ranks. */
  readonly mean?: (values: Float32Array<ArrayBuffer>) => Promise<Float32Array<ArrayBuffer>>;
}

interface CompiledPart extends BackwardPart {
  readonly program: Program;
  /** Values for later parts. */
  readonly handedOn: readonly NamedValue[];
  /** Packs with gradients that this part makes. */
  readonly touched: readonly Pack[];
}

let count = 0;

export class Backward {
  readonly #options: TrainStepOptions;
  readonly #state: EngineState;
  readonly #graph: Graph;
  readonly #parts: readonly CompiledPart[];
  readonly #means: readonly RankMean[];
  readonly #prefix = `crossing/${count++}/`;

  constructor(
    options: TrainStepOptions,
    state: EngineState,
    graph: Graph,
    parts: readonly (BackwardPart & { readonly program: Program })[],
    packs: readonly Pack[],
    means: readonly RankMean[] = [],
  ) {
    this.#means = means;
    this.#options = options;
    this.#state = state;
    this.#graph = graph;
    const results = new Set(graph.outputs.map(({ name }) => name));
    this.#parts = parts.map((part) => {
      const made = new Set(part.graph.outputs.map(({ name }) => name));
      return {
        ...part,
        handedOn: part.graph.outputs.filter(({ name }) => !results.has(name)),
        touched: packs.filter(({ members }) => members.some((name) => made.has(gradientName(name)))),
      };
    });
  }

  /** Names in the state of the values that cross between parts, made for the sizes of this batch. */
  async #crossings(batch: Tensors): Promise<ReadonlyMap<string, string>> {
    const names = new Map<string, string>();
    if (this.#parts.length === 1) return names;
    const bindings = new Map<string, number>();
    for (const { name, value } of this.#graph.inputs) bindShape(name, value.shape, batch[name]?.shape ?? [], bindings);
    for (const { name, value } of this.#parts.flatMap(({ handedOn }) => handedOn)) {
      names.set(name, `${this.#prefix}${name}`);
      await this.#make(`${this.#prefix}${name}`, value.dtype, evaluateShape(value.shape, bindings));
    }
    for (const { mean, shape } of this.#means) {
      names.set(mean, `${this.#prefix}${mean}`);
      await this.#make(`${this.#prefix}${mean}`, 'float32', shape);
    }
    return names;
  }

  async #make(name: string, dtype: DType, shape: Shape): Promise<void> {
    if (this.#state.entries.get(name)?.shape.join() === shape.join()) return;
    await this.#state.remove([name]);
    await this.#state.write({ [name]: zeros(dtype, shape) });
  }

  /** Puts the means over ranks of what a part has made where later parts read them. */
  async #meet(made: ReadonlySet<string>, mean: BackwardHooks['mean']): Promise<void> {
    const means = this.#means.filter(({ own }) => made.has(own));
    if (means.length === 0 || !mean) return;
    const read = await this.#state.read(means.map(({ own }) => `${this.#prefix}${own}`));
    const parts = means.map(({ own }) => read[`${this.#prefix}${own}`]?.data as Float32Array);
    const values = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of parts) {
      values.set(part, at);
      at += part.length;
    }
    const all = await mean(values);
    at = 0;
    const next: Record<string, Tensor> = {};
    for (const { mean: name, shape } of means) {
      next[`${this.#prefix}${name}`] = float32(shape, all.slice(at, at + elementCount(shape)));
      at += elementCount(shape);
    }
    await this.#state.write(next);
  }

  /** Parameters of a program that come from the state, under their own names. */
  #bound({ graph }: Program): Record<string, string> {
    const names = graph.parameters
      .map(({ name }) => name)
      .filter((name) => this.#state.entries.has(name) && treatmentOf(this.#options, name) !== 'fixed');
    return Object.fromEntries(names.map((name) => [name, name]));
  }

  /** Loss and gradients of one batch; resolves to the outputs that are not gradients. */
  async run(batch: Tensors, hooks: BackwardHooks, signal: AbortSignal | undefined): Promise<Record<string, Tensor>> {
    const { keep = {} } = this.#options;
    const crossings = await this.#crossings(batch);
    const whole = this.#parts.length === 1;
    const results: Record<string, Tensor> = {};
    for (const [i, { program, graph, packs, touched, handedOn }] of this.#parts.entries()) {
      await hooks.before?.(touched);
      const made = new Set(graph.outputs.map(({ name }) => name));
      const outputs: Record<string, string> = whole ? { ...keep } : {};
      for (const name of touched.flatMap(({ members }) => members))
        if (made.has(gradientName(name))) outputs[gradientName(name)] = hooks.place(name);
      for (const { name } of handedOn) outputs[name] = crossings.get(name) ?? name;
      const inputs = this.#bound(program);
      for (const { name } of graph.inputs) {
        const crossing = crossings.get(name);
        if (crossing !== undefined) inputs[name] = crossing;
      }
      const [result] = await program.runBound(
        this.#state,
        [{ tensors: batch, inputs, outputs }],
        signal ? { signal } : {},
      );
      Object.assign(results, result);
      await this.#meet(made, hooks.mean);
      await hooks.after?.(packs, i < this.#parts.length - 1);
    }
    if (!whole) await this.#keep(keep, results);
    return results;
  }

  /** A later part may still read what an output replaces, so outputs of parts are put into the state at the end. */
  async #keep(keep: Readonly<Record<string, string>>, results: Record<string, Tensor>): Promise<void> {
    const kept: Record<string, Tensor> = {};
    for (const [output, name] of Object.entries(keep)) {
      const value = results[output];
      if (value) kept[name] = value;
      delete results[output];
    }
    await this.#state.write(kept);
  }

  async dispose(): Promise<void> {
    for (const { program } of this.#parts) await program.dispose();
    await this.#state.remove([...this.#state.entries.keys()].filter((name) => name.startsWith(this.#prefix)));
  }
}

/** Makes room for the gradients of packs that are not there. */
export async function makeGradients(state: EngineState, packs: readonly Pack[]): Promise<void> {
  for (const { name, members } of packs) {
    const pack = stateNames.gradient(name);
    if (state.entries.has(pack)) continue;
    const shapes = members.map((own) => [stateNames.gradient(own), state.entries.get(own)?.shape ?? []] as const);
    await state.pack(pack, Object.fromEntries(shapes));
  }
}
