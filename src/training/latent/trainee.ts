/**
 * Training of latent diffusion models (`ldm.models.diffusion.ddpm.LatentDiffusion`; Rombach et al. 2022): the UNet and optionally the
 * condition's encoder, over a frozen autoencoder, with averages of the UNet's weights (`LitEma`).
 */

import * as z from 'zod';
import type { LatentDiffusionConfig } from '../../config/latent-diffusion-config.ts';
import type { Engine, Program, Tensors } from '../../engine/engine.ts';
import type { DropoutSite } from '../../graph/trace.ts';
import { scale } from '../../tensor/arithmetic.ts';

import { checkpointKind } from '../../checkpoints/assembled-config.ts';
import type { Checkpoint } from '../../checkpoints/checkpoint.ts';
import { compVisWeights } from '../../checkpoints/convert-layout.ts';
import { aliased, weightView, withoutPrefix } from '../../weights/view.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { blockOfModule } from '../step/checkpoint-blocks.ts';
import { BatchGenerator } from '../data/batch-generator.ts';
import type { ItemPlaces, TrainingItem } from '../data/sample.ts';
import type { AverageConfig } from '../step/exponential-average.ts';
import type { OpenAutoencoder } from '../../model/autoencoder.ts';
import { type LatentDiffusionObjective, traceLatentDiffusionLoss } from './loss.ts';
import type { ImageLogSettings, LoggedImages } from '../image-log.ts';
import { conditionNoise } from './noised-condition.ts';
import { latentsOf } from './latents.ts';
import { dropoutMasks } from '../objective/dropout-masks.ts';
import type { OptimiserConfig } from '../step/optimiser.ts';
import type { StepRanks } from '../step/gradient-exchange.ts';
import { scaleByStd } from './scale-by-std.ts';
import { createTrainStep } from '../step/create-train-step.ts';
import type { Treatment } from '../step/step-options.ts';
import type { TrainStep } from '../step/train-step.ts';
import { countsSchema, TrainedState } from '../step/trained-state.ts';
import type { BatchPurpose, Trainee, TraineeCheckpoint, TraineeSamples, TraineeUpdate } from '../trainee.ts';
import { partPrefixes } from '../../weights/part-prefixes.ts';

export interface LatentDiffusionBatch {
  /** Inputs of the loss graph. */
  readonly inputs: Tensors;
  readonly items: readonly TrainingItem[];
}

export interface LatentDiffusionTrainingOptions {
  readonly engine: Engine;
  readonly objective: LatentDiffusionObjective;
  readonly firstStage: OpenAutoencoder;
  /** A whole model's, under the names of a CompVis checkpoint. */
  readonly weights: WeightSource;
  /** Default AdamW. */
  readonly optimiser?: OptimiserConfig;
  /** Weight decay of all trained parameters. Default 0.01 for AdamW, as in PyTorch. */
  readonly weightDecay?: number;
  readonly clipNorm?: number;
  /** Averages of the UNet's weights, and with `condition` of a trained encoder's. */
  readonly average?: AverageConfig & { readonly condition?: boolean };
  /** Calculates the activations of each block again in the backward pass. Default false. */
  readonly checkpointing?: boolean;
  /** The processes that train together. Default: this one alone. */
  readonly ranks?: StepRanks;
  /** Pictures of the model in its current state. */
  readonly samples?: (checkpoint: Checkpoint, batch: LatentDiffusionBatch) => Promise<TraineeSamples>;
  /** What is logged of a batch. */
  readonly imageLog?: (
    checkpoint: Checkpoint,
    batch: LatentDiffusionBatch,
    settings: ImageLogSettings,
  ) => AsyncIterable<LoggedImages>;
}

const savedSchema = z.object({ counts: countsSchema, scaleFactor: z.number().positive() });

const { unet: unetPrefix, first_stage: firstStagePrefix, cond_stage: condPrefix } = partPrefixes;

/** How a parameter is treated: the UNet and `logvar` are trained, the condition's encoder if configured. */
function treatmentOf(
  { config }: LatentDiffusionObjective,
  weightDecay: number | undefined,
): (name: string) => Treatment {
  const decay = weightDecay === undefined ? {} : { weightDecay };
  return (name) => (name.startsWith(condPrefix) && !config.cond_stage_trainable ? 'fixed' : decay);
}

export class LatentDiffusionTraining implements Trainee<LatentDiffusionBatch> {
  readonly samples?: (batch: LatentDiffusionBatch) => Promise<TraineeSamples>;
  readonly imageLog?: (batch: LatentDiffusionBatch, settings: ImageLogSettings) => AsyncIterable<LoggedImages>;
  readonly #options: LatentDiffusionTrainingOptions;
  readonly #step: TrainStep;
  readonly #trained: TrainedState;
  readonly #dropouts: readonly DropoutSite[];
  /** Shape of the noise on the condition (`num_timesteps_cond`). */
  readonly #conditionNoise: readonly number[] | undefined;
  #scaleFactor: number;
  #validation: Promise<Program> | undefined;

  /** Use `createLatentDiffusionTraining`. */
  constructor(options: LatentDiffusionTrainingOptions, step: TrainStep, dropouts: readonly DropoutSite[]) {
    this.#options = options;
    this.#dropouts = dropouts;
    const noised = traceLatentDiffusionLoss(options.objective).inputs.find(({ name }) => name === conditionNoise);
    this.#conditionNoise = noised?.value.shape.map(Number);
    this.#step = step;
    const { state, checkpointNames: names, averaged } = step;
    this.#trained = new TrainedState({ state, names, averaged, shards: [step.shards], kind: 'model or optimiser' });
    this.#scaleFactor = this.#config.scale_factor;
    const { samples, imageLog } = options;
    if (samples) this.samples = (batch) => samples(this.snapshot(), batch);
    if (imageLog) this.imageLog = (batch, settings) => imageLog(this.snapshot(), batch, settings);
  }

  get #config(): LatentDiffusionConfig {
    return this.#options.objective.config;
  }

  /** Factor on the latents: the configuration's, or with `scale_by_std` that of the first batch. */
  get scaleFactor(): number {
    return this.#scaleFactor;
  }

  /** `scale_by_std`: the latents of the first batch get a standard deviation of 1. */
  async begin(items: readonly TrainingItem[], seed: number, places?: ItemPlaces): Promise<void> {
    if (!this.#config.scale_by_std) return;
    const latents = await latentsOf(items, this.#options.firstStage, new BatchGenerator(seed, places));
    this.#scaleFactor = Math.fround(await scaleByStd(latents, this.#options.ranks?.communicator));
  }

  async prepare(
    items: readonly TrainingItem[],
    seed: number,
    purpose: BatchPurpose = 'training',
    places?: ItemPlaces,
  ): Promise<LatentDiffusionBatch> {
    const { objective, firstStage } = this.#options;
    const { config, conditioning, variants } = objective;
    const generator = new BatchGenerator(seed, places);
    const x0 = scale(await latentsOf(items, firstStage, generator), this.#scaleFactor);
    const [b = 0, c = 0] = x0.shape;
    const noise = generator.randn(x0.shape);
    const t = generator.randint(0, config.timesteps, [b]);
    const inputs = {
      x0,
      noise,
      t,
      ...(await conditioning.prepare(items, generator, purpose)),
      ...(variants.noiseOffset ? { offset: generator.randn([b, c, 1, 1]) } : {}),
      ...(variants.inputPerturbation ? { perturbation: generator.randn(x0.shape) } : {}),
      ...(this.#conditionNoise ? { [conditionNoise]: generator.randn(this.#conditionNoise) } : {}),
      ...(purpose === 'training' ? dropoutMasks(this.#dropouts, generator) : {}),
    };
    return { inputs, items };
  }

  async update(
    batches: readonly LatentDiffusionBatch[],
    { learningRate }: { readonly learningRate: number },
  ): Promise<TraineeUpdate> {
    const { metrics, gradientNorm } = await this.#step.run(
      batches.map(({ inputs }) => inputs),
      { learningRate },
    );
    return { metrics, gradientNorm };
  }

  /** The loss and its parts, with averaged weights if available. */
  async validate({ inputs }: LatentDiffusionBatch): Promise<Readonly<Record<string, number>>> {
    const { engine, objective, weights } = this.#options;
    const graph = traceLatentDiffusionLoss(objective);
    const names = graph.parameters.map(({ name }) => name).filter((name) => this.#step.state.entries.has(name));
    this.#validation ??= engine.compile(graph, weights, { parameters: { inputs: new Set(names) } });
    const [made = {}] = await (await this.#validation).runBound(this.#step.state, [
      {
        tensors: inputs,
        inputs: this.#trained.averagedInputs(names),
      },
    ]);
    return Object.fromEntries(Object.entries(made).map(([name, { data }]) => [name, Number(data[0])]));
  }

  /** The complete current model with the names of a CompVis checkpoint; averages replace the last weights. */
  #weights(): WeightSource {
    const { weights } = this.#options;
    const trained = new Set(this.#step.trained);
    return weightView(
      weights.label,
      Array.from(weights.entries.values(), ({ name, shape }) => {
        if (!trained.has(name)) return aliased(weights, name);
        const from = this.#trained.averageOf(name);
        return { entry: { name, shape, dtype: 'float32' as const }, read: () => this.#trained.read(from) };
      }),
      [],
    );
  }

  /** The model as a checkpoint for pipelines; weights are read in their current state. It need not be closed. */
  snapshot(): Checkpoint {
    const source = this.#weights();
    const config = { ...this.#config, scale_factor: this.#scaleFactor };
    return {
      label: 'the model in training',
      config,
      parts: {
        unet: withoutPrefix(source, unetPrefix),
        first_stage: withoutPrefix(source, firstStagePrefix),
        cond_stage: withoutPrefix(source, condPrefix),
      },
      layout: 'compvis',
      kind: checkpointKind(config),
      ema: 'absent',
      assumed: [],
      unused: [],
      metadata: new Map(),
      async close() {},
    };
  }

  settle(): Promise<void> {
    return this.#step.settle();
  }

  withAverages<T>(work: () => Promise<T>): Promise<T> {
    return this.#trained.withAverages(work);
  }

  checkpoint(): TraineeCheckpoint {
    const saved: z.output<typeof savedSchema> = { counts: this.#step.counts, scaleFactor: this.#scaleFactor };
    return this.#trained.checkpoint(saved);
  }

  async restore(saved: WeightSource, state: unknown): Promise<void> {
    const { counts, scaleFactor } = await this.#trained.restore(saved, state, savedSchema);
    await this.#step.restore({ counts });
    this.#scaleFactor = scaleFactor;
  }

  /** The whole model; with `scale_by_std` its `scale_factor` too, where the original has it. */
  model(): Omit<TraineeCheckpoint, 'state'> {
    const source = compVisWeights(this.snapshot());
    return { entries: [...source.entries.values()], provide: ({ name }) => source.read(name) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([
      this.#step.dispose(),
      this.#validation?.then(
        (program) => program.dispose(),
        () => {},
      ),
      this.#options.firstStage[Symbol.asyncDispose](),
    ]);
  }
}

/** Compiles the step and puts weights and moments into the engine. Throws `weights-mismatch`, `engine-failed`. */
export async function createLatentDiffusionTraining(
  options: LatentDiffusionTrainingOptions,
): Promise<LatentDiffusionTraining> {
  const { engine, objective, weights, optimiser, clipNorm, average } = options;
  const dropouts: DropoutSite[] = [];
  const step = await createTrainStep({
    engine,
    graph: traceLatentDiffusionLoss(objective, (site) => dropouts.push(site)),
    weights,
    treatment: treatmentOf(objective, options.weightDecay),
    ...(optimiser ? { optimiser } : {}),
    clipNorm,
    ...(average
      ? {
          average: {
            ...average,
            of: (name) => name.startsWith(unetPrefix) || (average.condition === true && name.startsWith(condPrefix)),
          },
        }
      : {}),
    ...(options.checkpointing ? { checkpoint: blockOfModule } : {}),
    ...(options.ranks ? { ranks: options.ranks } : {}),
  });
  return new LatentDiffusionTraining(options, step, dropouts);
}
