/**
 * One training step: gradients of a traced loss, clipping, the optimiser's update and exponential averages, all in the engine. Parameters,
 * moments and averages stay there between steps.
 *
 * It is independent of data, schedule and files: the learning rate comes with each batch, and the whole state can be read and set, after which
 * steps are the same to the bit.
 */

import type { Engine, EngineState, Program, Tensors } from '../../engine/engine.ts';
import { StableDiffusionError } from '../../errors.ts';
import type { Graph } from '../../graph/graph.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { type AverageConfig, averageRate } from './exponential-average.ts';
import { meetScalars, ownRange, shareFirst, type StepRanks, sumGradients } from './gradient-exchange.ts';
import { GradientSums } from './gradient-sums.ts';
import { type Optimiser, type OptimiserConfig, stateNames, type Update } from './optimiser.ts';
import type { Pack } from './packs.ts';
import type { ParameterGroup } from './parameter-group.ts';

/**
 * How a parameter is treated: `fixed` ones are built into the program; `shared` ones are read from the state but not changed here
 * (another step trains them); the others are trained, with these settings.
 */
export type Treatment = 'fixed' | 'shared' | ParameterGroup;

export interface TrainStepOptions {
  readonly engine: Engine;
  /** A traced loss: its scalar output `loss` is minimised. Other outputs are reported: scalars as metrics, the rest as tensors. */
  readonly graph: Graph;
  readonly weights: WeightSource;
  /** By default every parameter is trained. */
  readonly treatment?: (name: string) => Treatment;
  /** Default AdamW. */
  readonly optimiser?: OptimiserConfig;
  /** Largest norm of all gradients together; larger ones are scaled down (`clip_grad_norm_`). */
  readonly clipNorm?: number;
  /** Exponential averages of the trained parameters, or of those that `of` chooses. */
  readonly average?: AverageConfig & { readonly of?: (name: string) => boolean };
  /** Blocks whose activations are calculated again in the backward pass: `blockOfModule`. */
  readonly checkpoint?: (scope: string) => string | undefined;
  /** The processes that train together: gradients and metrics are means over their batches. Default: this one alone. */
  readonly ranks?: StepRanks;
  /** A state to live in, so that steps can share parameters; by default one of its own. */
  readonly state?: EngineState;
  /** Outputs of the graph that replace tensors of the state after each batch, e.g. running statistics: output → tensor. */
  readonly keep?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface StepOptions {
  /** Learning rate of this step, before a group's factor. */
  readonly learningRate: number;
  readonly signal?: AbortSignal;
}

export interface StepResult {
  readonly loss: number;
  /** Scalar outputs, the loss among them; means over accumulated batches. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Metrics of each accumulated batch. */
  readonly batches: readonly Readonly<Record<string, number>>[];
  /** Outputs that are not scalars, of the last batch. */
  readonly tensors: Readonly<Record<string, Tensor>>;
  /** Norm of all gradients, before clipping. */
  readonly gradientNorm: number;
}

/** Everything that changes from step to step: tensors by their names in the state, and counts. */
export interface TrainingState {
  readonly tensors: Tensors;
  readonly counts: TrainingCounts;
}

export interface TrainingCounts {
  /** Updates made. */
  readonly steps: number;
  /** Updates of the averages. */
  readonly averageUpdates: number;
}

export class TrainStep implements AsyncDisposable {
  /** Names of the trained parameters: those that are not fixed or shared and that the loss depends on. */
  readonly trained: readonly string[];
  /** Names of the parameters that have an average. */
  readonly averaged: readonly string[];
  readonly state: EngineState;
  readonly #options: TrainStepOptions;
  readonly #optimiser: Optimiser;
  readonly #gradient: Program;
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
    gradient: Program,
    helpers: { readonly squares: Program; readonly accumulate: Program },
    packs: readonly Pack[],
    optimiser: Optimiser,
  ) {
    this.#options = options;
    this.state = state;
    this.#gradient = gradient;
    this.#helpers = helpers;
    this.#sums = new GradientSums(state, packs, helpers);
    this.#packs = packs;
    this.#optimiser = optimiser;
    this.trained = packs.flatMap(({ members }) => members);
    this.averaged = packs.flatMap(({ members, averaged }) => (averaged ? members : []));
    const slots = this.trained.flatMap((name) => optimiser.slots.map((slot) => stateNames.slot(slot, name)));
    this.#stateNames = [
      ...this.trained,
      ...slots,
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
      if (i === 1) await this.#sums.prepareFresh();
      results.push(await this.#differentiate(batch, i === 0, options.signal));
      if (i > 0) await this.#sums.accumulate();
    }
    const { squares, metrics } = await this.#meet(averageScalars(results));
    const count = list.length * (this.#options.ranks?.communicator.size ?? 1);
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
    const last = results.at(-1) ?? {};
    const tensors = Object.fromEntries(Object.entries(last).filter(([, value]) => value.shape.length > 0));
    return { loss, metrics, batches: results.map((result) => averageScalars([result])), tensors, gradientNorm };
  }

  /** Sums of squares and means of metrics, of all ranks where there are several; the gradients in the state are then their sums. */
  async #meet(
    metrics: Record<string, number>,
  ): Promise<{ readonly squares: number; readonly metrics: Record<string, number> }> {
    const { ranks } = this.#options;
    if (!ranks || ranks.communicator.size === 1) return { squares: await this.#sums.squares(), metrics };
    await shareFirst(this.state, [...new Set(Object.values(this.#options.keep ?? {}))], ranks);
    await sumGradients(this.state, this.#packs, ranks);
    const squares = await this.#sums.squares((pack) => ownRange(this.state, pack, ranks));
    return meetScalars(ranks.communicator, squares, metrics);
  }

  async #differentiate(
    batch: Tensors,
    first: boolean,
    signal: AbortSignal | undefined,
  ): Promise<Record<string, Tensor>> {
    const place = first ? stateNames.gradient : stateNames.fresh;
    const outputs: Record<string, string> = { ...this.#options.keep };
    for (const name of this.trained) outputs[`grad.${name}`] = place(name);
    const [result] = await this.#gradient.runBound(
      this.state,
      [{ tensors: batch, inputs: this.#bound(), outputs }],
      signal ? { signal } : {},
    );
    return result ?? {};
  }

  /** Parameters of the gradient program that come from the state, under their own names. */
  #bound(): Record<string, string> {
    const names = this.#gradient.graph.parameters
      .map(({ name }) => name)
      .filter((name) => this.state.entries.has(name) && treatmentOf(this.#options, name) !== 'fixed');
    return Object.fromEntries(names.map((name) => [name, name]));
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
        ...(rate !== undefined && averaged ? { averageRate: rate } : {}),
      }),
    );
    await this.#optimiser.apply(this.state, updates);
    this.#steps++;
    if (average) this.#averageUpdates++;
  }

  /** The gradients of the latest step (of its sum over batches, before clipping), by parameter. */
  async gradients(names: readonly string[] = this.trained): Promise<Record<string, Tensor>> {
    const read = await this.state.read(names.map(stateNames.gradient));
    return Object.fromEntries(names.map((name) => [name, read[stateNames.gradient(name)] as Tensor]));
  }

  /** The current trained parameters. */
  parameters(names: readonly string[] = this.trained): Promise<Record<string, Tensor>> {
    return this.state.read(names);
  }

  /** Their averages, by parameter. */
  async averages(names: readonly string[] = this.averaged): Promise<Record<string, Tensor>> {
    const read = await this.state.read(names.map(stateNames.average));
    return Object.fromEntries(names.map((name) => [name, read[stateNames.average(name)] as Tensor]));
  }

  /** Names of the tensors that a checkpoint needs; `state.read` gives them a few at a time. */
  get checkpointNames(): readonly string[] {
    return this.#stateNames;
  }

  get counts(): TrainingCounts {
    return { steps: this.#steps, averageUpdates: this.#averageUpdates };
  }

  /** Everything a run needs to resume. */
  async save(): Promise<TrainingState> {
    return { tensors: await this.state.read(this.#stateNames), counts: this.counts };
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
    if (tensors) await this.state.write(tensors);
    if (counts) {
      this.#steps = counts.steps;
      this.#averageUpdates = counts.averageUpdates;
    }
  }

  async dispose(): Promise<void> {
    await Promise.all([
      this.#gradient.dispose(),
      this.#helpers.squares.dispose(),
      this.#helpers.accumulate.dispose(),
      this.#optimiser.dispose(),
    ]);
    if (!this.#options.state) await this.state.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/** How a parameter is treated: by default trained, with the settings of the optimiser. */
export function treatmentOf(options: TrainStepOptions, name: string): Treatment {
  return options.treatment?.(name) ?? {};
}

function averageScalars(results: readonly Record<string, Tensor>[]): Record<string, number> {
  const metrics: Record<string, number> = {};
  for (const result of results) {
    for (const [name, value] of Object.entries(result)) {
      if (value.shape.length === 0) metrics[name] = (metrics[name] ?? 0) + Number(value.data[0]) / results.length;
    }
  }
  return metrics;
}
