/** WebProgram: a compiled graph in the browser. */

import type { InferenceSession } from 'onnxruntime-common';
import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import type { Graph } from '../graph/graph.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { BoundOptions, BoundRun, CompileOptions, EngineState, Program, RunOptions, Tensors } from './engine.ts';
import { prepareFeeds, unboundOutputs, wantedOutputs } from './feeds.ts';
import { fromOrt, toOrt } from './ort-tensor.ts';
import { type Runtime, type Turns, webFailure } from './runtime-web.ts';
import { WebState } from './state-web.ts';

export class WebProgram implements Program {
  readonly graph: Graph;
  readonly #session: InferenceSession;
  readonly #runtime: Runtime;
  readonly #turns: Turns;
  readonly #parameters: CompileOptions['parameters'];
  #disposed = false;

  constructor(
    graph: Graph,
    session: InferenceSession,
    runtime: Runtime,
    turns: Turns,
    parameters: CompileOptions['parameters'],
  ) {
    this.graph = graph;
    this.#session = session;
    this.#runtime = runtime;
    this.#turns = turns;
    this.#parameters = parameters;
  }

  async run(inputs: Tensors, options: RunOptions = {}): Promise<Record<string, Tensor>> {
    throwIfAborted(options.signal);
    if (this.#disposed) throw new StableDiffusionError('invalid-argument', 'The program has been disposed of.');
    const outputs = wantedOutputs(this.graph, options.outputs);
    return this.#run(prepareFeeds(this.graph, inputs, this.#parameters), outputs, options.signal);
  }

  async runBound(
    state: EngineState,
    runs: readonly BoundRun[],
    options: BoundOptions = {},
  ): Promise<Record<string, Tensor>[]> {
    if (!(state instanceof WebState))
      throw new StableDiffusionError('invalid-argument', 'The state belongs to another engine.');
    const results: Record<string, Tensor>[] = [];
    for (const { tensors = {}, inputs = {}, outputs = {} } of runs) {
      throwIfAborted(options.signal);
      if (this.#disposed) throw new StableDiffusionError('invalid-argument', 'The program has been disposed of.');
      const feeds = prepareFeeds(this.graph, tensors, this.#parameters, { state, names: inputs });
      const wanted = unboundOutputs(this.graph, state, outputs);
      for (const { name, value } of [...this.graph.inputs, ...this.graph.parameters]) {
        const place = inputs[name];
        if (place === undefined) continue;
        feeds[name] = state.view(place, value.shape.length);
      }
      const made = await this.#run(feeds, [...wanted, ...Object.keys(outputs)], options.signal);
      for (const [output, place] of Object.entries(outputs))
        state.view(place, made[output]?.shape.length ?? 0).data.set(made[output]?.data as never);
      results.push(Object.fromEntries(wanted.map((name) => [name, made[name] as Tensor])));
    }
    return results;
  }

  #run(feeds: Tensors, outputs: readonly string[], signal: AbortSignal | undefined): Promise<Record<string, Tensor>> {
    return this.#turns.take(async () => {
      throwIfAborted(signal);
      try {
        const tensors = Object.fromEntries(
          Object.entries(feeds).map(([name, value]) => [name, toOrt(this.#runtime.Tensor, value)]),
        );
        const results = await this.#session.run(tensors, [...outputs]);
        return Object.fromEntries(
          outputs.map((name) => {
            const value = results[name];
            if (!value) throw new Error(`the runtime returned no ${name}`);
            return [name, fromOrt(value)];
          }),
        );
      } catch (error) {
        throw webFailure(error);
      }
    });
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    await this.#turns.take(() => this.#session.release());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
