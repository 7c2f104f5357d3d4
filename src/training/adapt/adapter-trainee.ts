/**
 * Shared parts of training LoRAs, DreamBooth and textual inversion: a Stable Diffusion checkpoint on an engine, its data, its loss,
 * and a step that trains some parameters of the graph and keeps the others fixed.
 */

import { ldmUNet } from '../../config/network-config.ts';
import { betasOf } from '../../diffusion/model-schedule.ts';
import { ddpmBuffers } from '../../diffusion/noise-schedule.ts';
import type { Engine, Tensors } from '../../engine/engine.ts';
import { StableDiffusionError } from '../../errors.ts';
import type { Graph } from '../../graph/graph.ts';
import { float32 } from '../../tensor/tensor.ts';
import type { ClipTokenizer } from '../../tokenizer/clip-tokenizer.ts';
import type { Checkpoint } from '../../checkpoints/checkpoint.ts';
import { joined, withPrefix } from '../../weights/view.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { blockOfModule } from '../step/checkpoint-blocks.ts';
import { mixSeed } from '../data/sample-order.ts';
import type { TrainingItem } from '../data/sample.ts';
import type { DiffusionLossConfig } from '../objective/diffusion.ts';
import { openAutoencoder } from '../../model/autoencoder.ts';
import type { OptimiserConfig } from '../step/optimiser.ts';
import type { StepRanks } from '../step/gradient-exchange.ts';
import { createTrainStep } from '../step/create-train-step.ts';
import type { Treatment } from '../step/step-options.ts';
import type { TrainStep } from '../step/train-step.ts';
import { countsSchema, TrainedState } from '../step/trained-state.ts';
import type { Trainee, TraineeCheckpoint } from '../trainee.ts';
import { adapterSamples, type AdapterSampleOptions, type SampleControls } from './adapter-samples.ts';
import { adapterBatch, type AdapterBatchOptions } from './adapter-batch.ts';
import { type AdapterLossConfig, type LossDenoiser, traceAdapterLoss, unetPrefix } from './adapter-loss.ts';
import { dropoutSeedInput } from './lora-graph.ts';
import { partPrefixes } from '../../weights/part-prefixes.ts';
import { frozenTexts, type TextCondition, textConditionOf } from './text-condition.ts';

export interface AdapterModelOptions {
  readonly engine: Engine;
  /** A text-to-image model with CLIP's text encoder. It is only read. */
  readonly checkpoint: Checkpoint;
  readonly tokenizer: ClipTokenizer;
  /** Of a second text encoder (SDXL). */
  readonly secondTokenizer?: ClipTokenizer | undefined;
  /** Options of the loss. Default: the plain loss. */
  readonly diffusion?: Omit<DiffusionLossConfig, 'schedule' | 'parameterization'>;
  /** Default AdamW. */
  readonly optimiser?: OptimiserConfig;
  /** Weight decay of the trained parameters. Default 0.01. */
  readonly weightDecay?: number;
  /** Largest norm of all gradients together. Default 1. */
  readonly clipNorm?: number;
  /** Calculates activations of each block again in the backward pass: less memory, a third more time. Default false. */
  readonly checkpointing?: boolean;
  /** The processes that train together. Default: this one alone. */
  readonly ranks?: StepRanks;
  /** 2 uses the text encoder's second-to-last layer, as some models need. Default 1. */
  readonly clipSkip?: number;
  /** Share of prompts that become empty. Default 0. */
  readonly conditionDropout?: number;
  /** The prompt of an item. Default: its caption. */
  readonly prompt?: AdapterBatchOptions['prompt'];
  /** Pictures for sample grids. */
  readonly samples?: AdapterSampleOptions;
  /** Prior preservation (DreamBooth): weight of the class pictures' loss, and which items are such; by default those with metadata `prior: true`. */
  readonly prior?: { readonly weight: number; readonly isPrior?: (item: TrainingItem) => boolean };
}

/** The parts specific to an adapter. */
export interface AdapterParts {
  /** The text encoder is in the graph; otherwise it is run before, and its gradients are none. */
  readonly traceText: boolean;
  /** Puts the adapter into the loss's graph. */
  readonly adapt?: (graph: Graph) => Graph;
  /** In place of the options'. */
  readonly tokenizers?: readonly ClipTokenizer[];
  /** Parameters that the checkpoint does not have, with their first values. */
  readonly added?: WeightSource;
  /** The network of the loss. Default: the UNet. */
  readonly denoiser?: LossDenoiser;
  readonly batch?: Pick<AdapterBatchOptions, 'further' | 'timestepSampling'>;
  /** Controls of the pictures for sample grids. */
  readonly sampleControls?: (step: TrainStep, batch: Tensors) => SampleControls;
  readonly treatment: (name: string) => Treatment;
  readonly seed?: number;
  /** The model with what has been trained, for samples. */
  readonly adapted: (
    step: TrainStep,
  ) => Promise<{ readonly checkpoint: Checkpoint; readonly tokenizers?: readonly ClipTokenizer[] }>;
}

/** A trainee whose parameters can be read by name. */
export interface AdapterStep {
  readonly step: TrainStep;
  readonly prepare: Trainee<Tensors>['prepare'];
  readonly update: Trainee<Tensors>['update'];
  readonly settle: () => Promise<void>;
  readonly checkpoint: () => TraineeCheckpoint;
  readonly restore: Trainee<Tensors>['restore'];
  /** Made where the options have prompts for it. */
  readonly samples?: NonNullable<Trainee<Tensors>['samples']>;
  dispose(): Promise<void>;
}

/** The tokenizers of the options, one for each text encoder. Throws `invalid-argument` where one is missing. */
export function tokenizersOf(
  { checkpoint, tokenizer, secondTokenizer }: AdapterModelOptions,
  { towers }: TextCondition,
): readonly ClipTokenizer[] {
  if (towers.length === 1) return [tokenizer];
  if (secondTokenizer) return [tokenizer, secondTokenizer];
  throw new StableDiffusionError(
    'invalid-argument',
    `${checkpoint.label} has two text encoders, and no tokenizer was given for the second.`,
  );
}

/** Throws `invalid-argument` for a UNet that takes more than latents and texts, as those of inpainting, depth, upscalers and variations. */
export function assertPlainUNet(checkpoint: Checkpoint): void {
  const { label, config } = checkpoint;
  const { in_channels, out_channels, adm_in_channels, num_classes } = ldmUNet(config.unet_config);
  const { towers, sizes } = textConditionOf(checkpoint);
  const hasVector = sizes !== undefined || towers.some((tower) => tower.config.pooled_output);
  const more =
    in_channels === out_channels
      ? num_classes !== null || (adm_in_channels !== null && !hasVector)
        ? 'a class or a vector besides the prompt'
        : undefined
      : `${in_channels} channels, of which ${in_channels - out_channels} are no latents`;
  if (more === undefined) return;
  throw new StableDiffusionError(
    'invalid-argument',
    `${label} cannot be used: its UNet takes ${more}. Adapters and control networks are trained for text-to-image models; they also work with the inpainting model of the same family.`,
  );
}

function lossConfig(
  { checkpoint, diffusion, prior, clipSkip }: AdapterModelOptions,
  condition: TextCondition,
  isTraced: boolean,
): AdapterLossConfig {
  const { config } = checkpoint;
  assertPlainUNet(checkpoint);
  const { lvlb_weights: _, ...schedule } = ddpmBuffers(betasOf(config));
  return {
    unet: ldmUNet(config.unet_config),
    text: isTraced ? condition : undefined,
    clipSkip,
    diffusion: { ...diffusion, schedule, parameterization: config.parameterization },
    ...(prior ? { priorWeight: prior.weight } : {}),
  };
}

/** The whole model under the names of a CompVis checkpoint. */
function modelWeights({ parts }: Checkpoint, { towers }: TextCondition): WeightSource {
  return joined([
    withPrefix(parts.unet, `${unetPrefix}.`),
    ...towers.map(({ part, prefix }) => withPrefix(parts[part] as WeightSource, `${prefix}.`)),
    withPrefix(parts.first_stage, partPrefixes.first_stage),
  ]);
}

/** Compiles the step. Dispose of it; the checkpoint stays open. */
export async function createAdapterStep(options: AdapterModelOptions, parts: AdapterParts): Promise<AdapterStep> {
  const { engine, checkpoint, clipSkip = 1, prior } = options;
  const text = textConditionOf(checkpoint);
  const tokenizers = parts.tokenizers ?? tokenizersOf(options, text);
  const { denoiser } = parts;
  const config = { ...lossConfig(options, text, parts.traceText), ...(denoiser ? { denoiser } : {}) };
  const plain = traceAdapterLoss(config);
  // The prediction is of use to tests, not to a run.
  const lean: Graph = { ...plain, outputs: plain.outputs.filter(({ value }) => value.shape.length === 0) };
  const graph = parts.adapt?.(lean) ?? lean;
  const weights = modelWeights(checkpoint, text);
  const stage = openAutoencoder(checkpoint.config.first_stage_config, engine, checkpoint.parts.first_stage);
  const encoder = parts.traceText ? undefined : await frozenTexts(engine, checkpoint, text, clipSkip);
  const isPrior = prior && (prior.isPrior ?? (({ metadata }: TrainingItem) => metadata['prior'] === true));
  const batchOptions: AdapterBatchOptions = {
    firstStage: stage,
    scaleFactor: checkpoint.config.scale_factor,
    timesteps: checkpoint.config.timesteps,
    tokenizers,
    tokens: checkpoint.config.cond_stage_max_length,
    condition: text,
    encodeText: encoder?.encode,
    ...(options.prompt ? { prompt: options.prompt } : {}),
    ...(options.conditionDropout ? { conditionDropout: options.conditionDropout } : {}),
    ...(options.diffusion?.noiseOffset ? { offset: true } : {}),
    ...(options.diffusion?.inputPerturbation ? { perturbation: true } : {}),
    ...(isPrior ? { isPrior } : {}),
    ...parts.batch,
  };
  const step = await createTrainStep({
    engine,
    graph,
    weights: parts.added ? joined([weights, parts.added]) : weights,
    treatment: parts.treatment,
    clipNorm: options.clipNorm ?? 1,
    ...(options.optimiser ? { optimiser: options.optimiser } : {}),
    ...(options.checkpointing ? { checkpoint: blockOfModule } : {}),
    ...(options.ranks ? { ranks: options.ranks } : {}),
  });
  const samplesOf = (wanted: AdapterSampleOptions) => async (batch: Tensors) =>
    adapterSamples({ engine, tokenizers, ...(await parts.adapted(step)) }, wanted, parts.sampleControls?.(step, batch));
  const drops = graph.inputs.some(({ name }) => name === dropoutSeedInput);
  const { state, checkpointNames: names, averaged } = step;
  const trained = new TrainedState({
    state,
    names,
    averaged,
    shards: [step.shards],
    kind: 'adapter, model or optimiser',
  });
  return {
    step,
    prepare: (items, seed, _, places) => adapterBatch(items, seed, batchOptions, places),
    async update(batches, { learningRate, step: number }) {
      // A seed below 2^10 with a fraction keeps its digits where it is added to and multiplied in float32.
      const { rank = 0 } = options.ranks?.communicator ?? {};
      const seedOf = (i: number): number => mixSeed(parts.seed ?? 0, number, i, ...(rank === 0 ? [] : [rank]));
      const seeded = batches.map((batch, i) =>
        drops ? { ...batch, [dropoutSeedInput]: float32([], [seedOf(i) / 2 ** 22]) } : batch,
      );
      const { metrics, gradientNorm } = await step.run(seeded, { learningRate });
      return { metrics, gradientNorm };
    },
    settle: () => step.settle(),
    checkpoint: () => trained.checkpoint(step.counts),
    async restore(saved, counts) {
      await step.restore({ counts: await trained.restore(saved, counts, countsSchema) });
    },
    ...(options.samples ? { samples: samplesOf(options.samples) } : {}),
    async dispose() {
      await Promise.all([step.dispose(), encoder?.dispose(), stage[Symbol.asyncDispose]()]);
    },
  };
}
