/**
 * Training of AutoencoderKL and VQModel (`ldm/models/autoencoder.py`; Esser et al. 2021, Rombach et al. 2022): for each batch an update of the
 * autoencoder, then, with a draw of its own from the posterior, one of the patch discriminator, each with an Adam of its own.
 *
 * Gradients of several batches are averaged for each of the two in turn, where Lightning takes turns within each batch.
 */

import { discriminatorOf, type KlLossConfig, type VqLossConfig } from '../../config/autoencoder-training.ts';
import type { BoundRun, Engine, EngineState, Program } from '../../engine/engine.ts';
import { StableDiffusionError } from '../../errors.ts';
import { imagesToTensor, tensorToImages } from '../../image/image-tensor.ts';
import { isDiscriminatorBuffer } from '../../models/discriminator.ts';
import { TorchGenerator } from '../../random/torch-generator.ts';
import { float32, type Tensor } from '../../tensor/tensor.ts';
import type { WeightEntry, WeightSource } from '../../weights/weight-source.ts';
import { adoptWeight } from '../objective/adversarial.ts';
import {
  type AutoencoderObjective,
  type AutoencoderTraceOptions,
  bufferPrefix,
  traceAutoencoderLoss,
  traceDiscriminatorLoss,
} from './loss.ts';
import { blockOfModule } from '../step/checkpoint-blocks.ts';
import type { TrainingItem } from '../data/sample.ts';
import type { AverageConfig } from '../step/exponential-average.ts';
import { type OptimiserConfig, stateNames } from '../step/optimiser.ts';
import { createTrainStep, type TrainingCounts, type TrainStep, type Treatment } from '../step/train-step.ts';
import type { Trainee, TraineeCheckpoint, TraineeSamples, TraineeUpdate } from '../trainee.ts';

export interface AutoencoderBatch {
  /** [batch, channels, height, width] in [-1, 1]. */
  readonly image: Tensor<'float32'>;
  /** Standard normal [batch, embed_dim, h, w] for the posterior's draws, for the autoencoder's pass and the discriminator's; KL only. */
  readonly noise?: readonly [autoencoder: Tensor<'float32'>, discriminator: Tensor<'float32'>];
}

export interface AutoencoderTrainingOptions {
  readonly engine: Engine;
  readonly objective: AutoencoderObjective;
  /** Under the names of LDM's checkpoints, all that the objective needs: `autoencoderWeights`. */
  readonly weights: WeightSource;
  /** Factor on the autoencoder's learning rate (`lr_g_factor`). Default 1. */
  readonly autoencoderRate?: number;
  /** Of both. Default Adam with betas 0.5 and 0.9. */
  readonly optimiser?: OptimiserConfig;
  /** Of the autoencoder's parameters; the discriminator has none. Default 0, as Adam's in LDM. */
  readonly weightDecay?: number;
  readonly clipNorm?: number;
  /** Exponential averages of the autoencoder's weights. */
  readonly average?: AverageConfig;
  /** Batch and image size where they are fixed: faster, and for sides that are no multiples of 16. */
  readonly size?: AutoencoderTraceOptions['size'];
  /** Calculates the activations of each block again in the backward pass: less memory, a third more time. Default false. */
  readonly checkpointing?: boolean;
  /**
   * Before `disc_start` the discriminator counts for nothing, and LDM runs it all the same (its metrics are logged, its running statistics
   * move). `skip` leaves it out till then, which saves a good third of the time. Default `run`.
   */
  readonly earlyDiscriminator?: 'run' | 'skip';
  /** Number of images in samples. Default 8. */
  readonly sampleCount?: number;
}

interface SavedCounts {
  readonly steps: number;
  readonly autoencoder: TrainingCounts;
  readonly discriminator: TrainingCounts | null;
}

const discriminatorPrefix = 'loss.discriminator.';

const isLoss = (name: string): boolean => name.startsWith('loss.');

/** What the autoencoder's step does with a parameter. `logvar` is in no optimiser of the original's, so it stays as it is. */
function autoencoderTreatment(rate: number, weightDecay: number): (name: string) => Treatment {
  return (name) =>
    name.startsWith(discriminatorPrefix) ? 'shared' : isLoss(name) ? 'fixed' : { learningRateScale: rate, weightDecay };
}

/** What the discriminator's step does with a parameter. */
function discriminatorTreatment(name: string): Treatment {
  return name.startsWith(discriminatorPrefix) && !isDiscriminatorBuffer(name) ? { weightDecay: 0 } : 'shared';
}

/** The objective without its adversarial part. */
function withoutDiscriminator(objective: AutoencoderObjective): AutoencoderObjective {
  const { loss } = objective;
  return loss.kind === 'multiscale' ? objective : { ...objective, loss: { ...loss, disc_factor: 0 } };
}

/** The adversarial settings of a loss, where it has such. */
function adversarialOf({ loss }: AutoencoderObjective): KlLossConfig | VqLossConfig | undefined {
  return loss.kind !== 'multiscale' && discriminatorOf(loss) ? loss : undefined;
}

interface Steps {
  readonly autoencoder: TrainStep;
  readonly discriminator: TrainStep | undefined;
  /** The autoencoder's without the adversarial part, for steps before `disc_start`. */
  readonly early: TrainStep | undefined;
}

export class AutoencoderTraining implements Trainee<AutoencoderBatch> {
  readonly #options: AutoencoderTrainingOptions;
  readonly #state: EngineState;
  readonly #steps: Steps;
  #forward: Promise<Program> | undefined;
  #step = 0;

  /** Use `createAutoencoderTraining`. */
  constructor(options: AutoencoderTrainingOptions, state: EngineState, steps: Steps) {
    this.#options = options;
    this.#state = state;
    this.#steps = steps;
  }

  /** Updates made. */
  get step(): number {
    return this.#step;
  }

  /** Tensors as they are: weights, moments, averages, running statistics. */
  get state(): EngineState {
    return this.#state;
  }

  async prepare(items: readonly TrainingItem[], seed: number): Promise<AutoencoderBatch> {
    const images = items.flatMap((item) => ('image' in item ? [item.image] : []));
    if (images.length < items.length)
      throw new StableDiffusionError(
        'invalid-argument',
        'An autoencoder is trained on pictures, and the data are latents.',
      );
    const image = imagesToTensor(images, 'compvis-inpaint-st');
    const { autoencoder } = this.#options.objective;
    if (autoencoder.kind === 'vq') return { image };
    const factor = 2 ** (autoencoder.ddconfig.ch_mult.length - 1);
    const [batch = 0, , height = 0, width = 0] = image.shape;
    const shape = [batch, autoencoder.embed_dim, Math.floor(height / factor), Math.floor(width / factor)];
    const generator = new TorchGenerator(seed);
    return { image, noise: [generator.randn(shape), generator.randn(shape)] };
  }

  /**
   * One update of the autoencoder and one of the discriminator.
   * @throws `not-finite` before the weights that it concerns are changed
   */
  async update(
    batches: readonly AutoencoderBatch[],
    { learningRate }: { readonly learningRate: number },
  ): Promise<TraineeUpdate> {
    const adversarial = adversarialOf(this.#options.objective);
    const { autoencoder, discriminator, early } = this.#steps;
    const counts = adversarial !== undefined && this.#step >= adversarial.disc_start;
    const factor = adversarial ? adoptWeight(adversarial.disc_factor, this.#step, adversarial.disc_start) : 0;
    const inputs = (pass: 0 | 1, judged: boolean): Record<string, Tensor>[] =>
      batches.map(({ image, noise }) => ({
        image,
        ...(noise ? { noise: noise[pass] } : {}),
        ...(judged ? { disc_factor: float32([], [factor]) } : {}),
      }));
    const isEarly = early !== undefined && !counts;
    if (early && counts && early.steps > autoencoder.steps) await autoencoder.restore({ counts: early.counts });
    const made = await (isEarly ? early : autoencoder).run(inputs(0, discriminator !== undefined && !isEarly), {
      learningRate,
    });
    const metrics: Record<string, number> = { ...made.metrics };
    if (discriminator && !isEarly) {
      const { metrics: judged } = await discriminator.run(inputs(1, true), { learningRate });
      const { loss, ...logits } = judged;
      Object.assign(metrics, { disc_factor: factor, disc_loss: loss }, logits);
    }
    this.#step++;
    return { metrics, gradientNorm: made.gradientNorm };
  }

  /** The reconstruction and its metrics, with averaged weights where there are any. */
  async #reconstruct({ image, noise }: AutoencoderBatch): Promise<Record<string, Tensor>> {
    const { engine, objective, weights, size } = this.#options;
    const graph = traceAutoencoderLoss(withoutDiscriminator(objective), {
      reconstruction: true,
      ...(size ? { size } : {}),
    });
    const names = graph.parameters.map(({ name }) => name).filter((name) => !isLoss(name));
    this.#forward ??= engine.compile(graph, weights, { parameters: { inputs: new Set(names) } });
    const averaged = new Set(this.#steps.autoencoder.averaged);
    const run: BoundRun = {
      tensors: { image, ...(noise ? { noise: noise[0] } : {}) },
      inputs: Object.fromEntries(names.map((name) => [name, averaged.has(name) ? stateNames.average(name) : name])),
    };
    const [made] = await (await this.#forward).runBound(this.#state, [run]);
    return made ?? {};
  }

  /** `loss` (reconstruction and bottleneck) and the metrics of it. The discriminator has no say. */
  async validate(batch: AutoencoderBatch): Promise<Readonly<Record<string, number>>> {
    const made = await this.#reconstruct(batch);
    return Object.fromEntries(
      Object.entries(made).flatMap(([name, { shape, data }]) => (shape.length === 0 ? [[name, Number(data[0])]] : [])),
    );
  }

  /** Images of the batch above their reconstructions. */
  async samples(batch: AutoencoderBatch): Promise<TraineeSamples> {
    const { reconstruction } = await this.#reconstruct(batch);
    if (!reconstruction) throw new StableDiffusionError('engine-failed', 'The autoencoder returned no reconstruction.');
    const count = Math.min(batch.image.shape[0] ?? 0, this.#options.sampleCount ?? 8);
    const images = [batch.image, reconstruction].flatMap((tensor) => tensorToImages(tensor).slice(0, count));
    return { images, captions: images.map((_, i) => (i < count ? 'image' : 'reconstruction')), columns: count };
  }

  #names(): string[] {
    return [
      ...new Set([...this.#steps.autoencoder.checkpointNames, ...(this.#steps.discriminator?.checkpointNames ?? [])]),
    ];
  }

  checkpoint(): TraineeCheckpoint {
    const { autoencoder, discriminator, early } = this.#steps;
    const latest = early && early.steps > autoencoder.steps ? early : autoencoder;
    const state: SavedCounts = {
      steps: this.#step,
      autoencoder: latest.counts,
      discriminator: discriminator?.counts ?? null,
    };
    return {
      entries: this.#names().map(
        (name): WeightEntry => ({ name, dtype: 'float32', shape: this.#state.entries.get(name)?.shape ?? [] }),
      ),
      provide: async ({ name }) => (await this.#state.read([name]))[name] as Tensor,
      state,
    };
  }

  async restore(saved: WeightSource, state: unknown): Promise<void> {
    const counts = state as SavedCounts;
    const missing = this.#names().filter((name) => !saved.entries.has(name));
    if (missing.length > 0)
      throw new StableDiffusionError(
        'weights-mismatch',
        `${saved.label} lacks ${missing.slice(0, 5).join(', ')}: it is of another autoencoder, loss or optimiser.`,
      );
    for (const name of this.#names()) await this.#state.write({ [name]: await saved.read(name) });
    const { autoencoder, discriminator, early } = this.#steps;
    await autoencoder.restore({ counts: counts.autoencoder });
    await early?.restore({ counts: counts.autoencoder });
    if (discriminator && counts.discriminator) await discriminator.restore({ counts: counts.discriminator });
    this.#step = counts.steps;
  }

  /** The autoencoder, averaged where there are averages, and its discriminator, under the names of LDM's checkpoints. */
  model(): Omit<TraineeCheckpoint, 'state'> {
    const { autoencoder, discriminator } = this.#steps;
    const averaged = new Set(autoencoder.averaged);
    const names = [
      ...new Set([
        ...autoencoder.trained,
        ...(discriminator?.trained ?? []),
        ...this.#names().filter(isDiscriminatorBuffer),
      ]),
    ];
    return {
      entries: names.map(
        (name): WeightEntry => ({ name, dtype: 'float32', shape: this.#state.entries.get(name)?.shape ?? [] }),
      ),
      provide: async ({ name }) => {
        const from = averaged.has(name) ? stateNames.average(name) : name;
        return (await this.#state.read([from]))[from] as Tensor;
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { autoencoder, discriminator, early } = this.#steps;
    await Promise.all([
      autoencoder.dispose(),
      discriminator?.dispose(),
      early?.dispose(),
      this.#forward?.then(
        (program) => program.dispose(),
        () => {},
      ),
    ]);
    await this.#state.dispose();
  }
}

/** Outputs of a graph that replace parameters after each pass. */
function keptBuffers(outputs: readonly { readonly name: string }[]): Record<string, string> {
  return Object.fromEntries(
    outputs.flatMap(({ name }) => (name.startsWith(bufferPrefix) ? [[name, name.slice(bufferPrefix.length)]] : [])),
  );
}

/**
 * Compiles the steps and puts weights and moments into the engine.
 * @throws `invalid-argument` for dropout and for image sizes that the autoencoder cannot divide, `weights-mismatch`, `engine-failed`
 */
export async function createAutoencoderTraining(options: AutoencoderTrainingOptions): Promise<AutoencoderTraining> {
  const { engine, objective, weights, size, clipNorm, average, autoencoderRate = 1 } = options;
  if (objective.autoencoder.ddconfig.dropout > 0)
    throw new StableDiffusionError(
      'invalid-argument',
      "Autoencoders are trained without dropout (as all of LDM's are); set dropout to 0.",
    );
  const state = engine.createState();
  const shared = {
    engine,
    weights,
    state,
    optimiser: options.optimiser ?? ({ kind: 'adam', betas: [0.5, 0.9] } as const),
    clipNorm,
    ...(options.checkpointing ? { checkpoint: blockOfModule } : {}),
  };
  const sizes = size ? { size } : {};
  const ofAutoencoder = {
    ...shared,
    treatment: autoencoderTreatment(autoencoderRate, options.weightDecay ?? 0),
    ...(average ? { average } : {}),
  };
  const adversarial = adversarialOf(objective);
  const graph = traceAutoencoderLoss(objective, sizes);
  const judge = adversarial && traceDiscriminatorLoss(objective, sizes);
  const skipped = adversarial && adversarial.disc_start > 0 && options.earlyDiscriminator === 'skip';
  const steps: TrainStep[] = [];
  try {
    const add = async (step: Promise<TrainStep>): Promise<TrainStep> => {
      steps.push(await step);
      return step;
    };
    const autoencoder = await add(createTrainStep({ ...ofAutoencoder, graph, keep: keptBuffers(graph.outputs) }));
    const discriminator =
      judge &&
      (await add(
        createTrainStep({
          ...shared,
          graph: judge,
          treatment: discriminatorTreatment,
          keep: keptBuffers(judge.outputs),
        }),
      ));
    const early = skipped
      ? await add(
          createTrainStep({ ...ofAutoencoder, graph: traceAutoencoderLoss(withoutDiscriminator(objective), sizes) }),
        )
      : undefined;
    return new AutoencoderTraining(options, state, { autoencoder, discriminator, early });
  } catch (error) {
    await Promise.all(steps.map((step) => step.dispose()));
    await state.dispose();
    throw error;
  }
}
