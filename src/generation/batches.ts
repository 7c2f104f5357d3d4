/** The batches of a request, in the order in which they are generated. A pure function: it draws no noise and needs no model. */

import { StableDiffusionError } from '../errors.ts';
import { bounds } from './bounds.ts';
import type { PlainSeed } from '../random/plain-seed.ts';
import type { GenerationRequest } from './request.ts';

/** A batch: one prompt for each picture. */
export interface BatchSettings {
  readonly prompts: readonly string[];
  readonly negatives: readonly string[];
  /** For the second text encoder; undefined where the request names none. */
  readonly secondPrompts?: readonly string[] | undefined;
  readonly secondNegatives?: readonly string[] | undefined;
  /** One class for each picture; undefined where the request names none. */
  readonly classLabels: readonly number[] | undefined;
  /** Pictures in the batch. */
  readonly batch: number;
  readonly steps: number;
  readonly guidanceScale: number;
  readonly clipSkip: number;
}

export interface Batch extends BatchSettings {
  /** 1 … iterations. */
  readonly iteration: number;
  readonly iterations: number;
  /** One seed for each picture, where the request has them. */
  readonly seeds: readonly PlainSeed[] | undefined;
  /** Pictures in the batches before this one. */
  readonly picturesBefore: number;
  /** True if its pictures are generated. For other batches only the noise is drawn. */
  readonly isMade: boolean;
}

function refuse(message: string): never {
  throw new StableDiffusionError('invalid-argument', message);
}

/** One text for each picture of a batch. */
function forEach(what: string, given: string | readonly string[], batch: number): readonly string[] {
  const texts = typeof given === 'string' ? [given] : given;
  if (texts.length > 1 && texts.length !== batch)
    refuse(`There are ${texts.length} ${what} for a batch of ${batch}; give one, or one for each image.`);
  return texts.length === batch ? texts : Array.from({ length: batch }, () => texts[0] ?? '');
}

/** The texts of one picture of a batch, as fields of a request. */
export function promptsOfPicture(
  { prompts, negatives, secondPrompts, secondNegatives }: BatchSettings,
  index: number,
): Pick<GenerationRequest, 'prompt' | 'negativePrompt' | 'secondPrompt' | 'secondNegativePrompt'> {
  return {
    prompt: prompts[index] ?? '',
    negativePrompt: negatives[index] ?? '',
    ...(secondPrompts ? { secondPrompt: secondPrompts[index] ?? '' } : {}),
    ...(secondNegatives ? { secondNegativePrompt: secondNegatives[index] ?? '' } : {}),
  };
}

/** Seeds for single pictures need a convention that draws each picture's noise separately. */
function checkSeeds({ seeds, noise, iterations, promptBatches }: GenerationRequest, batch: number): void {
  if (!seeds) return;
  if (noise === 'compvis' || noise === 'comfy')
    refuse(
      `The ${noise} convention draws the noise of a whole batch from one seed; to give a seed for each image use a1111-cpu, a1111-gpu, a1111-nv or diffusers.`,
    );
  if ((promptBatches?.length ?? 1) > 1)
    refuse('Seeds for each image are for one batch of prompts, and several were given.');
  if (seeds.length !== batch || iterations !== 1)
    refuse(
      `There are ${seeds.length} seeds for ${iterations} times ${batch} images; give one for each, and one iteration.`,
    );
}

function settingsOf(request: GenerationRequest, prompt: string | readonly string[], batch: number): BatchSettings {
  const { classLabels, secondPrompt, secondNegativePrompt } = request;
  return {
    prompts: forEach('prompts', prompt, batch),
    negatives: forEach('negative prompts', request.negativePrompt, batch),
    secondPrompts: secondPrompt === undefined ? undefined : forEach('second prompts', secondPrompt, batch),
    secondNegatives:
      secondNegativePrompt === undefined ? undefined : forEach('second negative prompts', secondNegativePrompt, batch),
    classLabels: classLabels && Array.from({ length: batch }, (_, i) => classLabels[i % classLabels.length] ?? 0),
    batch,
    steps: request.steps,
    guidanceScale: request.guidanceScale,
    clipSkip: request.clipSkip,
  };
}

/** Pictures in a batch of a request that names no batches of prompts. */
export function batchSizeOf({ batchSize, prompt, seeds, classLabels }: GenerationRequest): number {
  const prompts = prompt === undefined || typeof prompt === 'string' ? 1 : prompt.length;
  return batchSize ?? Math.max(1, prompts, seeds?.length ?? 0, classLabels?.length ?? 0);
}

/** Sizes of the batches before an iteration. */
export function sizesBefore(batches: Batches, iteration: number): number[] {
  const sizes: number[] = [];
  for (const batch of batches) {
    if (batch.iteration === iteration) break;
    sizes.push(batch.batch);
  }
  return sizes;
}

export interface Batches extends Iterable<Batch> {
  /** Pictures in the largest batch. */
  readonly largest: number;
  /** Number of batches, counting those that are not made. */
  readonly iterations: number;
  /** The settings of the first batch. */
  readonly first: BatchSettings;
  /** True if all batches have the same prompts. */
  readonly areAlike: boolean;
}

/** The batches of a request. Throws `invalid-argument` where its fields contradict each other. */
export function batchesOf(request: GenerationRequest): Batches {
  const { promptBatches, earlierBatches } = request;
  const rows = promptBatches
    ? promptBatches.map((prompts) => settingsOf(request, prompts, prompts.length))
    : [settingsOf(request, request.prompt ?? '', batchSizeOf(request))];
  const [first] = rows as [BatchSettings];
  checkSeeds(request, first.batch);
  const iterations = request.iterations * rows.length;
  if (iterations > bounds.iterations.max)
    refuse(`There are ${iterations} batches; at most ${bounds.iterations.max} can be made in one run.`);
  const firstMade = request.firstIteration ?? (earlierBatches ? earlierBatches.length + 1 : 1);
  if (firstMade > iterations) refuse(`firstIteration is ${firstMade}, and there are ${iterations} iterations.`);
  if (earlierBatches && earlierBatches.length !== firstMade - 1)
    refuse(
      `earlierBatches has ${earlierBatches.length} sizes, and ${firstMade - 1} batches come before the first one.`,
    );
  return {
    largest: rows.reduce((most, { batch }) => Math.max(most, batch), request.largestBatch ?? 1),
    iterations,
    first,
    areAlike: rows.length === 1,
    *[Symbol.iterator]() {
      let picturesBefore = 0;
      for (let iteration = 1; iteration <= iterations; iteration++) {
        const row = rows[(iteration - 1) % rows.length] ?? first;
        const size = earlierBatches?.[iteration - 1] ?? row.batch;
        const isMade = iteration >= firstMade;
        const settings =
          size === row.batch
            ? row
            : settingsOf(
                { ...request, negativePrompt: '', secondPrompt: undefined, secondNegativePrompt: undefined },
                '',
                size,
              );
        yield { ...settings, iteration, iterations, picturesBefore, isMade, seeds: request.seeds };
        picturesBefore += size;
      }
    },
  };
}
