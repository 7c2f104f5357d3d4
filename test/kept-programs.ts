/**
 * An engine for tests that compile the same program many times, as runs that are resumed and ranks in one process do. The runtime's work
 * on a training graph is most of such a test, so equal programs share one, which stays until the engine is disposed of.
 */

import { createHash } from 'node:crypto';
import type { CompileOptions, Engine, Program } from '../src/engine/engine.ts';
import { givenParameters } from '../src/engine/feeds.ts';
import { StableDiffusionError } from '../src/errors.ts';
import type { Graph } from '../src/graph/graph.ts';
import { print } from '../src/graph/print.ts';
import { bytesOf } from '../src/tensor/tensor.ts';
import type { WeightSource } from '../src/weights/weight-source.ts';

/** Everything that a program is made of: its graph, the values of its constants and of the parameters that are built in, and the options. */
async function contentOf(graph: Graph, weights: WeightSource, options: CompileOptions): Promise<string> {
  const hash = createHash('sha256').update(print(graph));
  for (const { tensor } of graph.constants) hash.update(bytesOf(tensor));
  const given = givenParameters(graph, options.parameters);
  for (const { name } of graph.parameters) {
    if (given.has(name)) hash.update(`given ${name}`);
    else hash.update(bytesOf(await weights.read(name)));
  }
  const { precision, keepsMemory } = options;
  return hash.update(JSON.stringify({ precision, keepsMemory, built: options.parameters !== 'inputs' })).digest('hex');
}

export function keepPrograms(engine: Engine): Engine {
  const kept = new Map<string, Promise<Program>>();
  return {
    provider: engine.provider,
    limits: engine.limits,
    createState: () => engine.createState(),
    dispose: () => engine.dispose(),
    [Symbol.asyncDispose]: () => engine.dispose(),
    async compile(graph, weights, options = {}) {
      // What the engine refuses, it refuses itself.
      const content = await contentOf(graph, weights, options).catch(() => undefined);
      if (content === undefined) return engine.compile(graph, weights, options);
      const known = await kept.get(content)?.catch(() => undefined);
      if (known) return handleOf(known, graph);
      const made = engine.compile(graph, weights, options);
      kept.set(content, made);
      made.catch(() => kept.delete(content));
      return handleOf(await made, graph);
    },
  };
}

/** A caller's program: disposed of for this caller alone. */
function handleOf(program: Program, graph: Graph): Program {
  let isDisposed = false;
  const used = (): Program => {
    if (isDisposed) throw new StableDiffusionError('invalid-argument', 'The program has been disposed of.');
    return program;
  };
  const dispose = async (): Promise<void> => {
    isDisposed = true;
  };
  return {
    graph,
    run: async (...given) => used().run(...given),
    runBound: async (...given) => used().runBound(...given),
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}
