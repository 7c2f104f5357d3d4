/** Networks that describe pictures, from files. */

import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Engine } from '../engine/engine.ts';
import { StableDiffusionError } from '../errors.ts';
import { featuresNetwork } from '../evaluation/features.ts';
import { fileError } from '../files/file-error-node.ts';
import { isHiddenName } from '../files/hidden-name.ts';
import { readTextOf } from '../files/open-node.ts';
import { openWeightsAt } from '../formats/open-weights-node.ts';
import { readDescriber } from '../models/describers/index.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { type Captioner, createCaptioner } from './caption.ts';
import { type Category, categoryOf } from './categories.ts';
import { createTagger, type Tagger } from './tags.ts';

/** Lists of one folder, and words of them all. */
const most = { lists: 100, words: 200_000 };

/** The vocabulary of BLIP: `named`, else `vocab.txt` beside the file or in the folder. */
async function vocabularyOf(path: string, named: string | undefined): Promise<string> {
  const isFolder = await stat(path).then((found) => found.isDirectory());
  const there = named ?? join(isFolder ? path : dirname(path), 'vocab.txt');
  return readTextOf('tokenizer', there).catch((error: unknown) => {
    if (named !== undefined || !(error instanceof StableDiffusionError) || error.code !== 'file-not-found') throw error;
    throw new StableDiffusionError(
      'file-not-found',
      `BLIP needs the words of BERT: put vocab.txt of bert-base-uncased next to ${basename(path)}.`,
      { cause: error },
    );
  });
}

/** What `use` makes of weights; they are closed if it throws. */
async function usingWeights<T>(path: string, use: (weights: WeightSource) => T | Promise<T>): Promise<T> {
  const weights = await openWeightsAt(path);
  try {
    return await use(weights);
  } catch (error) {
    await weights.close();
    throw error;
  }
}

export type Describer = ({ readonly kind: 'captioner' } & Captioner) | ({ readonly kind: 'tagger' } & Tagger);

/** BLIP or DeepDanbooru. Throws `model-unknown`, `file-not-found` where BLIP's vocabulary is missing, and what opening throws. */
export function openDescriber(
  engine: Engine,
  path: string,
  { vocabulary }: { readonly vocabulary?: string | undefined } = {},
): Promise<Describer> {
  return usingWeights(path, async (weights): Promise<Describer> => {
    const network = readDescriber(weights);
    return network.kind === 'tagger'
      ? { kind: 'tagger', ...createTagger(engine, network) }
      : { kind: 'captioner', ...createCaptioner(engine, network, await vocabularyOf(path, vocabulary)) };
  });
}

/** A CLIP that compares words with pictures. Throws `model-unknown` for a file without both its encoders. */
export function openWordRanker(engine: Engine, path: string): Promise<ReturnType<typeof featuresNetwork>> {
  return usingWeights(path, (weights) => {
    const network = featuresNetwork(engine, weights);
    if (!network.texts)
      throw new StableDiffusionError(
        'model-unknown',
        `${weights.label} is not a CLIP with both its encoders, of texts and of pictures.`,
      );
    return {
      ...network,
      async [Symbol.asyncDispose]() {
        await network[Symbol.asyncDispose]();
        await weights.close();
      },
    };
  });
}

/** The lists of a folder, `NAME.txt` with a word on each line, by their names. Throws `file-not-found`, `too-large`. */
export async function openCategories(folder: string): Promise<Category[]> {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw fileError(folder, cause);
  });
  const lists = names.filter((name) => name.endsWith('.txt') && !isHiddenName(name)).sort();
  const found: Category[] = [];
  for (const name of lists.slice(0, most.lists))
    found.push(categoryOf(name.slice(0, -'.txt'.length), await readTextOf('text', join(folder, name))));
  const count = found.reduce((sum, { words }) => sum + words.length, 0);
  if (lists.length > most.lists || count > most.words)
    throw new StableDiffusionError(
      'too-large',
      `${folder} has ${lists.length} lists with ${count} words; at most ${most.lists} lists and ${most.words} words are read.`,
    );
  return found;
}
