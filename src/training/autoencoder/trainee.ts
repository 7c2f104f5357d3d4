/**
 * Training of AutoencoderKL and VQModel (`ldm/models/autoencoder.py`; Esser et al. 2021, Rombach et al. 2022): for each batch an update of the
 * autoencoder, then, with a draw of its own from the posterior, one of the patch discriminator, each with an Adam of its own.
 *
 * Gradients of several batches are averaged for each of the two in turn, where Lightning takes turns within each batch.
 */

import * as z from 'zod';
import type { BoundRun, EngineState, Program } from '../../engine/engine.ts';
import { StableDiffusionError } from '../../errors.ts';
import { toRgb } from '../../image/image.ts';
import { imagesToTensor, tensorToImages } from '../../image/image-tensor.ts';
import { isDiscriminatorBuffer } from '../../models/discriminator.ts';
import { float32, type Tensor } from '../../tensor/tensor.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { adoptWeight } from '../objective/adversarial.ts';
import { traceAutoencoderLoss } from './loss.ts';
import {
  adversarialOf,
  type AutoencoderSteps,
  autoencoderSteps,
  type AutoencoderTrainingOptions,
  isLoss,
  withoutDiscriminator,
} from './steps.ts';
import { dropoutMasks } from '../objective/dropout-masks.ts';
import { BatchGenerator } from '../data/batch-generator.ts';
import type { ItemPlaces, TrainingItem } from '../data/sample.ts';
import { countsSchema, TrainedState } from '../step/trained-state.ts';
import type { ImageLogSettings, LoggedImages } from '../image-log.ts';
import type { BatchPurpose, Trainee, TraineeCheckpoint, TraineeSamples, TraineeUpdate } from '../trainee.ts';

type Masks = Readonly<Record<string, Tensor<'float32'>>>;

export interface AutoencoderBatch {
  /** [batch, channels, height, width] in [-1, 1]. */
  readonly image: Tensor<'float32'>;
  /** Standard normal [batch, embed_dim, h, w] for the posterior's draws, for the autoencoder's pass and the discriminator's; KL only. */
  readonly noise?: readonly [autoencoder: Tensor<'float32'>, discriminator: Tensor<'float32'>];
  /** Masks of dropout, for the same two. */
  readonly masks?: readonly [autoencoder: Masks, discriminator: Masks];
}

const savedSchema = z.object({
  steps: z.int().nonnegative(),
  autoencoder: countsSchema,
  discriminator: countsSchema.nullable(),
});

export class AutoencoderTraining implements Trainee<AutoencoderBatch> {
  readonly #options: AutoencoderTrainingOptions;
  readonly #state: EngineState;
  readonly #steps: AutoencoderSteps;
  readonly #trained: TrainedState;
  /** Tensors that a checkpoint needs. */
  readonly #names: readonly string[];
  #forward: Promise<Program> | undefined;
  #step = 0;

  /** Use `createAutoencoderTraining`. */
  constructor(options: AutoencoderTrainingOptions, state: EngineState, steps: AutoencoderSteps) {
    this.#options = options;
    this.#state = state;
    this.#steps = steps;
    const { autoencoder, discriminator, untrained } = steps;
    const names = [
      ...new Set([...untrained, ...autoencoder.checkpointNames, ...(discriminator?.checkpointNames ?? [])]),
    ];
    this.#names = names;
    this.#trained = new TrainedState({
      state,
      names,
      averaged: autoencoder.averaged,
      shards: [autoencoder.shards, discriminator?.shards],
      kind: 'autoencoder, loss or optimiser',
    });
  }

  /** Updates made. */
  get step(): number {
    return this.#step;
  }

  /** Current tensors: weights, moments, averages, running statistics. */
  get state(): EngineState {
    return this.#state;
  }

  async prepare(
    items: readonly TrainingItem[],
    seed: number,
    purpose: BatchPurpose = 'training',
    places?: ItemPlaces,
  ): Promise<AutoencoderBatch> {
    const images = items.flatMap((item) => ('image' in item ? [item.image] : []));
    if (images.length < items.length)
      throw new StableDiffusionError(
        'invalid-argument',
        'An autoencoder is trained on pictures, and the data are latents.',
      );
    const image = imagesToTensor(images, 'compvis-inpaint-st');
    const { autoencoder } = this.#options.objective;
    const generator = new BatchGenerator(seed, places);
    const { dropouts } = this.#steps;
    const masks = (): Pick<AutoencoderBatch, 'masks'> =>
      purpose === 'training' && dropouts.length > 0
        ? { masks: [dropoutMasks(dropouts, generator), dropoutMasks(dropouts, generator)] }
        : {};
    if (autoencoder.kind === 'vq') return { image, ...masks() };
    const factor = 2 ** (autoencoder.ddconfig.ch_mult.length - 1);
    const [batch = 0, , height = 0, width = 0] = image.shape;
    const shape = [batch, autoencoder.embed_dim, Math.floor(height / factor), Math.floor(width / factor)];
    return { image, noise: [generator.randn(shape), generator.randn(shape)], ...masks() };
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
      batches.map(({ image, noise, masks }) => ({
        image,
        ...masks?.[pass],
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

  /** The reconstruction and its metrics, with averaged weights if available. */
  async #reconstruct({ image, noise }: AutoencoderBatch): Promise<Record<string, Tensor>> {
    const { engine, objective, weights, size } = this.#options;
    const graph = traceAutoencoderLoss(withoutDiscriminator(objective), {
      reconstruction: true,
      ...(size ? { size } : {}),
    });
    const names = graph.parameters.map(({ name }) => name).filter((name) => !isLoss(name));
    this.#forward ??= engine.compile(graph, weights, { parameters: { inputs: new Set(names) } });
    const run: BoundRun = {
      tensors: { image, ...(noise ? { noise: noise[0] } : {}) },
      inputs: this.#trained.averagedInputs(names),
    };
    const [made] = await (await this.#forward).runBound(this.#state, [run]);
    return made ?? {};
  }

  /** `loss` (reconstruction and bottleneck) and its metrics, without the discriminator. */
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

  /** `log_images` of LDM's autoencoders, without the decoded noise of a KL one. */
  async *imageLog(batch: AutoencoderBatch, { most }: ImageLogSettings): AsyncGenerator<LoggedImages, void, void> {
    const { reconstruction } = await this.#reconstruct(batch);
    for (const [name, tensor] of Object.entries({ inputs: batch.image, reconstructions: reconstruction }))
      if (tensor) yield { name, images: tensorToImages(tensor).slice(0, most).map(toRgb) };
  }

  async settle(): Promise<void> {
    const { autoencoder, discriminator, early } = this.#steps;
    await (early && early.steps > autoencoder.steps ? early : autoencoder).settle();
    await discriminator?.settle();
  }

  withAverages<T>(work: () => Promise<T>): Promise<T> {
    return this.#trained.withAverages(work);
  }

  checkpoint(): TraineeCheckpoint {
    const { autoencoder, discriminator, early } = this.#steps;
    const latest = early && early.steps > autoencoder.steps ? early : autoencoder;
    const state: z.output<typeof savedSchema> = {
      steps: this.#step,
      autoencoder: latest.counts,
      discriminator: discriminator?.counts ?? null,
    };
    return this.#trained.checkpoint(state);
  }

  async restore(saved: WeightSource, state: unknown): Promise<void> {
    const counts = await this.#trained.restore(saved, state, savedSchema);
    const { autoencoder, discriminator, early } = this.#steps;
    await autoencoder.restore({ counts: counts.autoencoder });
    await early?.restore({ counts: counts.autoencoder });
    if (discriminator && counts.discriminator) await discriminator.restore({ counts: counts.discriminator });
    this.#step = counts.steps;
  }

  /** The autoencoder (averaged, if there are averages) and its discriminator, with the names of LDM's checkpoints. */
  model(): Omit<TraineeCheckpoint, 'state'> {
    const { autoencoder, discriminator, untrained } = this.#steps;
    return this.#trained.model([
      ...new Set([
        ...untrained,
        ...autoencoder.trained,
        ...(discriminator?.trained ?? []),
        ...this.#names.filter(isDiscriminatorBuffer),
      ]),
    ]);
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

/**
 * Compiles the steps and puts weights and moments into the engine.
 * @throws `invalid-argument` for image sizes that the autoencoder cannot divide, `weights-mismatch`, `engine-failed`
 */
export async function createAutoencoderTraining(options: AutoencoderTrainingOptions): Promise<AutoencoderTraining> {
  const state = options.engine.createState();
  try {
    return new AutoencoderTraining(options, state, await autoencoderSteps(options, state));
  } catch (error) {
    await state.dispose();
    throw error;
  }
}
