/** NodeProgram: a compiled graph in the worker thread. */

import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import type { Graph, NamedValue } from '../graph/graph.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { crossingsOf, crossingValues } from './crossing.ts';
import type { BoundOptions, BoundRun, CompileOptions, EngineState, Program, RunOptions, Tensors } from './engine.ts';
import { prepareFeeds, statePlaceOf, unboundOutputs, wantedOutputs } from './feeds.ts';
import type { BoundRequest, WantedOutput } from './node-protocol.ts';
import { orAborted, type RuntimeThread } from './runtime-thread-node.ts';
import { NodeState } from './state-node.ts';

export class NodeProgram implements Program {
  readonly graph: Graph;
  readonly #runtime: RuntimeThread;
  readonly #id: number;
  readonly #parameters: CompileOptions['parameters'];
  readonly #crossing: readonly NamedValue[];
  #disposed: Promise<unknown> | undefined;

  constructor(
    graph: Graph,
    runtime: RuntimeThread,
    id: number,
    parameters: CompileOptions['parameters'],
    segments: readonly Graph[] = [graph],
  ) {
    this.graph = graph;
    this.#runtime = runtime;
    this.#id = id;
    this.#parameters = parameters;
    this.#crossing = crossingValues(graph, segments);
  }

  async run(inputs: Tensors, options: RunOptions = {}): Promise<Record<string, Tensor>> {
    throwIfAborted(options.signal);
    if (this.#disposed) throw new StableDiffusionError('invalid-argument', 'The program has been disposed of.');
    const outputs = wantedOutputs(this.graph, options.outputs);
    const feeds = prepareFeeds(this.graph, inputs, this.#parameters);
    const cancel = new Int32Array(new SharedArrayBuffer(4));
    const crossings = crossingsOf(this.graph, this.#crossing, feeds);
    const [results] = await orAborted(
      this.#runtime.call({ kind: 'run', program: this.#id, feeds, outputs, crossings, cancel }),
      options.signal,
      cancel,
    );
    return results ?? {};
  }

  async runBound(
    state: EngineState,
    runs: readonly BoundRun[],
    options: BoundOptions = {},
  ): Promise<Record<string, Tensor>[]> {
    throwIfAborted(options.signal);
    if (this.#disposed) throw new StableDiffusionError('invalid-argument', 'The program has been disposed of.');
    if (!(state instanceof NodeState))
      throw new StableDiffusionError('invalid-argument', 'The state belongs to another engine.');
    const ranks = new Map(
      [...this.graph.inputs, ...this.graph.parameters, ...this.graph.outputs].map(({ name, value }) => [
        name,
        value.shape.length,
      ]),
    );
    const requests = runs.map(({ tensors = {}, inputs = {}, outputs = {} }): BoundRequest => {
      const feeds = prepareFeeds(this.graph, tensors, this.#parameters, { state, names: inputs });
      return {
        feeds,
        wanted: this.#wanted(unboundOutputs(this.graph, state, outputs)),
        inputs: Object.entries(inputs).map(([input, bound]) => [
          input,
          statePlaceOf(state, bound, ranks.get(input) ?? 0),
        ]),
        outputs: Object.entries(outputs).map(([output, bound]) => [
          output,
          statePlaceOf(state, bound, ranks.get(output) ?? 0),
        ]),
      };
    });
    const cancel = new Int32Array(new SharedArrayBuffer(4));
    const request = {
      kind: 'run-bound',
      program: this.#id,
      state: state.id,
      runs: requests,
      inPlace: options.inPlace ?? false,
      cancel,
    } as const;
    return [...(await orAborted(this.#runtime.call(request), options.signal, cancel))];
  }

  #wanted(names: readonly string[]): WantedOutput[] {
    return this.graph.outputs.flatMap(({ name, value: { dtype, shape } }) => {
      if (!names.includes(name)) return [];
      return [{ name, dtype, ...(shape.every((size) => typeof size === 'number') ? { shape } : {}) }];
    });
  }

  async dispose(): Promise<void> {
    this.#disposed ??= this.#runtime.call({ kind: 'dispose', program: this.#id });
    await this.#disposed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
