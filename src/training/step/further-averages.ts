/** Further exponential averages of a step's parameters, each with a decay of its own (`ema_rate` of guided-diffusion, which lists several). */

import type { BoundRun, Engine, EngineState, Program } from '../../engine/engine.ts';
import { dim } from '../../graph/dim.ts';
import { mul, sub } from '../../graph/functions.ts';
import { type InputSpec, trace } from '../../graph/trace.ts';
import { need } from '../../models/trace-network.ts';
import { elementCount, float32, type Tensor } from '../../tensor/tensor.ts';
import { memoryWeights } from '../../weights/memory-weights.ts';
import { partsOf } from './optimiser.ts';

const flat: InputSpec = { dtype: 'float32', shape: [dim('n')] };

export class FurtherAverages {
  /** Of all averages in the state, for checkpoints. */
  readonly names: readonly string[];
  readonly #state: EngineState;
  readonly #parameters: readonly string[];
  readonly #decays: readonly number[];
  readonly #program: Program;

  /** Use `createFurtherAverages`. */
  constructor(state: EngineState, parameters: readonly string[], decays: readonly number[], program: Program) {
    this.#state = state;
    this.#parameters = parameters;
    this.#decays = decays;
    this.#program = program;
    this.names = decays.flatMap((decay) => parameters.map((name) => averageName(decay, name)));
  }

  /** average += (1 - decay) (parameter - average), for all. After each update of the parameters. */
  async update(): Promise<void> {
    const runs = this.#decays.flatMap((decay) => {
      const rate = float32([], [1 - decay]);
      return this.#parameters.flatMap((name) =>
        partsOf(elementCount(this.#state.entries.get(name)?.shape ?? [])).map((part): BoundRun => {
          const place = { name: averageName(decay, name), ...part };
          return {
            tensors: { rate },
            inputs: { p: { name, ...part }, average: place },
            outputs: { next: place },
          };
        }),
      );
    });
    if (runs.length > 0) await this.#program.runBound(this.#state, runs, { inPlace: true });
  }

  dispose(): Promise<void> {
    return this.#program.dispose();
  }
}

/** The tensor of a parameter's average in the state. */
export const averageName = (decay: number, name: string): string => `ema_${decay}/${name}`;

/** Averages that begin as the parameters are. */
export async function createFurtherAverages(
  engine: Engine,
  state: EngineState,
  parameters: readonly string[],
  decays: readonly number[],
): Promise<FurtherAverages> {
  for (const name of decays.length > 0 ? parameters : []) {
    const value = (await state.read([name]))[name] as Tensor;
    await state.write(Object.fromEntries(decays.map((decay) => [averageName(decay, name), value])));
  }
  const graph = trace({ p: flat, average: flat, rate: { dtype: 'float32', shape: [] } }, (given) => ({
    next: sub(need(given, 'average'), mul(sub(need(given, 'average'), need(given, 'p')), need(given, 'rate'))),
  }));
  return new FurtherAverages(state, parameters, decays, await engine.compile(graph, memoryWeights(new Map())));
}
