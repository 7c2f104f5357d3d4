/** The steps that train an autoencoder: one for it and one for its discriminator, over one state, each with an optimiser of its own. */

import {
  discriminatorOf,
  type KlLossConfig,
  type TrainedPart,
  type VqLossConfig,
} from '../../config/autoencoder-training.ts';
import type { Engine, EngineState } from '../../engine/engine.ts';
import type { DropoutSite } from '../../graph/trace.ts';
import { isDiscriminatorBuffer } from '../../models/discriminator.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { blockOfModule } from '../step/checkpoint-blocks.ts';
import type { AverageConfig } from '../step/exponential-average.ts';
import type { OptimiserConfig } from '../step/optimiser.ts';
import type { StepRanks } from '../step/gradient-exchange.ts';
import { createTrainStep } from '../step/create-train-step.ts';
import type { TrainStepOptions, Treatment } from '../step/step-options.ts';
import type { TrainStep } from '../step/train-step.ts';
import {
  type AutoencoderObjective,
  type AutoencoderTraceOptions,
  bufferPrefix,
  traceAutoencoderLoss,
  traceDiscriminatorLoss,
} from './loss.ts';

export interface AutoencoderTrainingOptions {
  readonly engine: Engine;
  readonly objective: AutoencoderObjective;
  /** Under the names of LDM's checkpoints, all that the objective needs: `autoencoderWeights`. */
  readonly weights: WeightSource;
  /** Factor on the autoencoder's learning rate (`lr_g_factor`). Default 1. */
  readonly autoencoderRate?: number;
  /** Optimiser of both networks. Default Adam with betas 0.5 and 0.9. */
  readonly optimiser?: OptimiserConfig;
  /** Weight decay of the autoencoder's parameters; the discriminator has none. Default 0, as Adam's in LDM. */
  readonly weightDecay?: number;
  readonly clipNorm?: number;
  /** Exponential averages of the autoencoder's weights. */
  readonly average?: AverageConfig;
  /** Fixed batch and image size: faster, and required for sides that are not multiples of 16. */
  readonly size?: AutoencoderTraceOptions['size'];
  /** Calculates the activations of each block again in the backward pass: less memory, a third more time. Default false. */
  readonly checkpointing?: boolean;
  /**
   * Before `disc_start` the discriminator counts for nothing, and LDM runs it all the same (its metrics are logged, its running statistics
   * move). `skip` leaves it out till then, which saves a good third of the time. Default `run`.
   */
  readonly earlyDiscriminator?: 'run' | 'skip';
  /**
   * Which part is trained. `decoder` leaves the encoder as it is, so that latents stay what they are and diffusion models of the autoencoder
   * go on working, as with Stability's sd-vae-ft-mse. Default `all`.
   */
  readonly trainedPart?: TrainedPart;
  /** The processes that train together. Default: this one alone. */
  readonly ranks?: StepRanks;
  /** Number of images in samples. Default 8. */
  readonly sampleCount?: number;
}

const discriminatorPrefix = 'loss.discriminator.';

export const isLoss = (name: string): boolean => name.startsWith('loss.');

const isOfDecoder = (name: string): boolean => /^(decoder|post_quant_conv)\./.test(name);

/** How the autoencoder's step treats a parameter. `logvar` belongs to no optimiser in the original, so it stays fixed. */
function autoencoderTreatment({
  autoencoderRate = 1,
  weightDecay = 0,
  trainedPart = 'all',
}: AutoencoderTrainingOptions): (name: string) => Treatment {
  return (name) => {
    if (name.startsWith(discriminatorPrefix)) return 'shared';
    if (isLoss(name)) return 'fixed';
    return trainedPart === 'all' || isOfDecoder(name) ? { learningRateScale: autoencoderRate, weightDecay } : 'shared';
  };
}

/** How the discriminator's step treats a parameter. */
function discriminatorTreatment(name: string): Treatment {
  return name.startsWith(discriminatorPrefix) && !isDiscriminatorBuffer(name) ? { weightDecay: 0 } : 'shared';
}

/** The objective without its adversarial part. */
export function withoutDiscriminator(objective: AutoencoderObjective): AutoencoderObjective {
  const { loss } = objective;
  return loss.kind === 'multiscale' ? objective : { ...objective, loss: { ...loss, disc_factor: 0 } };
}

/** The adversarial settings of a loss, where it has such. */
export function adversarialOf({ loss }: AutoencoderObjective): KlLossConfig | VqLossConfig | undefined {
  return loss.kind !== 'multiscale' && discriminatorOf(loss) ? loss : undefined;
}

export interface AutoencoderSteps {
  /** Places of the autoencoder where elements are left out. Each pass draws masks of its own. */
  readonly dropouts: readonly DropoutSite[];
  /** Parameters of the autoencoder that stay as they are. */
  readonly untrained: readonly string[];
  readonly autoencoder: TrainStep;
  readonly discriminator: TrainStep | undefined;
  /** The autoencoder's without the adversarial part, for steps before `disc_start`. */
  readonly early: TrainStep | undefined;
}

/** Outputs of a graph that replace parameters after each pass. */
function keptBuffers(outputs: readonly { readonly name: string }[]): Record<string, string> {
  return Object.fromEntries(
    outputs.flatMap(({ name }) => (name.startsWith(bufferPrefix) ? [[name, name.slice(bufferPrefix.length)]] : [])),
  );
}

/** The graphs of the steps and how each is trained; undefined for steps that the loss does not need. */
function plans(options: AutoencoderTrainingOptions, state: EngineState) {
  const { engine, objective, weights, size, clipNorm, average, trainedPart } = options;
  const shared = {
    engine,
    weights,
    state,
    optimiser: options.optimiser ?? ({ kind: 'adam', betas: [0.5, 0.9] } as const),
    clipNorm,
    ...(options.checkpointing ? { checkpoint: blockOfModule } : {}),
    ...(options.ranks ? { ranks: options.ranks } : {}),
  };
  // The same places in all graphs: those of the autoencoder.
  const dropouts = new Map<string, DropoutSite>();
  const sizes = {
    ...(size ? { size } : {}),
    onDropout: (site: DropoutSite) => void dropouts.set(site.name, site),
    ranks: options.ranks?.wholeStatistics ? options.ranks.communicator.size : 1,
  };
  const ofAutoencoder = {
    ...shared,
    treatment: autoencoderTreatment(options),
    ...(average ? { average } : {}),
  };
  const adversarial = adversarialOf(objective);
  const graph = traceAutoencoderLoss(objective, sizes);
  const judge = adversarial && traceDiscriminatorLoss(objective, sizes);
  const skipped = adversarial && adversarial.disc_start > 0 && options.earlyDiscriminator === 'skip';
  const names = graph.parameters.map(({ name }) => name);
  return {
    dropouts,
    untrained: trainedPart === 'decoder' ? names.filter((name) => !isLoss(name) && !isOfDecoder(name)) : [],
    autoencoder: { ...ofAutoencoder, graph, keep: keptBuffers(graph.outputs) },
    discriminator: judge && {
      ...shared,
      graph: judge,
      treatment: discriminatorTreatment,
      keep: keptBuffers(judge.outputs),
    },
    early: skipped
      ? { ...ofAutoencoder, graph: traceAutoencoderLoss(withoutDiscriminator(objective), sizes) }
      : undefined,
  };
}

/** Compiles the steps. Those that were compiled are disposed of where a later one fails. */
export async function autoencoderSteps(
  options: AutoencoderTrainingOptions,
  state: EngineState,
): Promise<AutoencoderSteps> {
  const made: TrainStep[] = [];
  const compile = async (plan: TrainStepOptions | undefined): Promise<TrainStep | undefined> => {
    if (!plan) return undefined;
    const step = await createTrainStep(plan);
    made.push(step);
    return step;
  };
  try {
    const { autoencoder, discriminator, early, dropouts, untrained } = plans(options, state);
    return {
      dropouts: [...dropouts.values()],
      untrained,
      autoencoder: (await compile(autoencoder)) as TrainStep,
      discriminator: await compile(discriminator),
      early: await compile(early),
    };
  } catch (error) {
    await Promise.all(made.map((step) => step.dispose()));
    throw error;
  }
}
