/**
 * The program that calculates loss and gradients of a batch, whole or in parts that run one after the other. Of parts, the gradients that
 * are finished can be summed over ranks while the next part runs, and need not be in memory all at once.
 */

import type { EngineState, Program, Tensors } from '../../engine/engine.ts';
import { bindShape, evaluateShape } from '../../graph/dim.ts';
import type { Graph, NamedValue } from '../../graph/graph.ts';
import { partitionAt } from '../../graph/partition.ts';
import { elementCount, type Tensor, zeros } from '../../tensor/tensor.ts';
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

/** Cuts a graph of gradients into at most `count` parts with about the same number of gradients. */
export function backwardParts(graph: Graph, packs: readonly Pack[], state: EngineState, count: number): BackwardPart[] {
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
  const ends = groups.slice(0, -1).map((group) => endOf.get(group.at(-1) as Pack) ?? 0);
  return partitionAt(graph, ends).map((part, i) => ({ graph: part, packs: groups[i] ?? [] }));
}

export interface BackwardHooks {
  /** Name in the state of a parameter's gradient. */
  readonly place: (name: string) => string;
  /** Before a part that writes to gradients of these packs. */
  readonly before?: (packs: readonly Pack[]) => Promise<void>;
  /** When gradients of packs are finished; `more` is true if another part follows. */
  readonly after?: (packs: readonly Pack[], more: boolean) => Promise<void>;
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
  readonly #prefix = `crossing/${count++}/`;

  constructor(
    options: TrainStepOptions,
    state: EngineState,
    graph: Graph,
    parts: readonly (BackwardPart & { readonly program: Program })[],
    packs: readonly Pack[],
  ) {
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
      const own = `${this.#prefix}${name}`;
      const shape = evaluateShape(value.shape, bindings);
      names.set(name, own);
      const there = this.#state.entries.get(own);
      if (there?.shape.join() === shape.join()) continue;
      await this.#state.remove([own]);
      await this.#state.write({ [own]: zeros(value.dtype, shape) });
    }
    return names;
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
