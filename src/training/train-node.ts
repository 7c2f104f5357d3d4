/** Training by a configuration, from the files it names to a run's folder: what `sd train` does. */

import { className } from '../config/ldm-network.ts';
import { configError } from '../config/validate.ts';
import { stringifyYaml } from '../config/yaml.ts';
import type { Engine } from '../engine/engine.ts';
import type { ImageCodec } from '../image/codec.ts';
import { autoencoderSetUp } from './autoencoder-trainee-node.ts';
import { openSplit } from './data/open-split-node.ts';
import { createProblems, type Problem } from './data/problems.ts';
import { trainingLoop, type TrainingEvent } from './loop-node.ts';
import { openRun, runConfig, runIsThere } from './run/run-folder-node.ts';
import type { SetUp, TraineeContext } from './set-up.ts';
import { trainingConfig } from './training-config.ts';

export interface TrainOptions {
  /** The configuration, parsed, with its overrides. */
  readonly document: unknown;
  /** Its name in messages and the title of the report. */
  readonly label: string;
  /** The run's folder. */
  readonly folder: string;
  /** Go on with the run that is there, or start one where there is none. Otherwise a run that is there is an error. */
  readonly resume: boolean;
  readonly engine: Engine;
  readonly codec: ImageCodec;
  /** Keeps report.html up to date. */
  readonly report?: boolean;
  /** Bad data, as it is met. */
  readonly onProblem?: (problem: Problem) => void;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  /** Fires to save and stop after the step at work. */
  readonly signal?: AbortSignal;
}

/** Kinds of training by the class that the configuration names. */
const setUps: Readonly<Record<string, (context: TraineeContext) => Promise<SetUp<unknown>>>> = {
  AutoencoderKL: (context) => autoencoderSetUp(context) as Promise<SetUp<unknown>>,
  VQModel: (context) => autoencoderSetUp(context) as Promise<SetUp<unknown>>,
};

/**
 * Trains, and tells of steps, sample grids and checkpoints. Ending the iteration early ends the run without saving; the signal saves.
 * Throws `config-invalid`, `invalid-argument` for a folder with a run and for data with nothing to train on, `file-not-found`, or what
 * `trainingLoop` throws.
 */
export async function* train(options: TrainOptions): AsyncGenerator<TrainingEvent, void, void> {
  const { document, label, folder, engine, codec, clock } = options;
  const config = trainingConfig(document, label);
  const { training, loop } = config;
  const name = className(config.model['target'], `model of ${label}`);
  const setUpOf = setUps[name];
  if (!setUpOf) throw configError(`${label}: ${name} is not one that can be trained. Known are ${Object.keys(setUps).join(', ')}.`);
  if (!options.resume && (await runConfig(folder)) !== undefined) throw runIsThere(folder);

  const problems = createProblems(options.onProblem);
  const closing: (() => Promise<void>)[] = [];
  try {
    const setUp = await setUpOf({ document, label, config, engine });
    closing.push(setUp.close);
    const splitOptions = { problems, size: setUp.size, codec, batchSize: loop.batchSize, seed: training.seed, ...(setUp.missingCaption === undefined ? {} : { missingCaption: setUp.missingCaption }) };
    const data = await openSplit(config.train, { ...splitOptions, what: `data.params.train of ${label}` });
    closing.push(data.close);
    const validation = config.validation && (await openSplit(config.validation, { ...splitOptions, what: `data.params.validation of ${label}` }));
    if (validation) closing.push(validation.close);
    const run = await openRun(folder, {
      title: label,
      config: stringifyYaml(document),
      resume: options.resume,
      clock,
      codec,
      checkpoints: { keepBest: training.keep_best },
      model: { config: stringifyYaml({ model: config.model }) },
    });
    yield* trainingLoop({
      trainee: setUp.trainee,
      run,
      settings: loop,
      seed: training.seed,
      batches: (state) => data.batches(state),
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
