/**
 * Training of networks over pixels (guided-diffusion's `TrainLoop` and `classifier_train.py`) and of classifiers of latents: timesteps by a sampler that may learn from the
 * losses, several averages of the weights, and losses by quarter of the process.
 */

import { type Communicator, gatherJson } from '../../distributed/communicator.ts';
import * as z from 'zod';
import type { Engine, Program, Tensors } from '../../engine/engine.ts';
import type { DropoutSite } from '../../graph/trace.ts';
import { float32, int64, type Tensor } from '../../tensor/tensor.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { BatchGenerator } from '../data/batch-generator.ts';
import type { ItemPlaces, TrainingItem } from '../data/sample.ts';
import { dropoutMasks } from '../objective/dropout-masks.ts';
import { accuracyAt } from '../objective/noisy-classifier.ts';
import { type TimestepResampler, uniformResampler } from '../objective/timestep-resampler.ts';
import { blockOfModule } from '../step/checkpoint-blocks.ts';
import { createTrainStep } from '../step/create-train-step.ts';
import { averageName, createFurtherAverages, type FurtherAverages } from '../step/further-averages.ts';
import type { StepRanks } from '../step/gradient-exchange.ts';
import type { OptimiserConfig } from '../step/optimiser.ts';
import type { TrainStep } from '../step/train-step.ts';
import { countsSchema, TrainedState } from '../step/trained-state.ts';
import type { BatchPurpose, Trainee, TraineeCheckpoint, TraineeSamples, TraineeUpdate } from '../trainee.ts';
import type { PixelObjective } from './objective.ts';
import { Means } from '../means.ts';

export interface PixelBatch {
  /** Inputs of the loss but the timesteps and their weights, which are drawn at the step. */
  readonly inputs: Tensors;
  /** Uniform numbers for the timesteps, [b]. */
  readonly uniforms: readonly number[];
}

export interface PixelTrainingOptions {
  readonly engine: Engine;
  readonly objective: PixelObjective;
  /** Under the names of guided-diffusion's files. */
  readonly weights: WeightSource;
  readonly batch: number;
  readonly resampler: TimestepResampler;
  /** Decays of the averages; the first is that of the result. */
  readonly emaRates: readonly number[];
  readonly optimiser?: OptimiserConfig;
  readonly weightDecay?: number;
  readonly clipNorm?: number | undefined;
  readonly checkpointing?: boolean;
  readonly ranks?: StepRanks;
  /** Kept in the result's file: the flags. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Pictures of the network in its current state: a network that runs with the averaged weights. */
  readonly samples?: (training: PixelTraining, batch: PixelBatch) => Promise<TraineeSamples>;
}

const savedSchema = z.object({ counts: countsSchema, resampler: z.array(z.array(z.number())) });

export class PixelTraining implements Trainee<PixelBatch> {
  readonly samples?: (batch: PixelBatch) => Promise<TraineeSamples>;
  readonly #options: PixelTrainingOptions;
  readonly #step: TrainStep;
  readonly #trained: TrainedState;
  readonly #dropouts: readonly DropoutSite[];
  readonly #further: FurtherAverages;
  #validation: Promise<Program> | undefined;

  /** Use `createPixelTraining`. */
  constructor(
    options: PixelTrainingOptions,
    step: TrainStep,
    dropouts: readonly DropoutSite[],
    further: FurtherAverages,
  ) {
    this.#options = options;
    this.#step = step;
    this.#dropouts = dropouts;
    this.#further = further;
    this.#trained = new TrainedState({
      state: step.state,
      names: [...step.checkpointNames, ...further.names],
      averaged: step.averaged,
      shards: [step.shards],
      kind: 'model or optimiser',
    });
    const { samples } = options;
    if (samples) this.samples = (batch) => samples(this, batch);
  }

  async prepare(
    items: readonly TrainingItem[],
    seed: number,
    purpose: BatchPurpose = 'training',
    places?: ItemPlaces,
  ): Promise<PixelBatch> {
    const generator = new BatchGenerator(seed, places);
    const given = await this.#options.objective.inputs(items, generator);
    const uniforms = Array.from(generator.rand([items.length]).data);
    const noise = generator.randn(given.x0.shape);
    const masks = purpose === 'training' ? dropoutMasks(this.#dropouts, generator) : {};
    return { inputs: { ...given, noise, ...masks }, uniforms };
  }

  #timed(
    { inputs, uniforms }: PixelBatch,
    resampler: TimestepResampler,
  ): { readonly tensors: Tensors; readonly timesteps: readonly number[]; readonly weights: readonly number[] } {
    const drawn = this.#options.objective.noised
      ? resampler.draw(uniforms)
      : { timesteps: uniforms.map(() => 0), weights: uniforms.map(() => 1) };
    const { timesteps, weights } = drawn;
    const count = [timesteps.length];
    return { tensors: { ...inputs, t: int64(count, timesteps), weight: float32(count, [...weights]) }, ...drawn };
  }

  async update(
    batches: readonly PixelBatch[],
    { learningRate }: { readonly learningRate: number },
  ): Promise<TraineeUpdate> {
    const { resampler, ranks } = this.#options;
    const timed = batches.map((batch) => this.#timed(batch, resampler));
    const made = await this.#step.run(
      timed.map(({ tensors }) => tensors),
      { learningRate },
    );
    await this.#further.update();
    const quarters = new Quarters(this.#options.objective.process.tables.betas.length);
    for (const [i, { timesteps, weights, tensors }] of timed.entries()) {
      const outputs = made.batchTensors[i] ?? {};
      quarters.add(timesteps, weights, outputs);
      quarters.addAccuracy(timesteps, outputs, tensors);
      const losses = Array.from(outputs['losses']?.data ?? [], Number);
      if (!ranks || ranks.communicator.size === 1) resampler.update(timesteps, losses);
      else {
        const all = await ranks.communicator.allGather(Float64Array.from([...timesteps, ...losses]));
        const n = timesteps.length;
        for (let from = 0; from < all.length; from += 2 * n)
          resampler.update([...all.subarray(from, from + n)], [...all.subarray(from + n, from + 2 * n)]);
      }
    }
    if (ranks && ranks.communicator.size > 1) await quarters.meet(ranks.communicator);
    return { metrics: { ...made.metrics, ...quarters.metrics() }, gradientNorm: made.gradientNorm };
  }

  /** The loss and its terms at uniform timesteps, with averaged weights if available. */
  async validate(batch: PixelBatch): Promise<Readonly<Record<string, number>>> {
    const { engine, objective, weights, batch: size } = this.#options;
    const graph = objective.trace(size);
    this.#validation ??= engine.compile(graph, weights, { parameters: { inputs: new Set(this.#step.trained) } });
    const steps = objective.process.tables.betas.length;
    const { tensors, timesteps, weights: factors } = this.#timed(batch, uniformResampler(steps));
    const [made = {}] = await (await this.#validation).runBound(this.#step.state, [
      { tensors, inputs: this.averagedInputs() },
    ]);
    const quarters = new Quarters(steps);
    quarters.add(timesteps, factors, made);
    quarters.addAccuracy(timesteps, made, tensors);
    return { loss: Number(made['loss']?.data[0]), ...quarters.metrics() };
  }

  /** The parameters as a program takes them, bound to their averages. */
  averagedInputs(): Readonly<Record<string, string>> {
    return this.#trained.averagedInputs(this.#step.trained);
  }

  /** The tensors that a program over the parameters runs with. */
  get state(): TrainStep['state'] {
    return this.#step.state;
  }

  settle(): Promise<void> {
    return this.#step.settle();
  }

  withAverages<T>(work: () => Promise<T>): Promise<T> {
    return this.#trained.withAverages(work);
  }

  checkpoint(): TraineeCheckpoint {
    const resampler = this.#options.resampler.state().map((row) => [...row]);
    const saved: z.output<typeof savedSchema> = { counts: this.#step.counts, resampler };
    return { ...this.#trained.checkpoint(saved), metadata: this.#options.metadata };
  }

  async restore(saved: WeightSource, state: unknown): Promise<void> {
    const { counts, resampler } = await this.#trained.restore(saved, state, savedSchema);
    await this.#step.restore({ counts });
    this.#options.resampler.restore(resampler);
  }

  /** The network with its first average, under the names of guided-diffusion's files. */
  model(): Omit<TraineeCheckpoint, 'state'> {
    return { ...this.#trained.model(this.#step.trained), metadata: this.#options.metadata };
  }

  /** The other averages. */
  furtherModels(): Readonly<Record<string, Omit<TraineeCheckpoint, 'state'>>> {
    const { emaRates, metadata } = this.#options;
    return Object.fromEntries(
      emaRates.slice(1).map((rate) => [
        `ema_${rate}.safetensors`,
        {
          entries: this.#step.trained.map((name) => this.#trained.entry(name)),
          provide: ({ name }) => this.#trained.read(averageName(rate, name)),
          metadata,
        },
      ]),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([
      this.#further.dispose(),
      this.#step.dispose(),
      this.#validation?.then(
        (program) => program.dispose(),
        () => {},
      ),
    ]);
  }
}

/** Means of weighted terms over a batch, and by quarter of the process (`log_loss_dict`). */
class Quarters {
  readonly #steps: number;
  #means = new Means();

  constructor(steps: number) {
    this.#steps = steps;
  }

  #put(name: string, timestep: number, value: number): void {
    const quarter = Math.floor((4 * timestep) / this.#steps);
    this.#means.add({ [name]: value, [`${name}_q${quarter}`]: value });
  }

  add(timesteps: readonly number[], weights: readonly number[], outputs: Readonly<Record<string, Tensor>>): void {
    for (const [name, { shape, data }] of Object.entries(outputs))
      if (shape.length === 1)
        for (const [i, t] of timesteps.entries())
          this.#put(name === 'losses' ? 'loss' : name, t, Number(data[i]) * (weights[i] as number));
  }

  /** Classifiers: how often the class is the likeliest, or among the five likeliest. */
  addAccuracy(timesteps: readonly number[], outputs: Readonly<Record<string, Tensor>>, tensors: Tensors): void {
    const { logits } = outputs;
    const { y } = tensors;
    if (!logits || !y) return;
    const labels = Array.from(y.data, Number);
    for (const k of [1, 5])
      for (const [i, right] of accuracyAt(logits, labels, k).entries())
        this.#put(`acc@${k}`, timesteps[i] as number, right ? 1 : 0);
  }

  /** Adds the sums of other ranks, in their order. */
  async meet(ranks: Communicator): Promise<void> {
    this.#means = Means.joined((await gatherJson(ranks, this.#means.sums)).flat());
  }

  metrics(): Record<string, number> {
    return this.#means.values();
  }
}

/** Compiles the step and puts weights, moments and averages into the engine. Throws `weights-mismatch`, `engine-failed`. */
export async function createPixelTraining(options: PixelTrainingOptions): Promise<PixelTraining> {
  const { engine, objective, weights, emaRates, optimiser, weightDecay } = options;
  const dropouts: DropoutSite[] = [];
  const step = await createTrainStep({
    engine,
    graph: objective.trace(options.batch, (site) => dropouts.push(site)),
    weights,
    treatment: () => ({ weightDecay: weightDecay ?? 0 }),
    ...(optimiser ? { optimiser } : {}),
    ...(options.clipNorm === undefined ? {} : { clipNorm: options.clipNorm }),
    // guided-diffusion's averages have no warm-up.
    ...(emaRates[0] === undefined ? {} : { average: { decay: emaRates[0], useNumUpdates: false } }),
    ...(options.checkpointing ? { checkpoint: blockOfModule } : {}),
    ...(options.ranks ? { ranks: options.ranks } : {}),
  });
  const further = await createFurtherAverages(engine, step.state, step.trained, emaRates.slice(1));
  return new PixelTraining(options, step, dropouts, further);
}
