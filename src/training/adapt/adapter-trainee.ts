/**
 * Shared parts of training LoRAs, DreamBooth and textual inversion: a Stable Diffusion checkpoint on an engine, its data, its loss,
 * and a step that trains some parameters of the graph and keeps the others fixed.
 */

import { type ClipTextConfig, ldmUNet } from '../../config/network-config.ts';
import { betasOf } from '../../diffusion/model-schedule.ts';
import { ddpmBuffers } from '../../diffusion/noise-schedule.ts';
import type { Engine, Tensors } from '../../engine/engine.ts';
import { StableDiffusionError } from '../../errors.ts';
import type { Graph } from '../../graph/graph.ts';
import { clipText, traceClipText } from '../../models/clip-text.ts';
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
import { adapterBatch, type AdapterBatchOptions, textEncoder } from './adapter-batch.ts';
import {
  type AdapterLossConfig,
  type LossDenoiser,
  textPrefix,
  type TextTrace,
  traceAdapterLoss,
  unetPrefix,
} from './adapter-loss.ts';
import { dropoutSeedInput } from './lora-graph.ts';
import { partPrefixes } from '../../weights/part-prefixes.ts';

export interface AdapterModelOptions {
  readonly engine: Engine;
  /** A text-to-image model with CLIP's text encoder. It is only read. */
  readonly checkpoint: Checkpoint;
  readonly tokenizer: ClipTokenizer;
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
  readonly tokenizer?: ClipTokenizer;
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
  ) => Promise<{ readonly checkpoint: Checkpoint; readonly tokenizer: ClipTokenizer }>;
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

/** CLIP's text encoder of a checkpoint. Throws `invalid-argument` where it has another condition. */
export function textConfigOf({ config: { cond_stage_config: text }, label }: Checkpoint): ClipTextConfig {
  if (typeof text === 'object' && text?.kind === 'clip_text') return text;
  throw new StableDiffusionError(
    'invalid-argument',
    `${label} has no CLIP text encoder; adapters are trained for text-to-image models of Stable Diffusion's kind.`,
  );
}

function lossConfig(
  { checkpoint, diffusion, prior }: AdapterModelOptions,
  text: ClipTextConfig | undefined,
): AdapterLossConfig {
  const { config } = checkpoint;
  const { lvlb_weights: _, ...schedule } = ddpmBuffers(betasOf(config));
  return {
    unet: ldmUNet(config.unet_config),
    ...(text ? { text } : {}),
    diffusion: { ...diffusion, schedule, parameterization: config.parameterization },
    ...(prior ? { priorWeight: prior.weight } : {}),
  };
}

const traceTextOf =
  (clipSkip: number): TextTrace =>
  (p, config, ids) => {
    const state = clipText(p, config, ids).finalNorms.at(-clipSkip);
    if (!state)
      throw new StableDiffusionError(
        'invalid-argument',
        `Clip skip is ${clipSkip}; this text encoder has ${config.num_hidden_layers} layers.`,
      );
    return state;
  };

/** The whole model under the names of a CompVis checkpoint. */
function modelWeights({ parts }: Checkpoint): WeightSource {
  return joined([
    withPrefix(parts.unet, `${unetPrefix}.`),
    withPrefix(parts.cond_stage, `${textPrefix}.`),
    withPrefix(parts.first_stage, partPrefixes.first_stage),
  ]);
}

/** Compiles the step. Dispose of it; the checkpoint stays open. */
export async function createAdapterStep(options: AdapterModelOptions, parts: AdapterParts): Promise<AdapterStep> {
  const { engine, checkpoint, clipSkip = 1, prior } = options;
  const text = textConfigOf(checkpoint);
  const { denoiser } = parts;
  const config = { ...lossConfig(options, parts.traceText ? text : undefined), ...(denoiser ? { denoiser } : {}) };
  const plain = traceAdapterLoss(config, traceTextOf(clipSkip));
  // The prediction is of use to tests, not to a run.
  const lean: Graph = { ...plain, outputs: plain.outputs.filter(({ value }) => value.shape.length === 0) };
  const graph = parts.adapt?.(lean) ?? lean;
  const weights = modelWeights(checkpoint);
  const stage = openAutoencoder(checkpoint.config.first_stage_config, engine, checkpoint.parts.first_stage);
  const output = `final_norm.${text.num_hidden_layers + 1 - clipSkip}`;
  const encoder = parts.traceText
    ? undefined
    : await engine.compile(traceClipText(text, { outputs: [output] }), checkpoint.parts.cond_stage);
  const isPrior = prior && (prior.isPrior ?? (({ metadata }: TrainingItem) => metadata['prior'] === true));
  const batchOptions: AdapterBatchOptions = {
    firstStage: stage,
    scaleFactor: checkpoint.config.scale_factor,
    timesteps: checkpoint.config.timesteps,
    tokenizer: parts.tokenizer ?? options.tokenizer,
    tokens: checkpoint.config.cond_stage_max_length,
    ...(encoder ? { encodeText: textEncoder(encoder, output) } : {}),
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
    adapterSamples({ engine, ...(await parts.adapted(step)) }, wanted, parts.sampleControls?.(step, batch));
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
