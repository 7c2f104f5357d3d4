/**
 * One training step: gradients of a traced loss, clipping, the optimiser's update and exponential averages, all in the engine. Parameters,
 * moments and averages stay there between steps.
 *
 * It is independent of data, schedule and files: the learning rate comes with each batch, and the whole state can be read and set, after which
 * steps are the same to the bit.
 */

import type { EngineState, Program, Tensors } from '../../engine/engine.ts';
import { StableDiffusionError } from '../../errors.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { averageRate } from './exponential-average.ts';
import { type Backward, makeGradients } from './backward.ts';
import {
  dividesGradients,
  GradientExchange,
  meetScalars,
  ownRange,
  type PackRange,
  shareFirst,
} from './gradient-exchange.ts';
import { GradientSums } from './gradient-sums.ts';
import { type Optimiser, stateNames, type Update } from './optimiser.ts';
import type { Pack } from './packs.ts';
import type { OuterStep } from './outer-step.ts';
import type { StateShards } from './state-shards.ts';
import type { StepOptions, StepResult, TrainingCounts, TrainingState, TrainStepOptions } from './step-options.ts';

export class TrainStep implements AsyncDisposable {
  /** Names of the trained parameters: those that are not fixed or shared and that the loss depends on. */
  readonly trained: readonly string[];
  /** Names of the parameters that have an average. */
  readonly averaged: readonly string[];
  readonly state: EngineState;
  /** Moments and averages, where they are divided over ranks. */
  readonly shards: StateShards | undefined;
  readonly #outer: OuterStep | undefined;
  readonly #options: TrainStepOptions;
  readonly #optimiser: Optimiser;
  readonly #backward: Backward;
  readonly #exchange: GradientExchange | undefined;
  readonly #helpers: { readonly squares: Program; readonly accumulate: Program };
  readonly #packs: readonly Pack[];
  readonly #sums: GradientSums;
  #steps = 0;
  #averageUpdates = 0;
  #stateNames: readonly string[] = [];

  /** Use `createTrainStep`. */
  constructor(
    options: TrainStepOptions,
    state: EngineState,
    backward: Backward,
    helpers: { readonly squares: Program; readonly accumulate: Program },
    packs: readonly Pack[],
    optimiser: Optimiser,
    { shards, outer }: { readonly shards: StateShards | undefined; readonly outer: OuterStep | undefined },
  ) {
    this.shards = shards;
    this.#outer = outer;
    this.#options = options;
    this.state = state;
    this.#backward = backward;
    this.#helpers = helpers;
    this.#sums = new GradientSums(state, packs, helpers);
    this.#packs = packs;
    const { ranks } = options;
    this.#exchange =
      ranks && ranks.communicator.size > 1 && !ranks.outer
        ? new GradientExchange(state, ranks, shards && ((pack, part) => shards.keepGradient(pack, part)))
        : undefined;
    this.#optimiser = optimiser;
    this.trained = packs.flatMap(({ members }) => members);
    this.averaged = packs.flatMap(({ members, averaged }) => (averaged ? members : []));
    const slots = this.trained.flatMap((name) => optimiser.slots.map((slot) => stateNames.slot(slot, name)));
    this.#stateNames = [
      ...this.trained,
      ...slots,
      ...(outer ? this.trained.map(stateNames.outer) : []),
      ...this.averaged.map(stateNames.average),
      ...new Set(Object.values(options.keep ?? {})),
    ];
  }

  /** Updates made so far. */
  get steps(): number {
    return this.#steps;
  }

  /**
   * One update from one batch, or from several whose gradients are averaged (accumulation).
   * @throws `not-finite` before anything is changed, if the loss or a gradient is NaN or infinite
   */
  async run(batches: Tensors | readonly Tensors[], options: StepOptions): Promise<StepResult> {
    const list: readonly Tensors[] = Array.isArray(batches) ? batches : [batches as Tensors];
    const results: Record<string, Tensor>[] = [];
    for (const [i, batch] of list.entries()) {
      if (i === 1 && !dividesGradients(this.#options.ranks)) await this.#sums.prepareFresh();
      results.push(await this.#differentiate(batch, i, i === list.length - 1, options.signal));
    }
    const { squares, metrics } = await this.#meet(averageScalars(results));
    const count = list.length * (this.#outer ? 1 : (this.#options.ranks?.communicator.size ?? 1));
    const gradientNorm = Math.sqrt(squares) / count;
    const loss = metrics['loss'] ?? Number.NaN;
    if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) {
      throw new StableDiffusionError(
        'not-finite',
        `The loss is ${loss} and the norm of its gradients ${gradientNorm} at step ${this.#steps + 1}; no weight was changed. Lower the learning rate, clip gradients, or check the data of this batch.`,
        { details: { metrics } },
      );
    }
    await this.#update(count, gradientNorm, options.learningRate);
    const batchTensors = results.map(tensorsOf);
    const means = results.map((result) => averageScalars([result]));
    return { loss, metrics, batches: means, tensors: batchTensors.at(-1) ?? {}, batchTensors, gradientNorm };
  }

  /** Sums of squares and means of metrics, of all ranks where there are several; the gradients in the state are then their sums. */
  async #meet(
    metrics: Record<string, number>,
  ): Promise<{ readonly squares: number; readonly metrics: Record<string, number> }> {
    const { ranks } = this.#options;
    if (!ranks || ranks.communicator.size === 1) return { squares: await this.#sums.squares(), metrics };
    if (this.#outer) {
      // This rank's own norm, which is not finite where that of any rank is not.
      const squares = await this.#sums.squares();
      const met = await meetScalars(ranks.communicator, squares, metrics);
      return { squares: Number.isFinite(met.squares) ? squares : met.squares, metrics: met.metrics };
    }
    await this.#exchange?.done();
    await shareFirst(this.state, [...new Set(Object.values(this.#options.keep ?? {}))], ranks);
    const own = (pack: string): PackRange => ownRange(this.state, pack, ranks);
    const squares = dividesGradients(ranks)
      ? await this.#sums.squares(
          (pack) => ({ start: 0, end: own(pack).end - own(pack).start }),
          (pack) => stateNames.part(stateNames.gradient(pack)),
        )
      : await this.#sums.squares(own);
    return meetScalars(ranks.communicator, squares, metrics);
  }

  /** Gradients of one of several batches, added to those before it. With the last, their sums over ranks begin. */
  async #differentiate(batch: Tensors, i: number, last: boolean, signal: AbortSignal | undefined) {
    const divided = dividesGradients(this.#options.ranks);
    const exchange = this.#exchange;
    return this.#backward.run(
      batch,
      {
        place: i === 0 || divided ? stateNames.gradient : stateNames.fresh,
        ...(divided ? { before: (packs) => makeGradients(this.state, packs) } : {}),
        ...(exchange ? { mean: (values) => exchange.mean(values) } : {}),
        after: async (packs, more) => {
          if (i > 0 && !divided) await this.#sums.accumulate(packs);
          if (last || divided) exchange?.add(packs, more || !last);
        },
      },
      signal,
    );
  }

  async #update(batches: number, gradientNorm: number, learningRate: number): Promise<void> {
    const { clipNorm, average, optimiser } = this.#options;
    const clip = clipNorm === undefined ? 1 : Math.min(1, clipNorm / (gradientNorm + 1e-6));
    const rate = average ? averageRate(average, this.#averageUpdates + 1) : undefined;
    const decay = (optimiser?.kind ?? 'adamw') === 'adamw' ? 0.01 : 0;
    const updates = this.#packs.map(
      ({ name, group, averaged }): Update => ({
        name,
        step: this.#steps + 1,
        learningRate: learningRate * (group.learningRateScale ?? 1),
        weightDecay: group.weightDecay ?? decay,
        gradientScale: clip / batches,
        ...(this.shards ? { range: this.shards.rangeOf(name) } : {}),
        dividedGradient: dividesGradients(this.#options.ranks),
        ...(rate !== undefined && averaged ? { averageRate: rate } : {}),
      }),
    );
    await this.#optimiser.apply(this.state, updates);
    await this.shards?.gatherParameters();
    await this.#outer?.after();
    this.#steps++;
    if (average) this.#averageUpdates++;
  }

  /** The gradients of the latest step (of its sum over batches, before clipping), by parameter. */
  async gradients(names: readonly string[] = this.trained): Promise<Record<string, Tensor>> {
    const read = await this.#read(names.map(stateNames.gradient));
    return Object.fromEntries(names.map((name) => [name, read[stateNames.gradient(name)] as Tensor]));
  }

  /** The current trained parameters. */
  parameters(names: readonly string[] = this.trained): Promise<Record<string, Tensor>> {
    return this.state.read(names);
  }

  /** Their averages, by parameter. */
  async averages(names: readonly string[] = this.averaged): Promise<Record<string, Tensor>> {
    const read = await this.#read(names.map(stateNames.average));
    return Object.fromEntries(names.map((name) => [name, read[stateNames.average(name)] as Tensor]));
  }

  /** Tensors by their names in checkpoints. */
  async #read(names: readonly string[]): Promise<Record<string, Tensor>> {
    const divided = names.filter((name) => this.shards?.shapeOf(name));
    const read = await this.state.read(names.filter((name) => !this.shards?.shapeOf(name)));
    for (const name of divided) read[name] = (await this.shards?.read(name)) as Tensor;
    return read;
  }

  /** Names of the tensors that a checkpoint needs; `state.read` gives them a few at a time. */
  get checkpointNames(): readonly string[] {
    return this.#stateNames;
  }

  get counts(): TrainingCounts {
    return { steps: this.#steps, averageUpdates: this.#averageUpdates };
  }

  /** Before a checkpoint, on all ranks: makes their states the same where they train alone. */
  async settle(): Promise<void> {
    await this.#outer?.settle();
  }

  /** Everything a run needs to resume. */
  async save(): Promise<TrainingState> {
    return { tensors: await this.#read(this.#stateNames), counts: this.counts };
  }

  /** Restores a saved state. Tensors may come in several calls, counts with any of them. Throws `shape-mismatch` for another network's state. */
  async restore({ tensors, counts }: { readonly tensors?: Tensors; readonly counts?: TrainingCounts }): Promise<void> {
    const known = new Set(this.#stateNames);
    const unknown = Object.keys(tensors ?? {}).filter((name) => !known.has(name));
    if (unknown.length > 0)
      throw new StableDiffusionError(
        'shape-mismatch',
        `This training has no tensors ${unknown.slice(0, 5).join(', ')}: the saved state is of another network or optimiser.`,
      );
    const all = Object.entries(tensors ?? {});
    const divided = all.filter(([name]) => this.shards?.shapeOf(name));
    await this.state.write(Object.fromEntries(all.filter(([name]) => !this.shards?.shapeOf(name))));
    for (const [name, value] of divided) await this.shards?.write(name, value);
    // What was set in the state before begins the next round too.
    await this.#outer?.begin();
    if (counts) {
      this.#steps = counts.steps;
      this.#averageUpdates = counts.averageUpdates;
    }
  }

  async dispose(): Promise<void> {
    await Promise.all([
      this.#backward.dispose(),
      this.#helpers.squares.dispose(),
      this.#helpers.accumulate.dispose(),
      this.#optimiser.dispose(),
      this.shards?.dispose(),
    ]);
    if (!this.#options.state) await this.state.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

const tensorsOf = (result: Record<string, Tensor>): Record<string, Tensor> =>
  Object.fromEntries(Object.entries(result).filter(([, value]) => value.shape.length > 0));

function averageScalars(results: readonly Record<string, Tensor>[]): Record<string, number> {
  const metrics: Record<string, number> = {};
  for (const result of results) {
    for (const [name, value] of Object.entries(result)) {
      if (value.shape.length === 0) metrics[name] = (metrics[name] ?? 0) + Number(value.data[0]) / results.length;
    }
  }
  return metrics;
}
