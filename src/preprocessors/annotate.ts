/** A preprocessor's network on an engine. */

import { checkAvailable } from '../engine/available-memory.ts';
import type { Engine, Program } from '../engine/engine.ts';
import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import { peakMemory } from '../graph/peak-memory.ts';
import type { Annotator, AnnotatorNetwork } from '../models/annotators/annotator.ts';
import { expectDType, type Tensor } from '../tensor/tensor.ts';

export interface OpenAnnotator extends Annotator, AsyncDisposable {}

/** The network on the engine, compiled for one picture size at a time. Its weights are closed when it is disposed of. */
export function createAnnotator(engine: Engine, network: AnnotatorNetwork): OpenAnnotator {
  let compiled: { readonly size: string; readonly program: Promise<Program> } | undefined;
  const release = async (): Promise<void> => {
    const old = compiled;
    compiled = undefined;
    if (old)
      await old.program.then(
        (program) => program.dispose(),
        () => {},
      );
  };
  return {
    kind: network.kind,
    async run(x, signal) {
      throwIfAborted(signal);
      const [, , height = 0, width = 0] = x.shape;
      const size = `${height}x${width}`;
      if (compiled?.size !== size) {
        await release();
        const graph = network.trace([height, width]);
        checkAvailable(
          engine,
          network.kind,
          peakMemory(graph, new Map(), () => 4),
        );
        compiled = { size, program: engine.compile(graph, network.weights, { signal }) };
      }
      const results = await (await compiled.program).run({ x }, { signal });
      const outputs: Record<string, Tensor<'float32'>> = {};
      for (const [name, value] of Object.entries(results)) {
        outputs[name] = expectDType(value, 'float32', name);
        if (!outputs[name].data.every(Number.isFinite))
          throw new StableDiffusionError(
            'not-finite',
            `The network ${network.kind} returned ${name} with NaN or infinite values. Its file ${network.weights.label} may be damaged.`,
          );
      }
      return outputs;
    },
    async [Symbol.asyncDispose]() {
      await release();
      await network.weights.close();
    },
  };
}
