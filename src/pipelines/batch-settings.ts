/** The settings of a batch of pictures, complete and checked: what the options say, with defaults, one prompt for each picture. */

import { StableDiffusionError } from '../errors.ts';
import { emphases } from '../prompt/emphasis.ts';
import type { NoiseConvention } from '../random/noise-source.ts';
import type { GenerateOptions } from './generate.ts';

export interface BatchSettings {
  readonly prompts: readonly string[];
  readonly negatives: readonly string[];
  readonly seeds: readonly number[] | undefined;
  readonly batch: number;
  readonly iterations: number;
  readonly steps: number;
  readonly guidanceScale: number;
  readonly seed: number;
  readonly noise: NoiseConvention;
  readonly clipSkip: number;
}

/** Validates what does not depend on the pipeline. Throws `invalid-argument`. */
function settingsOf(options: GenerateOptions): BatchSettings {
  const given =
    options.prompt === undefined ? [] : typeof options.prompt === 'string' ? [options.prompt] : [...options.prompt];
  const { seeds } = options;
  const batch = wholeNumber(
    'The batch size',
    options.batchSize ?? Math.max(1, given.length, seeds?.length ?? 0, options.classLabels?.length ?? 0),
    1,
    1024,
  );
  if (given.length > 1 && given.length !== batch) {
    throw new StableDiffusionError(
      'invalid-argument',
      `There are ${given.length} prompts for a batch of ${batch}; give one, or one for each image.`,
    );
  }
  const negatives =
    typeof options.negativePrompt === 'string' ? [options.negativePrompt] : [...(options.negativePrompt ?? [''])];
  if (negatives.length !== 1 && negatives.length !== batch) {
    throw new StableDiffusionError(
      'invalid-argument',
      `There are ${negatives.length} negative prompts for a batch of ${batch}; give one, or one for each image.`,
    );
  }
  checkSyntax(options);
  if (seeds) checkSeeds(seeds, batch, options);
  const [first = ''] = given;
  const [negative = ''] = negatives;
  return {
    prompts: given.length === batch ? given : Array.from({ length: batch }, () => first),
    negatives: negatives.length === batch ? negatives : Array.from({ length: batch }, () => negative),
    seeds,
    batch,
    iterations: wholeNumber('The number of iterations', options.iterations ?? 1, 1, 100_000),
    steps: wholeNumber('The number of steps', options.steps ?? 50, 1, 100_000),
    guidanceScale: finite('The guidance scale', options.guidanceScale ?? 7.5),
    seed: wholeNumber('The seed', options.seed ?? 42, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
    noise: options.noise ?? 'compvis',
    clipSkip: options.clipSkip ?? 1,
  };
}

function checkSyntax({ promptSyntax = 'plain', promptSettings = {} }: GenerateOptions): void {
  if (promptSyntax !== 'plain' && promptSyntax !== 'a1111') {
    throw new StableDiffusionError(
      'invalid-argument',
      `The prompt syntax is ${JSON.stringify(promptSyntax)}; there are plain and a1111.`,
    );
  }
  const { emphasis = 'Original', commaBacktrack = 0, firstPassSteps = 1 } = promptSettings;
  if (!emphases.includes(emphasis))
    throw new StableDiffusionError(
      'invalid-argument',
      `The emphasis is ${JSON.stringify(emphasis)}; there are ${emphases.join(', ')}.`,
    );
  wholeNumber('The number of tokens behind a comma', commaBacktrack, 0, 1000);
  wholeNumber('The number of steps of the first pass', firstPassSteps, 1, 100_000);
}

/** Seeds of their own need a convention that draws each image's noise apart. */
function checkSeeds(
  seeds: readonly number[],
  batch: number,
  { noise = 'compvis', iterations = 1 }: GenerateOptions,
): void {
  if (noise === 'compvis' || noise === 'comfy') {
    throw new StableDiffusionError(
      'invalid-argument',
      `The ${noise} convention draws the noise of a whole batch from one seed; with a seed for each image use a1111-cpu, a1111-gpu, a1111-nv or diffusers.`,
    );
  }
  if (seeds.length !== batch || iterations !== 1) {
    throw new StableDiffusionError(
      'invalid-argument',
      `There are ${seeds.length} seeds for ${iterations} times ${batch} images; give one for each, and one iteration.`,
    );
  }
  for (const seed of seeds) wholeNumber('The seed', seed, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
}

/** The settings of each batch of prompts in turn. Throws `invalid-argument`. */
export function batchesOf(options: GenerateOptions): readonly [BatchSettings, ...BatchSettings[]] {
  const [first, ...rest] = (options.promptBatches ?? []).map((prompt) =>
    settingsOf({ ...options, prompt, batchSize: prompt.length }),
  );
  if (!first) return [settingsOf(options)];
  if (rest.length > 0 && options.seeds)
    throw new StableDiffusionError(
      'invalid-argument',
      'Seeds for each image are for one batch of prompts, and several were given.',
    );
  return [first, ...rest];
}

/** The value, if it is a whole number of that range. Throws `invalid-argument`. */
export function wholeNumber(name: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new StableDiffusionError(
    'invalid-argument',
    `${name} is ${value}; it must be a whole number from ${least} to ${most}.`,
  );
}

function finite(name: string, value: number): number {
  if (Number.isFinite(value)) return value;
  throw new StableDiffusionError('invalid-argument', `${name} is ${value}; it must be a number.`);
}
