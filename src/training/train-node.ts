/** Training by a configuration, from the files it names to a run's folder: what `sd train` does. */

import { className } from '../config/ldm-network.ts';
import { configError, isMapping, type Mapping } from '../config/validate.ts';
import { stringifyYaml } from '../config/yaml.ts';
import type { Engine } from '../engine/engine.ts';
import type { ImageCodec } from '../image/codec/codec.ts';
import { type PriorOrderState, withPriorItems } from './adapt/dreambooth.ts';
import { adapterSetUp } from './adapt/set-up-node.ts';
import { autoencoderSetUp } from './autoencoder/set-up-node.ts';
import { fillLatentCache } from './data/fill-latent-cache-node.ts';
import { latentCache, writeLatentCache } from './data/latent-cache-node.ts';
import { openSplit, type Split, type SplitOptions, splitItems, splitOf } from './data/open-split-node.ts';
import { createProblems, type Problem } from './data/problems.ts';
import { mixSeed } from './data/sample-order.ts';
import { latentDiffusionSetUp } from './latent/set-up-node.ts';
import { trainingLoop } from './loop-node.ts';
import type { TrainingEvent } from './loop-options.ts';
import { openRun, runConfig, runIsThere } from './run/run-folder-node.ts';
import type { SetUp, TraineeContext } from './set-up.ts';
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
  /** Fires to save and stop after the step at work. */
  readonly signal?: AbortSignal;
}

/** Kinds of training by the class that the configuration names. */
const autoencoder = (context: TraineeContext): Promise<SetUp<unknown>> =>
  autoencoderSetUp(context) as Promise<SetUp<unknown>>;
const diffusion = (context: TraineeContext): Promise<SetUp<unknown>> =>
  latentDiffusionSetUp(context) as Promise<SetUp<unknown>>;
const adapter = (context: TraineeContext): Promise<SetUp<unknown>> => adapterSetUp(context) as Promise<SetUp<unknown>>;
const setUps: Readonly<Record<string, (context: TraineeContext) => Promise<SetUp<unknown>>>> = {
  AutoencoderKL: autoencoder,
  VQModel: autoencoder,
  VQModelInterface: autoencoder,
  LatentDiffusion: diffusion,
  LatentInpaintDiffusion: diffusion,
  LatentFinetuneDiffusion: diffusion,
  Lora: adapter,
  DreamBooth: adapter,
  TextualInversion: adapter,
};

/** The training data with latents in place of pictures: from a cache, which is filled first. */
async function* cachedLatents(
  folder: string,
  pictures: Split,
  config: TrainingConfig,
  options: SplitOptions,
  { latents }: SetUp<unknown>,
): AsyncGenerator<TrainingEvent, Split, void> {
  if (!latents)
    throw configError(`${options.what}: latent_cache is for latent diffusion models; this is trained on the pictures.`);
  const { train, training } = config;
  const flips = train.flip_p > 0;
  if (flips && train.flip_p !== 0.5)
    throw configError(
      `${options.what}: flip_p is ${train.flip_p}; with latent_cache it is 0 or 0.5, because a picture and its mirror image are kept and one of them is drawn.`,
    );
  const items = splitItems(train, options);
  const { size, filter, background } = items.picture;
  // The filter of the data determines the dropped samples.
  const fingerprint = JSON.stringify({
    autoencoder: await latents.fingerprint(),
    size,
    filter,
    background,
    flips,
    samples: items.filter,
  });
  const writer = await writeLatentCache(folder, { fingerprint, dtype: training.latent_cache_dtype });
  const filling = fillLatentCache({
    source: pictures.source,
    items,
    flips,
    firstStage: latents.firstStage,
    writer,
    batchSize: options.batchSize,
  });
  for (let next = await filling.next(); ; next = await filling.next()) {
    if (!next.done) {
      yield { kind: 'latents', ...next.value };
      continue;
    }
    await pictures.close();
    return splitOf(await latentCache(folder, { fingerprint, wanted: next.value }), train, options);
  }
}

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

/**
 * Trains, yielding events for steps, sample grids and checkpoints. Ending the iteration early ends the run without saving; the signal saves.
 * Throws `config-invalid`, `invalid-argument` for a folder with a run and for unusable data, `file-not-found`, or what
 * `trainingLoop` throws.
 */
export async function* train(options: TrainOptions): AsyncGenerator<TrainingEvent, void, void> {
  const { document, label, folder, engine, codec, clock } = options;
  const config = trainingConfig(document, label);
  const { training, loop } = config;
  const name = className(config.model['target'], `model of ${label}`);
  const setUpOf = setUps[name];
  if (!setUpOf)
    throw configError(`${label}: ${name} is not one that can be trained. Known are ${Object.keys(setUps).join(', ')}.`);
  if (!options.resume && (await runConfig(folder)) !== undefined) throw runIsThere(folder);

  const problems = createProblems(options.onProblem);
  const closing: (() => Promise<void>)[] = [];
  try {
    const setUp = await setUpOf({ document, label, config, engine, codec });
    closing.push(setUp.close);
    const splitOptions = {
      problems,
      size: setUp.size,
      codec,
      batchSize: loop.batchSize,
      seed: training.seed,
      missingCaption: setUp.missingCaption,
    };
    const trainOptions = { ...splitOptions, what: `data.params.train of ${label}` };
    const pictures = await openSplit(config.train, trainOptions);
    const data =
      training.latent_cache === undefined
        ? pictures
        : yield* cachedLatents(training.latent_cache, pictures, config, trainOptions, setUp);
    closing.push(data.close);
    if (setUp.prior) yield* setUp.prior.make();
    const classes =
      setUp.prior &&
      (await openSplit(
        { ...config.train, data_root: setUp.prior.data_root, filter: undefined },
        { ...trainOptions, what: `the class pictures of ${label}`, seed: mixSeed(training.seed, 11) },
      ));
    if (classes) closing.push(classes.close);
    const validation =
      config.validation &&
      (await openSplit(config.validation, { ...splitOptions, what: `data.params.validation of ${label}` }));
    if (validation) closing.push(validation.close);
    const run = await openRun(folder, {
      title: label,
      config: stringifyYaml(document),
      resume: options.resume,
      clock,
      codec,
      checkpoints: { keepBest: training.keep_best },
      model: {
        ...(setUp.output ?? { config: stringifyYaml({ model: forInference(config.model) }) }),
        ...(setUp.files ? { files: setUp.files } : {}),
      },
    });
    yield* trainingLoop({
      trainee: setUp.trainee,
      run,
      settings: loop,
      seed: training.seed,
      batches: (state) =>
        classes
          ? withPriorItems(data.batches(state), classes.batches((state as PriorOrderState | undefined)?.prior))
          : data.batches(state),
      ...(validation ? { validation: () => validation.first(training.validation_batches) } : {}),
      problems,
      now: clock,
      report: options.report ?? false,
      ...(options.signal ? { signal: options.signal } : {}),
    });
  } finally {
    for (const close of closing.reverse()) await close();
  }
}
