/** Training by a configuration, from the files it names to a run's folder: what `sd train` does. */

import { className } from '../config/ldm-network.ts';
import { configError, isMapping, type Mapping } from '../config/validate.ts';
import { stringifyYaml } from '../config/yaml.ts';
import { mustAgree } from '../distributed/agreement.ts';
import { alone, type Communicator } from '../distributed/communicator.ts';
import type { Engine } from '../engine/engine.ts';
import type { ImageCodec } from '../image/codec/codec.ts';
import { type PriorOrderState, withPriorItems } from './adapt/dreambooth.ts';
import { adapterSetUp } from './adapt/set-up-node.ts';
import { autoencoderSetUp } from './autoencoder/set-up-node.ts';
import { cachedLatents } from './cached-latents-node.ts';
import type { TrainingBatch } from './data/batches.ts';
import { dataFacts } from './data/data-facts-node.ts';
import { openSplit, type SplitOptions } from './data/open-split-node.ts';
import { createProblems, type Problem } from './data/problems.ts';
import { mixSeed } from './data/sample-order.ts';
import { latentClassifierSetUp } from './latent/classifier-set-up-node.ts';
import { latentDiffusionSetUp } from './latent/set-up-node.ts';
import { trainingLoop } from './loop-node.ts';
import type { TrainingEvent } from './loop-options.ts';
import { openRun, type Run, runConfig, runIsThere } from './run/run-folder-node.ts';
import { pixelSetUp } from './pixels/set-up-node.ts';
import { pixelTargets } from './pixels/settings.ts';
import type { SetUp, TraineeContext } from './set-up.ts';
import { ranksOfConfig } from './ranks-of-config.ts';
import { openSharedRun } from './run/shared-run.ts';
import { type TrainingConfig, trainingConfig } from './training-config.ts';

export interface TrainOptions {
  /** The configuration, parsed, with its overrides. */
  readonly document: unknown;
  /** Its name in messages and the title of the report. */
  readonly label: string;
  /** The run's folder. */
  readonly folder: string;
  /** Resume the run in the folder, or start one if there is none. Otherwise an existing run is an error. */
  readonly resume: boolean;
  readonly engine: Engine;
  readonly codec: ImageCodec;
  /** Keeps report.html up to date. */
  readonly report?: boolean;
  /** Called for each problem of the data. */
  readonly onProblem?: (problem: Problem) => void;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  /** The processes that train together, each with batches of its own; rank 0 alone writes. Default: this one alone. */
  readonly communicator?: Communicator;
  /** Of this program; it must be the same on all ranks. */
  readonly version?: string;
  /** Fires to save and stop after the step at work. */
  readonly signal?: AbortSignal;
  /** Asked after each step: whether to save a checkpoint now and go on. */
  readonly takeSaveRequest?: () => boolean;
  /** Leaves out the test pass at the end. */
  readonly withoutTest?: boolean;
}

/** Kinds of training by the class that the configuration names. */
const autoencoder = (context: TraineeContext): Promise<SetUp<unknown>> =>
  autoencoderSetUp(context) as Promise<SetUp<unknown>>;
const diffusion = (context: TraineeContext): Promise<SetUp<unknown>> =>
  latentDiffusionSetUp(context) as Promise<SetUp<unknown>>;
const adapter = (context: TraineeContext): Promise<SetUp<unknown>> => adapterSetUp(context) as Promise<SetUp<unknown>>;
const pixels = (context: TraineeContext): Promise<SetUp<unknown>> => pixelSetUp(context) as Promise<SetUp<unknown>>;
const latentClassifier = (context: TraineeContext): Promise<SetUp<unknown>> =>
  latentClassifierSetUp(context) as Promise<SetUp<unknown>>;
const setUps: Readonly<Record<string, (context: TraineeContext) => Promise<SetUp<unknown>>>> = {
  AutoencoderKL: autoencoder,
  VQModel: autoencoder,
  VQModelInterface: autoencoder,
  DDPM: diffusion,
  LatentDiffusion: diffusion,
  LatentInpaintDiffusion: diffusion,
  LatentFinetuneDiffusion: diffusion,
  Lora: adapter,
  DreamBooth: adapter,
  TextualInversion: adapter,
  ...Object.fromEntries(pixelTargets.map((target) => [target, pixels])),
  NoisyLatentImageClassifier: latentClassifier,
  ControlNet: adapter,
  T2IAdapter: adapter,
};

/** The model's section for its users: without paths of this machine, and without averages, because these are in place of the last weights. */
function forInference(section: Mapping): Mapping {
  const bare = (value: unknown): unknown => {
    if (!isMapping(value)) return value;
    return Object.fromEntries(
      Object.entries(value).flatMap(([name, inner]) =>
        name === 'ckpt_path' || name === 'scheduler_config' || name === 'ucg_training' ? [] : [[name, bare(inner)]],
      ),
    );
  };
  const params = isMapping(section['params']) ? section['params'] : {};
  return bare({ ...section, params: { ...params, use_ema: false } }) as Mapping;
}

/** Opens the run's folder. */
function runOf(
  { document, label, folder, resume, clock, codec, communicator = alone }: TrainOptions,
  { model, loop }: TrainingConfig,
  { output, files }: SetUp<unknown>,
): Promise<Run> {
  return openSharedRun(folder, communicator, () =>
    openRun(folder, {
      title: label,
      config: stringifyYaml(document),
      resume,
      clock,
      codec,
      checkpoints: { keepBest: loop.keepBest, keepEvery: loop.keepEvery },
      model: {
        ...(output ?? { config: stringifyYaml({ model: forInference(model) }) }),
        ...(files ? { files } : {}),
      },
    }),
  );
}

/** The data that are not trained on: validation and test. */
async function openHeldOut(
  { label, withoutTest = false }: TrainOptions,
  config: TrainingConfig,
  splitOptions: Omit<SplitOptions, 'what'>,
  closing: (() => Promise<void>)[],
): Promise<Partial<Record<'validation' | 'test', () => AsyncIterable<TrainingBatch>>>> {
  const heldOut: Partial<Record<'validation' | 'test', () => AsyncIterable<TrainingBatch>>> = {};
  for (const name of ['validation', 'test'] as const) {
    const part = name === 'test' && withoutTest ? undefined : config[name];
    if (!part) continue;
    const opened = await openSplit(part, { ...splitOptions, what: `data.params.${name} of ${label}` });
    closing.push(opened.close);
    heldOut[name] = () => opened.first(config.training.validation_batches);
  }
  return heldOut;
}

/**
 * Trains, yielding events for steps, sample grids and checkpoints. Ending the iteration early ends the run without saving; the signal saves.
 * Throws `config-invalid`, `invalid-argument` for a folder with a run and for unusable data, `file-not-found`, or what
 * `trainingLoop` throws.
 */
export async function* train(options: TrainOptions): AsyncGenerator<TrainingEvent, void, void> {
  const { document, label, folder, engine, codec, clock, communicator = alone } = options;
  await mustAgree(communicator, {
    'the version of this program': options.version ?? '',
    'the configuration': JSON.stringify(document),
  });
  const config = trainingConfig(document, label, communicator.size);
  const { training, loop } = config;
  const name = className(config.model['target'], `model of ${label}`);
  const setUpOf = setUps[name];
  if (!setUpOf)
    throw configError(`${label}: ${name} is not one that can be trained. Known are ${Object.keys(setUps).join(', ')}.`);
  if (communicator.rank === 0 && !options.resume && (await runConfig(folder)) !== undefined) throw runIsThere(folder);

  const ranks = ranksOfConfig(config, communicator, label);
  const problems = createProblems(options.onProblem);
  const closing: (() => Promise<void>)[] = [];
  try {
    const setUp = await setUpOf({
      document,
      label,
      config,
      engine,
      codec,
      ranks,
    });
    closing.push(setUp.close);
    const splitOptions = {
      problems,
      size: setUp.size,
      codec,
      batchSize: loop.batchSize,
      seed: training.seed,
      missingCaption: setUp.missingCaption,
      labels: setUp.labels,
      maps: setUp.maps,
      communicator,
    };
    const trainOptions = { ...splitOptions, what: `data.params.train of ${label}` };
    const pictures = await openSplit(config.train, trainOptions);
    if (communicator.size > 1) await mustAgree(communicator, { 'the training data': await dataFacts(pictures.source) });
    const data =
      training.latent_cache === undefined
        ? pictures
        : yield* cachedLatents(training.latent_cache, pictures, config, trainOptions, setUp);
    closing.push(data.close);
    if (setUp.prior && communicator.rank === 0) yield* setUp.prior.make();
    await communicator.barrier();
    const classes =
      setUp.prior &&
      (await openSplit(
        { ...config.train, data_root: setUp.prior.data_root, filter: undefined },
        { ...trainOptions, what: `the class pictures of ${label}`, seed: mixSeed(training.seed, 11) },
      ));
    if (classes) closing.push(classes.close);
    const heldOut = await openHeldOut(options, config, splitOptions, closing);
    const run = await runOf(options, config, setUp);
    yield* trainingLoop({
      trainee: setUp.trainee,
      run,
      settings: setUp.schedule ? { ...loop, schedule: setUp.schedule } : loop,
      seed: training.seed,
      batches: (state) =>
        classes
          ? withPriorItems(data.batches(state), classes.batches((state as PriorOrderState | undefined)?.prior))
          : data.batches(state),
      ...heldOut,
      ...(options.takeSaveRequest ? { takeSaveRequest: options.takeSaveRequest } : {}),
      problems,
      now: clock,
      report: (options.report ?? false) && communicator.rank === 0,
      communicator,
      ...(options.signal ? { signal: options.signal } : {}),
    });
  } finally {
    for (const close of closing.reverse()) await close();
  }
}
